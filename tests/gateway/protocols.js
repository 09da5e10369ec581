/**
 * What a page says to servers that have a protocol of their own: NATS and MQTT to nats-server, and
 * those of libwebsockets' test server. It is read by engines of 2011: ECMAScript 5.
 */

/** How long a run may take before it is reported as it stands. */
var PROTOCOL_TIME = 25000;
var PUBLISHED = 200;

/** By kind of backend: the conversations, one after another. */
var protocols = {
  go: [
    ['NATS', speaksNATS],
    ['a large NATS message', speaksLargeNATS],
    ['MQTT', speaksMQTT],
  ],
  c: [
    ['dumb-increment-protocol', increments],
    ['close by the server', isClosedByLibwebsockets],
    ['lws-mirror-protocol', mirrors],
  ],
};

/**
 * @param {{run: string, base: string, lines: string[], report: Function}} environment
 * @param {[string, Function][]} conversations
 */
function runProtocol(environment, conversations) {
  var result = {
    run: environment.run,
    agent: navigator.userAgent,
    transports: [],
    passed: [],
    failure: null,
    lines: environment.lines,
  };
  var rest = conversations.slice();
  var isOver = false;
  var watchdog = setTimeout(function () {
    finish('nothing more came');
  }, PROTOCOL_TIME);

  function finish(failure) {
    if (isOver) return;
    isOver = true;
    clearTimeout(watchdog);
    result.failure = failure ? rest[0][0] + ': ' + failure : null;
    environment.report(result);
  }

  function next() {
    if (isOver) return;
    if (!rest.length) return finish(null);
    guarded(rest[0][1])({
      /** Opens a socket; each of its listeners may throw. */
      open: function (path, subprotocol, listeners) {
        var url = environment.base + path;
        var socket = subprotocol ? new WebSocket(url, subprotocol) : new WebSocket(url);
        socket.binaryType = 'arraybuffer';
        socket.addEventListener('emulation:transport', function (event) {
          result.transports.push(event.detail.transport);
        });
        socket.onopen = guarded(function () {
          expect(socket.protocol, subprotocol || '');
          listeners.open(socket);
        });
        socket.onmessage = guarded(function (event) {
          listeners.message(event.data, socket);
        });
        socket.onclose = guarded(function (event) {
          if (!listeners.close) throw new Error('close with ' + event.code + ' ' + event.reason);
          listeners.close(event);
        });
      },
      done: function () {
        result.passed.push(rest[0][0]);
        rest.shift();
        next();
      },
    });
  }

  function guarded(action) {
    return function (argument) {
      if (isOver) return;
      try {
        action(argument);
      } catch (error) {
        finish(String(error && error.message));
      }
    };
  }

  next();
}

function expect(actual, expected) {
  if (actual !== expected) {
    throw new Error(String(actual).slice(0, 200) + ' is not ' + String(expected).slice(0, 200));
  }
}

/** Returns a text of ASCII, or of bytes, as a string of a character for each byte. */
function charactersOf(data) {
  if (typeof data === 'string') return data;
  var view = new Uint8Array(data);
  var pieces = [];
  for (var i = 0; i < view.length; i += 4096) {
    var end = Math.min(i + 4096, view.length);
    var piece = '';
    for (var j = i; j < end; j++) piece += String.fromCharCode(view[j]);
    pieces.push(piece);
  }
  return pieces.join('');
}

function bytesFrom(characters) {
  var view = new Uint8Array(characters.length);
  for (var i = 0; i < characters.length; i++) view[i] = characters.charCodeAt(i);
  return view.buffer;
}

/** Ends a conversation by a close of ours, which the server answers. */
function closing(conversation) {
  return function (event) {
    expect([event.code, event.wasClean].join(), '1000,true');
    conversation.done();
  };
}

// --- NATS: lines, and payloads that are counted ---------------------------------------------------

function drawSubject() {
  return 'pages.' + String(Math.random()).slice(2);
}

function talkNATS(conversation, bodies) {
  var subject = drawSubject();
  var received = '';
  var taken = 0;
  var isConnected = false;

  function publish(socket) {
    for (var i = 0; i < bodies.length; i++) {
      var line = 'PUB ' + subject + ' ' + bodies[i].length + '\r\n' + bodies[i] + '\r\n';
      // Either kind of message is good for the server.
      socket.send(i % 2 ? line : bytesFrom(line));
    }
  }

  function takeMessage(socket) {
    var end = received.indexOf('\r\n');
    if (end < 0) return false;
    var words = received.slice(0, end).split(' ');
    var rest = received.slice(end + 2);
    if (words[0] === 'MSG') {
      var size = Number(words[3]);
      if (rest.length < size + 2) return false;
      expect(rest.slice(0, size) === bodies[taken], true);
      taken++;
      rest = rest.slice(size + 2);
      if (taken === bodies.length) socket.close(1000);
    } else if (words[0] === 'PONG') {
      isConnected = true;
      socket.send('SUB ' + subject + ' 1\r\n');
      publish(socket);
    } else if (words[0] === 'PING') {
      socket.send('PONG\r\n');
    } else if (words[0] === 'INFO') {
      if (!isConnected) socket.send('CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n');
    } else throw new Error(received.slice(0, end));
    received = rest;
    return true;
  }

  conversation.open('/', '', {
    open: function () {},
    message: function (data, socket) {
      received += charactersOf(data);
      while (takeMessage(socket));
    },
    close: closing(conversation),
  });
}

