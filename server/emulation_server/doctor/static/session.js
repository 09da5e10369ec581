// One emulated WebSocket over one transport, in a frame of its own: the shim takes its settings when
// it loads. What came of it is told to the page around.

(function () {
  'use strict';

  var ECHOES = 15;

  var query = /\?([\w-]+),([\w-]+),(\d+)/.exec(location.search) || [];
  var name = query[1];
  var run = query[2];
  var seconds = Number(query[3]);
  var isOwn = name === 'own';
  var result = { rtt: [], used: '' };
  var isOver = false;
  var began;
  var socket;

  function now() {
    return window.performance && performance.now ? performance.now() : new Date().getTime();
  }

  function since(time) {
    return Math.round((now() - time) * 10) / 10;
  }

  function finish(error) {
    if (isOver) return;
    isOver = true;
    if (error) result.error = error;
    parent.doctor.ontransport(name, result);
    if (socket) socket.close();
  }

  function talk() {
    var sentAt;

    socket.onopen = function () {
      result.open = since(began);
      sentAt = now();
      socket.send('0');
    };
    socket.onmessage = function (event) {
      if (result.first === undefined) result.first = since(began);
      else result.rtt.push(since(sentAt));
      if (String(event.data) !== String(result.rtt.length)) return finish('altered');
      if (result.rtt.length === ECHOES) return finish('');
      sentAt = now();
      // The first message of all counts as the opening: its answer may have to wait for a transport.
      socket.send(String(result.rtt.length + 1));
    };
    socket.onclose = function (event) {
      finish(result.open === undefined ? 'refused' : 'closed ' + event.code);
    };
    socket.addEventListener('emulation:transport', function (event) {
      result.used = event.detail.transport;
      if (event.detail && event.detail.reason === 'plain') result.isPlain = true;
    });
  }

  // The verdicts of other pages are not asked, and none are left to them.
  try {
    Object.defineProperty(window, 'localStorage', { value: {} });
  } catch (error) {
    // An engine that does not let it be replaced: what fails here has failed.
  }
  if (!isOwn) window.WebSocketEmulation = { transports: [name] };

  window.onload = function () {
    if (!window.WebSocketEmulation || !window.WebSocketEmulation.install)
      return finish('no script');
    setTimeout(function () {
      finish(result.open === undefined ? 'not opened' : 'silent');
    }, seconds * 1000);
    began = now();
    var base = location.href.replace(/^http/, 'ws').replace(/session\.html.*/, '');
    try {
      socket = new WebSocket(base + 'session/' + run + '/' + name);
      talk();
    } catch (error) {
      finish(String(error));
    }
  };
})();
