/** Every way in which a page can make a browser ask another site for something. */
'use strict';

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** Resolves when the element, which asks as soon as it is in the document, has had its answer. */
function loaded(element) {
  return new Promise((resolve) => {
    element.onload = () => resolve('sent');
    element.onerror = () => resolve('error');
    document.documentElement.append(element);
  });
}

function made(name, properties) {
  return Object.assign(document.createElement(name), properties);
}

async function posted(url, type, body) {
  const headers = type ? { 'content-type': type } : {};
  const needsPreflight = /^application/.test(type);
  try {
    await fetch(url, {
      method: 'POST',
      mode: needsPreflight ? 'cors' : 'no-cors',
      credentials: 'include',
      headers,
      body: type ? body : new Blob([body]),
    });
    return 'sent';
  } catch (error) {
    return error.name;
  }
}

/** Posts one field; its name and value are all that a page can choose of such a body. */
async function submitted(url, enctype, body) {
  const frame = made('iframe', { name: `frame${Math.random()}` });
  document.documentElement.append(frame);
  const form = made('form', { action: url, method: 'POST', enctype, target: frame.name });
  form.append(made('input', { name: new TextDecoder().decode(body), value: '' }));
  document.documentElement.append(form);
  const answered = new Promise((resolve) => {
    frame.onload = () => resolve('sent');
  });
  form.submit();
  return answered;
}

function beaconed(url, type, body) {
  try {
    return navigator.sendBeacon(url, new Blob([body], { type })) ? 'sent' : 'error';
  } catch (error) {
    return error.name;
  }
}

function asked(url, body) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open('POST', url);
    request.withCredentials = true;
    request.setRequestHeader('content-type', 'application/json');
    request.onload = () => resolve('read');
    request.onerror = () => resolve('error');
    request.send(body);
  });
}

function opened(socket) {
  return new Promise((resolve) => {
    socket.onopen = () => resolve('open');
    socket.onerror = () => {
      socket.close();
      resolve('error');
    };
  });
}

const WAYS = {
  'fetch text/plain': (url, body) => posted(url, 'text/plain', body),
  'fetch without a type': (url, body) => posted(url, '', body),
  'fetch application/json': (url, body) => posted(url, 'application/json', body),
  'fetch application/octet-stream': (url, body) => posted(url, 'application/octet-stream', body),
  beacon: (url, body) => beaconed(url, 'text/plain', body),
  'beacon of bytes': (url, body) => beaconed(url, 'application/octet-stream', body),
  XMLHttpRequest: asked,
  'form urlencoded': (url, body) => submitted(url, 'application/x-www-form-urlencoded', body),
  'form multipart': (url, body) => submitted(url, 'multipart/form-data', body),
  'form text/plain': (url, body) => submitted(url, 'text/plain', body),
  image: (url) => loaded(made('img', { src: url })),
  script: (url) => loaded(made('script', { src: url })),
  style: (url) => loaded(made('link', { rel: 'stylesheet', href: url })),
  frame: (url) => {
    // Whose load is waited for by the test: a 204 has none.
    document.documentElement.append(made('iframe', { src: url }));
    return 'sent';
  },
  fetch: (url) =>
    fetch(url, { mode: 'no-cors', credentials: 'include' }).then(
      () => 'sent',
      (error) => error.name,
    ),
  EventSource: (url) => opened(new EventSource(url, { withCredentials: true })),
  WebSocket: (url) => opened(new WebSocket(url, `emulation.${'n'.repeat(22)}`)),
};

self.attack = (way, url, body) => WAYS[way](url, bytesOf(body));