function speaksNATS(conversation) {
  var bodies = [];
  for (var i = 0; i < PUBLISHED; i++) bodies.push('message ' + i);
  talkNATS(conversation, bodies);
}

function speaksLargeNATS(conversation) {
  talkNATS(conversation, [new Array(500001).join('x')]);
}

// --- MQTT 3.1.1 -----------------------------------------------------------------------------------

var CONNACK = 2;
var PUBLISH = 3;
var PUBACK = 4;
var SUBACK = 9;

/** Returns a text with its length before it (MQTT section 1.5.3). */
function field(text) {
  return String.fromCharCode(text.length >> 8, text.length & 255) + text;
}

function packet(first, content) {
  var size = content.length;
  var header = String.fromCharCode(first);
  do {
    header += String.fromCharCode((size & 127) | (size > 127 ? 128 : 0));
    size >>= 7;
  } while (size);
  return bytesFrom(header + content);
}

/** Takes the first packet off `buffer.text`; null while it is not whole. */
function nextPacket(buffer) {
  var size = 0;
  for (var i = 1; i < buffer.text.length; i++) {
    var digit = buffer.text.charCodeAt(i);
    size += (digit & 127) << (7 * (i - 1));
    if (digit & 128) continue;
    if (buffer.text.length < i + 1 + size) return null;
    var found = {
      type: buffer.text.charCodeAt(0) >> 4,
      content: buffer.text.slice(i + 1, i + 1 + size),
    };
    buffer.text = buffer.text.slice(i + 1 + size);
    return found;
  }
  return null;
}

function speaksMQTT(conversation) {
  var topic = drawSubject().replace('.', '/');
  var buffer = { text: '' };
  var published = 0;
  var taken = 0;

  /** With QoS 1 the broker acknowledges each, and the next one goes. */
  function publish(socket) {
    published++;
    var number = String.fromCharCode(published >> 8, published & 255);
    socket.send(packet(0x32, field(topic) + number + 'message ' + published));
  }

  function take(found, socket) {
    if (found.type === CONNACK) {
      expect(found.content, '\0\0');
      socket.send(packet(0x82, '\0\1' + field(topic) + '\0'));
    } else if (found.type === SUBACK) {
      expect(found.content, '\0\1\0');
      publish(socket);
    } else if (found.type === PUBACK) {
      if (published < PUBLISHED / 10) publish(socket);
    } else if (found.type === PUBLISH) {
      taken++;
      expect(found.content, field(topic) + 'message ' + taken);
      if (taken === PUBLISHED / 10) socket.close(1000);
    } else throw new Error('a packet of type ' + found.type);
  }

  conversation.open('/mqtt', 'mqtt', {
    open: function (socket) {
      socket.send(packet(0x10, field('MQTT') + '\4\2\0\x3c' + field(drawSubject())));
    },
    message: function (data, socket) {
      buffer.text += charactersOf(data);
      for (var found = nextPacket(buffer); found; found = nextPacket(buffer)) take(found, socket);
    },
    close: closing(conversation),
  });
}

// --- libwebsockets' own ---------------------------------------------------------------------------

/** Opens a socket to which the server counts, until `reached` says that it is enough. */
function count(conversation, onnumber, onclose) {
  var expected = -1;
  var isReset = false;
  conversation.open('/', 'dumb-increment-protocol', {
    open: function () {},
    message: function (data, socket) {
      var number = Number(charactersOf(data));
      // Behind the reset, which is on its way for a while, it begins anew.
      if (expected >= 0 && !(isReset && number === 0)) expect(number, expected);
      expected = number + 1;
      isReset = onnumber(number, socket) || isReset;
    },
    close: onclose,
  });
}

function increments(conversation) {
  var resets = 0;
  count(
    conversation,
    function (number, socket) {
      if (number === 5 && resets++ === 0) {
        socket.send('reset\n');
        return true;
      }
      if (number === 10 && resets > 1) socket.close(1000);
      return false;
    },
    closing(conversation)
  );
}

function isClosedByLibwebsockets(conversation) {
  count(
    conversation,
    function (number, socket) {
      if (number === 3) socket.send('closeme\n');
    },
    function (event) {
      expect([event.code, event.reason, event.wasClean].join(), '1001,seeya,true');
      conversation.done();
    }
  );
}

/** What one of two sockets says, both hear. */
function mirrors(conversation) {
  var words = [];
  var heard = [[], []];
  var sockets = [];
  var closes = 0;

  function listen(index) {
    conversation.open('/', 'lws-mirror-protocol', {
      open: function (socket) {
        sockets.push(socket);
        if (sockets.length < 2) return listen(1);
        for (var i = 0; i < 20; i++) {
          words.push('c #ff0000 ' + i + ' 2 3;');
          sockets[i % 2].send(words[i]);
        }
      },
      message: function (data) {
        heard[index].push(charactersOf(data));
        if (heard[0].length < words.length || heard[1].length < words.length) return;
        // Each hears them in the same order, but which that is the server says.
        expect(heard[0].join(), heard[1].join());
        expect(heard[0].sort().join(), words.sort().join());
        sockets[0].close(1000);
        sockets[1].close(1000);
      },
      close: function (event) {
        expect([event.code, event.wasClean].join(), '1000,true');
        if (++closes === 2) conversation.done();
      },
    });
  }

  listen(0);
}
