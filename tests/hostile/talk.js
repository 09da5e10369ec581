/** What a page does with a socket whose path is hostile. It is read by engines of 2011, too. */

function open(path) {
  var socket = new WebSocket(location.href.replace(/^http([^/]*\/\/[^/]*).*/, 'ws$1') + path);
  socket.binaryType = 'arraybuffer';
  return socket;
}

function binaryOf(latin1) {
  var bytes = new Uint8Array(latin1.length);
  for (var i = 0; i < latin1.length; i++) bytes[i] = latin1.charCodeAt(i);
  return bytes.buffer;
}

function latin1Of(buffer) {
  var bytes = new Uint8Array(buffer);
  var characters = [];
  for (var i = 0; i < bytes.length; i++) characters.push(String.fromCharCode(bytes[i]));
  return characters.join('');
}

/** Calls `done` with the milliseconds from the constructor to the echo of what onopen sent. */
self.timeToEcho = function (path, done, fail) {
  var started = new Date().getTime();
  var took = 0;
  var socket = open(path);
  socket.onopen = function () {
    socket.send('hello');
  };
  socket.onmessage = function (event) {
    if (event.data !== 'hello') fail(event.data + ' came for the echo');
    took = new Date().getTime() - started;
    socket.close(1000);
  };
  socket.onclose = function (event) {
    if (took) done(took);
    else fail(event.code + ' came for the echo');
  };
};

/**
 * Sends `options.ours` while `options.theirs` come, closes when the application has reported, and
 * calls `done` with what came of it.
 *
 * A message is [whether it is binary, its text or its bytes as Latin-1]. The page runs ahead of the
 * application by `options.lead` messages.
 */
self.exchange = function (options, done) {
  var ours = options.ours;
  var theirs = options.theirs;
  var outcome = { received: 0, altered: 0, first: '', transports: [], close: null };
  var sent = 0;
  var socket = open(options.path);

  function send() {
    while (sent < ours.length && sent < outcome.received + options.lead) {
      var message = ours[sent++];
      socket.send(message[0] ? binaryOf(message[1]) : message[1]);
    }
  }

  socket.onopen = send;
  socket.onmessage = function (event) {
    if (outcome.received === theirs.length) {
      outcome.transports = JSON.parse(event.data);
      socket.close(4000, 'complete');
      return;
    }
    var expected = theirs[outcome.received++];
    var isBinary = typeof event.data !== 'string';
    var came = isBinary ? latin1Of(event.data) : event.data;
    if (isBinary !== expected[0] || came !== expected[1]) {
      outcome.altered += 1;
      outcome.first = outcome.first || came.slice(0, 40) + ' came as number ' + outcome.received;
    }
    send();
  };
  socket.onclose = function (event) {
    outcome.close = [event.code, event.reason, event.wasClean];
    done(outcome);
  };
};

var held;
self.closeCode = 0;

/** Opens a socket for `say`; `closeCode` tells that it was closed. */
self.hold = function (path, done, fail) {
  held = open(path);
  held.onopen = function () {
    done();
  };
  held.onclose = function (event) {
    self.closeCode = event.code;
    fail(event.code);
  };
};

/** Sends a text and calls `done` with what comes. */
self.say = function (text, done) {
  held.onmessage = function (event) {
    done(event.data);
  };
  held.send(text);
};

/** Closes the socket of `hold`, and returns a promise of what comes of it. */
self.hangUp = function () {
  return new Promise(function (done) {
    held.onclose = function (event) {
      done([event.code, event.reason, event.wasClean]);
    };
    held.close(4000, 'enough');
  });
};
