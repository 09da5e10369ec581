/** What a page does with a socket whose path is hostile. */
'use strict';

function open(path) {
  const url = new URL(path, location.href.replace(/^http/, 'ws'));
  const socket = new WebSocket(url.href);
  socket.binaryType = 'arraybuffer';
  return socket;
}

function closed(socket) {
  return new Promise((resolve) => {
    socket.onclose = (event) => resolve([event.code, event.reason, event.wasClean]);
  });
}

function binaryOf(latin1) {
  return Uint8Array.from(latin1, (character) => character.charCodeAt(0));
}

function latin1Of(buffer) {
  return Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join('');
}

/** Resolves with the milliseconds from the constructor to the echo of what onopen sent. */
self.timeToEcho = async (path) => {
  const started = performance.now();
  const socket = open(path);
  const end = closed(socket);
  const echo = new Promise((resolve) => {
    socket.onopen = () => socket.send('hello');
    socket.onmessage = (event) => resolve(event.data);
  });
  const first = await Promise.race([echo, end]);
  if (first !== 'hello') throw new Error(`${JSON.stringify(first)} came for the echo`);
  const took = performance.now() - started;
  socket.close(1000);
  await end;
  return took;
};

/**
 * Sends `ours` while `theirs` come, and closes when the application has reported.
 *
 * A message is [whether it is binary, its text or its bytes as Latin-1]. The page runs ahead of the
 * application by `lead` messages.
 */
self.exchange = async ({ path, ours, theirs, lead }) => {
  const socket = open(path);
  const end = closed(socket);
  const outcome = { received: 0, altered: 0, first: '', transports: [], close: null };
  let sent = 0;
  const send = () => {
    while (sent < ours.length && sent < outcome.received + lead) {
      const [isBinary, content] = ours[sent++];
      socket.send(isBinary ? binaryOf(content) : content);
    }
  };
  socket.onopen = send;
  socket.onmessage = ({ data }) => {
    if (outcome.received === theirs.length) {
      outcome.transports = JSON.parse(data);
      socket.close(4000, 'complete');
      return;
    }
    const [isBinary, content] = theirs[outcome.received++];
    const isText = typeof data === 'string';
    const came = isText ? data : latin1Of(data);
    if (isText === isBinary || came !== content) {
      outcome.altered += 1;
      outcome.first = outcome.first || `${came.slice(0, 40)} came as number ${outcome.received}`;
    }
    send();
  };
  outcome.close = await end;
  return outcome;
};
