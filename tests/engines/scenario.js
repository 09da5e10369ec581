/**
 * What each engine does with a WebSocket. It is read by engines of 2011: ECMAScript 5, and no
 * Promise, no bind, no typed array without a look.
 */

/** How long a run may take before it is reported as it stands. */
var RUN_TIME = 25000;
var MEBIBYTE = 1048576;

function repeat(text, count) {
  return new Array(count + 1).join(text);
}

function show(value) {
  return String(JSON.stringify(value)).slice(0, 200);
}

/** Returns the values of the bytes of what a binary message brought. */
function bytesOf(data) {
  var values = [];
  var i;
  if (typeof data === 'string') {
    for (i = 0; i < data.length; i++) values.push(data.charCodeAt(i));
  } else {
    var view = new Uint8Array(data);
    for (i = 0; i < view.length; i++) values.push(view[i]);
  }
  return values;
}

function everyByte() {
  var values = [];
  for (var i = 0; i < 256; i++) values.push(i);
  return values;
}

function isBlobSupported() {
  try {
    return new Blob(['a']).size === 1;
  } catch (error) {
    return false;
  }
}

/** Hands over the bytes of a Blob as an ArrayBuffer. */
function readBlob(blob, done) {
  if (blob.arrayBuffer) {
    blob.arrayBuffer().then(done);
    return;
  }
  var reader = new FileReader();
  reader.onload = function () {
    done(reader.result);
  };
  reader.readAsArrayBuffer(blob);
}

/**
 * @param {{run: string, token: string, base: string, lines: string[], report: Function}} environment
 */
