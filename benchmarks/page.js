// Runs in the page: sockets of every kind behind the same few functions.
'use strict';

var socket;
var onMessage = function () {};

/** @type {Object<string, (transport: string) => any>} */
var openers = {
  native: function () {
    var opened = new WebSocket('ws://' + location.host + '/');
    opened.onmessage = function (event) {
      onMessage(event.data);
    };
    return opened;
  },
  sockjs: function (transport) {
    var opened = new SockJS('/echo', null, { transports: [transport] });
    opened.onmessage = function (event) {
      onMessage(event.data);
    };
    return opened;
  },
  'engine.io': function (transport) {
    var opened = eio(location.origin, { transports: [transport], upgrade: false });
    opened.on('open', function () {
      opened.onopen();
    });
    opened.on('message', function (data) {
      onMessage(data);
    });
    opened.on('close', function (reason) {
      opened.onclose({ reason: reason });
    });
    return opened;
  },
};

function fill(text) {
  while (text.length < 64) text += ' ';
  return text;
}

/** Open a socket; resolves when it is open. */
function connect(kind, transport) {
  return new Promise(function (resolve, reject) {
    socket = openers[kind](transport);
    socket.onopen = function () {
      resolve();
    };
    socket.onclose = function (event) {
      reject(new Error('closed: ' + event.code + ' ' + event.reason));
    };
  });
}

/** Send each message again when it comes back, so many in flight, for so many seconds. */
function echo(flight, seconds) {
  return new Promise(function (resolve) {
    var text = fill('x');
    var count = 0;
    var missing = flight;
    var begun = performance.now();
    onMessage = function () {
      count++;
      if (performance.now() - begun < seconds * 1000) {
        socket.send(text);
      } else if (!--missing) {
        resolve({ messages: count, seconds: (performance.now() - begun) / 1000 });
      }
    };
    for (var index = 0; index < flight; index++) socket.send(text);
  });
}

/** Have so many messages sent; `gap` is the longest time in ms that no timer ran meanwhile. */
function burst(size) {
  return new Promise(function (resolve) {
    var begun = performance.now();
    var last = begun;
    var gap = 0;
    var left = size;
    function tick() {
      var now = performance.now();
      gap = Math.max(gap, now - last);
      last = now;
      if (left) setTimeout(tick, 0);
      else resolve({ messages: size, seconds: (ended - begun) / 1000, gap: gap });
    }
    var ended;
    onMessage = function () {
      if (!--left) ended = performance.now();
    };
    setTimeout(tick, 0);
    socket.send(fill('B' + size));
  });
}
