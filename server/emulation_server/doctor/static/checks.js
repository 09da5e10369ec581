// What an examination does, step by step. Each check writes what it found into its member of the
// result; what that means is for verdict.js to say.

(function () {
  'use strict';

  var ROUND_TRIPS = 12;
  var NATIVE_SECONDS = 4;
  // The server writes for 3.4 s; a line that is slow, and a proxy that holds all of it, have more.
  var STREAM_SECONDS = 12;
  var DOWNLOADS = [65536, 524288, 2097152];
  // Past the limits that are met with: 64 KiB, 512 KiB, and nginx's 1 MiB.
  var UPLOADS = [16384, 70000, 300000, 600000, 1150000, 2200000];
  // When one took so long the next would only take longer.
  var SLOW_MILLISECONDS = 2000;
  // Around the heartbeat of 15 s and the limits of 30, 50 and 60 s that proxies come with. With one
  // connection left, a browser has no more than six.
  var SILENCES = [4, 16, 31, 46, 61];
  var GRACE_SECONDS = 3;

  // A transport has this long to echo, and as many round trips: more than its opening takes. A page's
  // own choice may have to find out about several.
  var SESSION_SECONDS = 4;
  var SESSION_ROUND_TRIPS = 10;
  var OWN_SECONDS = 8;

  var INTERMEDIARY =
    /^(via|forwarded|x-forwarded-.*|x-real-ip|x-cache.*|x-served-by|x-proxy.*|proxy-.*|client-ip|cf-.*|x-amz.*|x-bluecoat.*|x-varnish|age|warning|server|x-iinfo|x-squid.*|cdn-loop|true-client-ip|max-forwards)$/;
  // What servers and browsers add by themselves.
  var ORDINARY =
    /^(date|server|connection|keep-alive|transfer-encoding|content-length|content-encoding|vary)$/;

  /** Call `step` for each item, one after another; `step` calls back with true to stop. */
  function each(items, step, done) {
    var index = 0;
    function next(stop) {
      if (stop || index >= items.length) return done();
      step(items[index++], next);
    }
    next(false);
  }

  // --- Reaching the server ---------------------------------------------------------------------

  function protocolOf(url) {
    if (!window.performance || !performance.getEntriesByName) return '';
    var entry = performance.getEntriesByName(url)[0];
    return (entry && entry.nextHopProtocol) || '';
  }

  function reach(exam, done) {
    var found = (exam.result.reach = { rtt: [], passes: {} });
    var turns = [];
    while (turns.length < ROUND_TRIPS) turns.push(turns.length);

    function ask(method, query, next) {
      doctor.ask(exam, 'seen', { method: method, query: query }, function (answer, outcome) {
        found.passes[method] = answer && answer.method === method ? 200 : outcome.status;
        // What is kept from an earlier examination is one of the same path.
        if (!answer && /"run":/.test(outcome.text)) found.cache = 'path';
        next(answer, outcome);
      });
    }

    each(
      turns,
      function (turn, next) {
        ask('POST', 'n=' + turn, function (answer, outcome) {
          if (!answer) return next(turn > 1);
          // The first one may have to connect.
          if (turn) found.rtt.push(outcome.total);
          else found.first = outcome.first;
          exam.scheme = answer.scheme;
          found.server = answer.http;
          found.browser = protocolOf(doctor.address(exam, 'seen', 'n=' + turn));
          next();
        });
      },
      function () {
        ask('GET', 'n=a', function (first) {
          ask('GET', 'n=a', function (same) {
            ask('GET', 'n=b', function (other) {
              // The server counts: an answer that came before came from somebody else.
              if (first && same && same.count <= first.count) found.cache = 'url';
              if (first && other && other.count <= first.count) found.cache = 'path';
              ask('OPTIONS', '', function () {
                ask('PUT', '', done);
              });
            });
          });
        });
      }
    );
  }

  // --- Who stands in between ---------------------------------------------------------------------

  function has(headers, name) {
    for (var i = 0; i < headers.length; i++) if (headers[i][0] === name) return true;
    return false;
  }

  function parse(text) {
    var headers = [];
    text.split(/\r?\n/).forEach(function (line) {
      var colon = line.indexOf(':');
      if (colon < 1) return;
      headers.push([
        line.slice(0, colon).toLowerCase(),
        line
          .slice(colon + 1)
          .trim()
          .slice(0, 256),
      ]);
    });
    return headers;
  }

  function way(exam, done) {
    document.cookie = 'doctor=1; path=' + location.pathname;
    var options = { headers: { 'X-Doctor': '1', 'X-Requested-With': 'doctor' } };
    doctor.ask(exam, 'seen', options, function (answer, outcome) {
      document.cookie = 'doctor=; path=' + location.pathname + '; max-age=0';
      if (!answer) return done();
      var came = parse(outcome.headers);
      var found = (exam.result.way = { up: [], down: [], lost: [], removed: [], coding: '' });
      found.up = answer.headers.filter(function (header) {
        return INTERMEDIARY.test(header[0]);
      });
      found.down = came.filter(function (header) {
        var isNew = answer.sent.indexOf(header[0]) < 0 && !ORDINARY.test(header[0]);
        return isNew || (header[0] === 'server' && !/^(uvicorn|hypercorn|granian)/.test(header[1]));
      });
      // A browser whose cookies are off sends none.
      if (document.cookie.indexOf('doctor') >= 0 || navigator.cookieEnabled) {
        if (!has(answer.headers, 'cookie')) found.lost.push('Cookie');
      }
      if (!has(answer.headers, 'x-doctor')) found.lost.push('X-…');
      if (!has(answer.headers, 'origin')) found.lost.push('Origin');
      answer.sent.forEach(function (name) {
        if (!has(came, name) && !ORDINARY.test(name)) found.removed.push(name);
      });
      came.forEach(function (header) {
        if (header[0] === 'content-encoding' && header[1] !== 'identity') found.coding = header[1];
      });
      done();
    });
  }

  // --- A plain WebSocket -------------------------------------------------------------------------

  function native(exam, done) {
    var found = (exam.result.native = {});
    // PhantomJS 1.x has the class of a draft of 2010.
    if (!window.WebSocket || !window.CloseEvent) {
      found.error = 'none';
      return done();
    }
    var began = doctor.now();
    var socket;

    function finish(error) {
      if (found.error !== undefined) return;
      found.error = error;
      clearTimeout(timer);
      if (socket) socket.close();
      doctor.ask(exam, 'arrived', {}, function (answer) {
        found.arrived = answer ? answer.native : '';
        done();
      });
    }

    var timer = setTimeout(function () {
      finish('silent');
    }, NATIVE_SECONDS * 1000);
    try {
      socket = new window.WebSocket(doctor.address(exam, 'native').replace(/^http/, 'ws'));
    } catch (error) {
      return finish('thrown');
    }
    socket.onopen = function () {
      found.open = doctor.since(began);
    };
    socket.onmessage = function (event) {
      if (event.data === 'hello') {
        found.hello = doctor.since(began);
        socket.send('echo');
      } else {
        found.echo = doctor.since(began);
        finish('');
      }
    };
    socket.onclose = function (event) {
      found.code = event.code;
      finish('closed');
    };
  }

  // --- Streams -----------------------------------------------------------------------------------

  /** Read what the server says of its pieces: [milliseconds, bytes] of each. */
  function pieces(text) {
    return (text.match(/^(?:data: )?\d+ \d+ /gm) || []).map(function (line) {
      return line.replace('data: ', '').split(' ').slice(0, 2).map(Number);
    });
  }

  function byBytes(exam, found, done) {
    doctor.request(
      {
        url: doctor.address(exam, 'stream'),
        body: '',
        seconds: STREAM_SECONDS,
        onprogress: function (milliseconds, characters) {
          if (found.arrived.length < 60) found.arrived.push([milliseconds, characters]);
        },
      },
      function (outcome) {
        found.written = pieces(outcome.text);
        found.status = outcome.status;
        found.error = outcome.error;
        done();
      }
    );
  }

  function byEvents(exam, found, done) {
    if (!window.EventSource) {
      found.error = 'none';
      return done();
    }
    var began = doctor.now();
    var source = new window.EventSource(doctor.address(exam, 'events'));
    var timer = setTimeout(finish, STREAM_SECONDS * 1000);

    function finish() {
      clearTimeout(timer);
      source.close();
      found.error = found.written.length ? '' : 'no answer';
      done();
    }

    source.onmessage = function (event) {
      var piece = pieces(event.data)[0];
      if (!piece) return;
      found.written.push(piece);
      found.arrived.push([doctor.since(began), piece[1]]);
    };
    source.onerror = finish;
  }

  function streams(exam, done) {
    var waiting = 2;
    exam.result.streams = {};
    [
      ['bytes', byBytes],
      ['events', byEvents],
    ].forEach(function (kind) {
      var found = (exam.result.streams[kind[0]] = { written: [], arrived: [] });
      kind[1](exam, found, function () {
        if (!--waiting) done();
      });
    });
  }

  // --- Transports --------------------------------------------------------------------------------

  function isSupported(name) {
    if (name === 'websocket') return window.WebSocket && window.CloseEvent;
    if (name === 'stream') return window.fetch && window.Response && 'body' in Response.prototype;
    return name === 'sse' ? window.EventSource : true;
  }

  function converse(exam, name, done) {
    var frame = document.createElement('iframe');
    frame.title = 'Trying ' + name;
    frame.className = 'frame';
    frame.tabIndex = -1;
    frame.setAttribute('aria-hidden', 'true');
    // The frame has a deadline of its own, unless it could not be loaded.
    var timer = setTimeout(function () {
      finish(name, { rtt: [], error: 'no script' });
    }, 20000);

    function finish(told, result) {
      if (told !== name || !frame) return;
      clearTimeout(timer);
      exam.result.sessions[name] = result;
      var old = frame;
      frame = null;
      // Behind the event of its own from which it may have called.
      setTimeout(function () {
        document.body.removeChild(old);
        done();
      }, 50);
    }

    doctor.ontransport = finish;
    var roundTrip = doctor.format.quantile(exam.result.reach.rtt, 0.5) / 1000;
    var seconds = SESSION_SECONDS + SESSION_ROUND_TRIPS * roundTrip;
    if (name === 'own') seconds += OWN_SECONDS;
    frame.src = 'session.html?' + [name, exam.run, Math.ceil(seconds)].join(',');
    document.body.appendChild(frame);
  }

  function sessions(exam, done) {
    exam.result.sessions = {};
    each(
      ['websocket', 'stream', 'sse', 'xhr-stream', 'poll', 'own'],
      function (name, next) {
        exam.say(name === 'own' ? 'Letting the page choose by itself' : 'Talking over ' + name);
        if (name !== 'own' && exam.transports.indexOf(name) < 0) {
          exam.result.sessions[name] = { rtt: [], error: 'not allowed' };
        } else if (name !== 'own' && !isSupported(name)) {
          exam.result.sessions[name] = { rtt: [], error: 'no engine' };
        } else {
          return converse(exam, name, function () {
            exam.update();
            next();
          });
        }
        next();
      },
      done
    );
  }

  // --- Volume ------------------------------------------------------------------------------------

  function repeat(text, size) {
    while (text.length < size) text += text;
    return text.slice(0, size);
  }

  function volume(exam, done) {
    var found = (exam.result.volume = { down: [], up: [] });

    function download(size, next) {
      exam.say('Downloading ' + size + ' bytes');
      var url = doctor.address(exam, 'download', 'bytes=' + size);
      doctor.request({ url: url, body: '', seconds: 12 }, function (outcome) {
        if (doctor.refusal(outcome)) return next(true);
        var isWhole = outcome.status === 200 && outcome.text.length === size;
        found.down.push([size, outcome.total, isWhole ? 200 : outcome.status || -1]);
        exam.update();
        next(!isWhole || outcome.total > SLOW_MILLISECONDS);
      });
    }

    function upload(size, next) {
      exam.say('Uploading ' + size + ' bytes');
      var options = { body: repeat('0123456789abcdef', size), seconds: 12 };
      doctor.ask(exam, 'upload', options, function (answer, outcome) {
        if (doctor.refusal(outcome)) return next(true);
        var isWhole = answer && answer.received === size;
        if (isWhole) found.framing = answer.framing;
        found.up.push([size, outcome.total, isWhole ? 200 : outcome.status || -1]);
        exam.update();
        next(!isWhole || outcome.total > SLOW_MILLISECONDS);
      });
    }

    each(DOWNLOADS, download, function () {
      each(UPLOADS, upload, done);
    });
  }

  // --- Silence -----------------------------------------------------------------------------------

  /** Park an answer for each time at once; the first that is missed decides. */
  function idle(exam, done) {
    var longest = Math.min(exam.longestSilence, exam.secondsLeft() - GRACE_SECONDS);
    var times = SILENCES.filter(function (seconds) {
      return seconds <= longest;
    });
    var found = (exam.result.idle = {
      passed: 0,
      failed: 0,
      tried: times.slice(-1)[0] || 0,
    });
    var aborts = [];
    var waiting = times.length;
    var began = doctor.now();
    var ticking = setInterval(function () {
      exam.advance(doctor.since(began) / 1000 / found.tried);
    }, 1000);

    function finish(kind, seconds) {
      clearInterval(ticking);
      exam.onskip = null;
      aborts.forEach(function (abort) {
        abort();
      });
      found.kind = kind;
      found.failed = seconds;
      done();
    }

    if (!waiting) return finish('skipped', 0);
    exam.onskip = function () {
      finish('skipped', 0);
    };
    exam.say('Keeping silent for up to ' + found.tried + ' s');
    times.forEach(function (seconds) {
      var url = doctor.address(exam, 'idle', 'seconds=' + seconds);
      var options = { url: url, body: '', seconds: seconds + GRACE_SECONDS };
      aborts.push(
        doctor.request(options, function (outcome) {
          if (/end\n$/.test(outcome.text)) {
            found.passed = Math.max(found.passed, seconds);
            exam.update();
            if (!--waiting) finish('', 0);
          } else if (outcome.error === 'no answer') finish('silent', seconds);
          else finish('cut', Math.round(outcome.total / 100) / 10);
        })
      );
    });
  }

  // --- The examination ---------------------------------------------------------------------------

  /** The steps, in order: the name in the result, what is being done, and the check. */
  doctor.checks = [
    ['reach', 'Asking the server', reach],
    ['way', 'Comparing headers', way],
    ['native', 'Opening a plain WebSocket', native],
    ['streams', 'Watching answers that come piece by piece', streams],
    ['sessions', 'Talking over each transport', sessions],
    ['volume', 'Measuring how much gets through', volume],
    ['idle', 'Keeping silent', idle],
  ];

  /** Begin an examination; `done` gets a sentence where the server refuses or is not reached. */
  doctor.start = function (exam, done) {
    doctor.ask(exam, 'start', {}, function (answer, outcome) {
      if (!answer) return done(doctor.refusal(outcome), outcome);
      exam.transports = answer.transports;
      exam.result.heartbeat = answer.heartbeat;
      exam.endsAt = doctor.now() + answer.limits.seconds * 1000;
      done('', outcome);
    });
  };
})();