function runScenario(environment) {
  var isBinarySupported = typeof ArrayBuffer === 'function' || typeof ArrayBuffer === 'object';
  var result = {
    run: environment.run,
    agent: typeof navigator === 'object' ? navigator.userAgent : '',
    tag: null,
    opened: null,
    took: null,
    transports: [],
    passed: [],
    failure: null,
    lines: environment.lines,
  };
  var start = new Date().getTime();
  var at = 'begins';
  var isOver = false;
  var socket;
  var steps;

  function finish(failure) {
    if (isOver) return;
    isOver = true;
    clearTimeout(watchdog);
    result.took = new Date().getTime() - start;
    result.failure = failure ? at + ': ' + failure : null;
    environment.report(result);
  }

  var watchdog = setTimeout(function () {
    finish('nothing more came; readyState ' + (socket && socket.readyState));
  }, RUN_TIME);

  function equal(actual, expected) {
    if (show(actual) !== show(expected)) {
      throw new Error(show(actual) + ' is not ' + show(expected));
    }
  }

  /** Takes the next step; each one ends by calling what it is given. */
  function next() {
    if (isOver) return;
    var step = steps.shift();
    if (!step) return finish();
    at = step[0];
    guard(step[1])(function () {
      result.passed.push(step[0]);
      next();
    });
  }

  function guard(action) {
    return function (argument) {
      try {
        action(argument);
      } catch (error) {
        finish(String(error && error.message) + ' ' + String(error && error.stack).slice(0, 500));
      }
    };
  }

  /** Opens the next socket; an event for which nobody waits is a failure. */
  function connect(path, protocols, onopen) {
    var url = environment.base + path + (path.indexOf('?') < 0 ? '?' : '&') + 'token=';
    url += encodeURIComponent(environment.token);
    socket = protocols ? new WebSocket(url, protocols) : new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('emulation:transport', function (event) {
      result.transports.push(event.detail.transport);
    });
    equal(socket.readyState, 0);
    expect('open', function () {
      equal(socket.readyState, 1);
      onopen();
    });
  }

  function expect(type, action) {
    function unexpected(event) {
      var code = event.type === 'close' ? ' ' + event.code + ' ' + event.reason : '';
      finish(event.type + code + ' came where ' + type + ' was expected');
    }
    socket.onopen = socket.onmessage = socket.onerror = socket.onclose = unexpected;
    socket['on' + type] = guard(action);
  }

  function expectMessage(action) {
    expect('message', function (event) {
      action(event.data);
    });
  }

  /** Sends each of the messages when the echo of the one before has come. */
  function exchange(messages, check, done) {
    var index = 0;
    function send() {
      if (index === messages.length) return done();
      expectMessage(function (data) {
        check(data, messages[index]);
        index++;
        send();
      });
      socket.send(messages[index]);
    }
    send();
  }

  function expectClose(code, reason, done) {
    expect('close', function (event) {
      equal([event.code, event.reason, event.wasClean], [code, reason, true]);
      equal(socket.readyState, 3);
      done();
    });
  }

  function closes(done) {
    expectClose(4005, 'bye \u270b', done);
    socket.close(4005, 'bye \u270b');
  }

  function opens(done) {
    var opening = new Date().getTime();
    connect('/echo', ['chat.v1', 'chat.v2'], function () {
      result.opened = new Date().getTime() - opening;
      result.tag = Object.prototype.toString.call(socket);
      done();
    });
  }

  function hasSubprotocol(done) {
    equal(socket.protocol, 'chat.v2');
    done();
  }

  function exchangesText(done) {
    var texts = ['hello', '', '\0', '\0[1]', 'a\0b', '\u2028\r\n\ufeff', '\u017elu\u0165 \ud83d\ude00'];
    exchange(texts, equal, done);
  }

  function exchangesLongText(done) {
    var text = repeat('a\u00e9\u20ac\ud83d\ude00xyz01', MEBIBYTE / 16) + repeat('.', MEBIBYTE / 16);
    exchange(
      [text],
      function (data) {
        equal([data.length, data === text], [text.length, true]);
      },
      done
    );
  }

  function checkBytes(data, sent) {
    equal(typeof data, 'object');
    equal(Object.prototype.toString.call(data), '[object ArrayBuffer]');
    equal(bytesOf(data).join(), bytesOf(sent.buffer || sent).join());
  }

  function exchangesBytes(done) {
    var bytes = new Uint8Array(everyByte());
    exchange([bytes.buffer, new ArrayBuffer(0), new Uint8Array([255, 0, 128])], checkBytes, done);
  }

  function exchangesLongBinary(done) {
    var bytes = new Uint8Array(MEBIBYTE);
    for (var i = 0; i < bytes.length; i++) bytes[i] = (i * 31) % 251;
    exchange(
      [bytes.buffer],
      function (data) {
        var echo = new Uint8Array(data);
        equal(echo.length, bytes.length);
        for (var i = 0; i < bytes.length; i++) if (echo[i] !== bytes[i]) equal(i, 'the same');
      },
      done
    );
  }

  function exchangesBlobs(done) {
    socket.binaryType = 'blob';
    expectMessage(function (data) {
      equal(data instanceof Blob, true);
      readBlob(
        data,
        guard(function (buffer) {
          equal(bytesOf(buffer), everyByte());
          done();
        })
      );
    });
    socket.send(new Blob([new Uint8Array(everyByte()).buffer]));
  }

  /** Without Blob the default `binaryType` brings what there is. */
  function takesBuffersForBlobs(done) {
    socket.binaryType = 'blob';
    exchange([new Uint8Array(everyByte()).buffer], checkBytes, done);
  }

  function takesEveryByte(done) {
    connect('/every-byte', undefined, function () {
      expectMessage(function (data) {
        equal(bytesOf(data), everyByte());
        closes(done);
      });
    });
  }

  function isClosed(done) {
    var reason = 'gone fishing \ud83c\udfa3';
    connect('/close?code=4321&reason=' + encodeURIComponent(reason), undefined, function () {
      expectClose(4321, reason, done);
    });
  }

  steps = [
    ['opens', opens],
    ['subprotocol', hasSubprotocol],
    ['text', exchangesText],
    ['1 MiB of text', exchangesLongText],
  ];
  if (isBinarySupported) {
    steps.push(['bytes', exchangesBytes], ['1 MiB of bytes', exchangesLongBinary]);
    steps.push(['Blob', isBlobSupported() ? exchangesBlobs : takesBuffersForBlobs]);
  }
  steps.push(['closes', closes], ['bytes from the server', takesEveryByte], ['is closed', isClosed]);
  next();
}
