// What a result means, in words. Nothing here asks the network: a result from a link reads the same.

(function () {
  'use strict';

  var NAMES = {
    websocket: 'WebSocket',
    stream: 'streaming',
    sse: 'server-sent events',
    'xhr-stream': 'streaming to an older interface',
    poll: 'long-polling',
  };
  var ORDER = ['websocket', 'stream', 'sse', 'xhr-stream', 'poll'];

  // Slower than any scheduling, and than the pause between two pieces.
  var HELD_MILLISECONDS = 350;
  var JITTER_MILLISECONDS = 50;
  // What Nagle's algorithm and a delayed acknowledgement make of two small pieces is 40 to 200.
  var LATE_MILLISECONDS = 35;
  // A page gives a stream up that is this late (docs/protocol.md section 8.1).
  var GIVEN_UP_MILLISECONDS = 2000;

  // That the server writes.
  var PIECES = 18;

  var GOOD = 'good';
  var FAIR = 'fair';
  var BAD = 'bad';
  var NONE = 'none';

  /** @returns {number} the one below which a share of the values lies */
  function quantile(values, share) {
    var sorted = (values || []).slice().sort(function (a, b) {
      return a - b;
    });
    return sorted.length
      ? sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
      : 0;
  }

  function milliseconds(value) {
    return (value < 9.95 ? Math.round(value * 10) / 10 : Math.round(value)) + '\u00a0ms';
  }

  function size(bytes) {
    if (bytes < 1024) return bytes + ' bytes';
    if (bytes < 1048576) return Math.round(bytes / 1024) + ' KiB';
    return Math.round(bytes / 104857.6) / 10 + ' MiB';
  }

  function rate(bytes, time) {
    return size(Math.round(bytes / (Math.max(time, 1) / 1000))) + '/s';
  }

  function list(words) {
    return words.length < 2
      ? words.join('')
      : words.slice(0, -1).join(', ') + ' and ' + words[words.length - 1];
  }

  /**
   * @param {string} grade
   * @param {string} text
   * @param {string[]} [more] what may be of use besides
   * @param {string[]} [troubles] of that, what belongs to the verdict
   */
  function said(grade, text, more, troubles) {
    var findings = troubles || [];
    return { grade: grade, text: text, more: (more || []).concat(findings), findings: findings };
  }

  /** Say what belongs to the verdict as it stands. */
  function trouble(grade, text, more) {
    var words = said(grade, text, more);
    words.findings = [text].concat(words.more);
    return words;
  }

  function works(session) {
    return !!session && !session.error && session.rtt.length > 0;
  }

  // --- The steps ---------------------------------------------------------------------------------

  function reach(found) {
    if (!found.passes) return said(NONE, '');
    if (found.passes.POST !== 200 && !found.rtt.length) {
      return trouble(BAD, 'POST does not get through (' + answered(found.passes.POST) + ').');
    }
    var text = 'A round trip takes ' + milliseconds(quantile(found.rtt, 0.5));
    text += ' (19 of 20 less than ' + milliseconds(quantile(found.rtt, 0.95)) + ').';
    var more = [
      'First byte after ' + milliseconds(found.first) + ', with a new connection if need be.',
      'The server was asked in HTTP/' +
        found.server +
        '; this browser ' +
        (found.browser ? 'speaks ' + found.browser : 'does not tell what it speaks') +
        '.',
    ];
    var troubles = [];
    var refused = ['GET', 'OPTIONS', 'PUT'].filter(function (method) {
      return found.passes[method] !== undefined && found.passes[method] !== 200;
    });
    if (refused.length) {
      troubles.push(
        list(refused) +
          (refused.length > 1 ? ' do' : ' does') +
          ' not get through (' +
          answered(found.passes[refused[0]]) +
          ').' +
          (refused.indexOf('OPTIONS') >= 0 ? ' Pages of other origins need OPTIONS.' : '')
      );
    }
    if (found.cache) {
      troubles.push(
        'GET is answered from a cache that heeds no prohibition' +
          (found.cache === 'path' ? ' and not even the query' : '') +
          '. The emulation asks with POST.'
      );
    }
    if (found.server === '1.0') {
      troubles.push('The server is asked in HTTP/1.0: each request is a new connection.');
    }
    return said(troubles.length ? FAIR : GOOD, text, more, troubles);
  }

  function answered(status) {
    return status > 0 ? 'answered with ' + status : 'no answer';
  }

  function headers(pairs) {
    return pairs
      .map(function (pair) {
        return pair.join(': ');
      })
      .join('; ');
  }

  function way(found) {
    if (!found.up) return said(NONE, 'There was no answer to compare.');
    var more = [];
    var troubles = [];
    // Its own word for nginx, which keeps it.
    var removed = found.removed.filter(function (name) {
      return name !== 'x-accel-buffering';
    });
    if (found.up.length) more.push('The server was shown: ' + headers(found.up) + '.');
    if (found.down.length) more.push('This browser was shown: ' + headers(found.down) + '.');
    if (removed.length < found.removed.length) {
      more.push('X-Accel-Buffering has been heeded, as nginx does.');
    }
    if (found.lost.length)
      troubles.push('Taken away from requests: ' + found.lost.join(', ') + '.');
    if (removed.length) troubles.push('Taken away from answers: ' + removed.join(', ') + '.');
    if (found.coding) troubles.push('Answers are compressed on the way (' + found.coding + ').');
    if (troubles.length) {
      return said(FAIR, 'Somebody in between changes what passes.', more, troubles);
    }
    return said(
      GOOD,
      (more.length ? 'Somebody in between' : 'No intermediary') + ' gives itself away.',
      more
    );
  }

  function native(found) {
    if (found.error === undefined) return said(NONE, '');
    if (found.error === 'none')
      return said(FAIR, 'This browser has no WebSocket that servers speak.');
    if (!found.error)
      return said(GOOD, 'It opens after ' + milliseconds(found.open) + ' and echoes.');
    if (found.open !== undefined) {
      return said(
        BAD,
        found.error === 'silent'
          ? 'It is opened by a proxy, but frames never arrive' +
              (found.arrived ? '.' : ', the server is never asked.')
          : 'It is opened and then broken off, before anything arrives.'
      );
    }
    if (found.arrived === 'plain') {
      return said(
        BAD,
        'The upgrade is taken out on the way, the server is asked for a plain page.'
      );
    }
    if (found.arrived === 'upgrade') {
      return said(BAD, 'The server agreed to the upgrade, but its answer did not come through.');
    }
    return said(
      BAD,
      found.error === 'silent' ? 'It is neither opened nor refused.' : 'It is refused on the way.'
    );
  }

  /** Compare what was written with what arrived: { late, bytes, isWhole, isCut }. */
  doctor.holdBack = function (stream, roundTrip) {
    var written = stream.written || [];
    var arrived = stream.arrived || [];
    if (!written.length || !arrived.length) return null;
    var last = written[written.length - 1];
    var late = 0;
    var bytes = 0;
    written.forEach(function (piece) {
      for (var i = 0; i < arrived.length && arrived[i][1] < piece[1];) i++;
      if (arrived[i]) late = Math.max(late, arrived[i][0] - roundTrip - piece[0]);
    });
    arrived.forEach(function (event, index) {
      var before = index ? arrived[index - 1][1] : 0;
      written.forEach(function (piece) {
        if (piece[0] < event[0] - roundTrip - JITTER_MILLISECONDS) {
          bytes = Math.max(bytes, piece[1] - before);
        }
      });
    });
    return {
      late: Math.max(0, Math.round(late)),
      bytes: Math.max(0, bytes),
      isWhole: arrived[0][0] - roundTrip > last[0] - 100,
      isLate: late > HELD_MILLISECONDS,
    };
  };

  function isCut(stream) {
    return !!stream && stream.arrived.length > 0 && stream.written.length < PIECES;
  }

  function stream(what, found, roundTrip) {
    if (!found) return said(NONE, '');
    if (found.error === 'none') return said(NONE, 'This browser has no ' + what + '.');
    var held = doctor.holdBack(found, roundTrip);
    if (!held) {
      return said(BAD, what + ' do not arrive (' + answered(found.status) + ').');
    }
    if (isCut(found)) {
      return said(
        BAD,
        what +
          ' are cut off after ' +
          Math.round(found.arrived[found.arrived.length - 1][0] / 100) / 10 +
          ' s.'
      );
    }
    if (held.isWhole) {
      return said(
        BAD,
        what +
          ' are held back until they have ended: ' +
          Math.round(held.late / 100) / 10 +
          ' s and ' +
          size(found.written[found.written.length - 1][1]) +
          ' late.'
      );
    }
    if (held.isLate) {
      return said(
        held.late > GIVEN_UP_MILLISECONDS / 2 ? BAD : FAIR,
        what +
          // An event counts when it is whole: how much of it was held is not known.
          (found.status
            ? ' are held back in blocks of about ' + size(held.bytes) + ','
            : ' are held back') +
          ' for up to ' +
          Math.round(held.late / 100) / 10 +
          ' s.'
      );
    }
    return said(GOOD, what + ' arrive as they are written.');
  }

  function streams(found, result) {
    if (!found.bytes) return said(NONE, '');
    var roundTrip = quantile((result.reach || {}).rtt, 0.5);
    var bytes = stream('Streams', found.bytes, roundTrip);
    var events = stream('Server-sent events', found.events, roundTrip);
    var words = said(
      worst([bytes.grade, events.grade]),
      bytes.text,
      events.text ? [events.text] : []
    );
    words.findings = [bytes, events].filter(isTroubled).map(function (one) {
      return one.text;
    });
    return words;
  }

  function isTroubled(words) {
    return words.grade === FAIR || words.grade === BAD;
  }

  function worst(grades) {
    return grades.indexOf(BAD) >= 0 ? BAD : grades.indexOf(FAIR) >= 0 ? FAIR : grades[0];
  }

  var ERRORS = {
    'not allowed': 'the server does not allow it',
    'no engine': 'this browser cannot do it',
    'no script': 'the script of the emulation did not arrive',
    refused: 'it was refused',
    'not opened': 'it was not opened in time',
    silent: 'it opened, and no message came back',
    altered: 'messages came back altered',
  };

  /** Say of one transport what became of it. */
  doctor.describe = function (session) {
    if (works(session)) {
      return (
        'opens in ' +
        milliseconds(session.open) +
        ', first message after ' +
        milliseconds(session.first) +
        ', round trip ' +
        milliseconds(quantile(session.rtt, 0.5)) +
        ' (p95 ' +
        milliseconds(quantile(session.rtt, 0.95)) +
        ')'
      );
    }
    return ERRORS[session.error] || 'it broke off: ' + session.error;
  };

  function sessions(found) {
    var tried = ORDER.filter(function (name) {
      return found[name];
    });
    if (!tried.length) return said(NONE, '');
    var good = tried.filter(function (name) {
      return works(found[name]) && !found[name].isPlain;
    });
    var more = [];
    if (works(found.own)) {
      more.push(
        'Left to itself, a page uses ' +
          NAMES[found.own.used] +
          ', and has its first message after ' +
          milliseconds(found.own.first) +
          '.'
      );
    }
    var isLate =
      works(found.stream) &&
      works(found.poll) &&
      quantile(found.stream.rtt, 0.5) > quantile(found.poll.rtt, 0.5) + LATE_MILLISECONDS;
    var troubles = [];
    if (isLate) {
      troubles.push(
        'Small pieces of a stream do not go at once, but after a while that is longer than a poll' +
          ' takes (HAProxy without option http-no-delay).'
      );
    }
    var words = good.map(function (name) {
      return NAMES[name];
    });
    if (!good.length) return said(BAD, 'No transport carries messages.', more);
    var isBest = good[0] === 'websocket';
    return said(isBest ? GOOD : FAIR, 'Messages pass by ' + list(words) + '.', more, troubles);
  }

  function volume(found) {
    if (!found.down || !found.down.length) return said(NONE, '');
    var text = [];
    [
      ['down ', best(found.down)],
      ['up ', best(found.up)],
    ].forEach(function (way) {
      if (way[1]) text.push(way[0] + rate(way[1][0], way[1][1]));
    });
    if (!text.length) return trouble(BAD, 'Nothing of any size gets through.');
    var troubles = [];
    var refused = found.up.filter(isRefused)[0];
    var passed = found.up.filter(function (entry) {
      return !isRefused(entry);
    });
    if (refused) {
      troubles.push(
        'A body of ' +
          size(refused[0]) +
          ' is refused (' +
          answered(refused[2]) +
          ')' +
          (passed.length ? ', one of ' + size(passed[passed.length - 1][0]) + ' passes' : '') +
          '. Pages send smaller ones by themselves.'
      );
    }
    var cut = found.down.filter(isRefused)[0];
    if (cut) troubles.push('A download of ' + size(cut[0]) + ' is cut.');
    if (found.framing === 'chunked')
      troubles.push('Bodies arrive in chunks, without their length.');
    return said(
      troubles.length ? FAIR : GOOD,
      'At the best ' + text.join(', ') + '.',
      [],
      troubles
    );
  }

  function isRefused(entry) {
    return entry[2] !== 200;
  }

  /** The fastest of those that passed. */
  function best(entries) {
    return entries
      .filter(function (entry) {
        return !isRefused(entry);
      })
      .sort(function (a, b) {
        return b[0] / b[1] - a[0] / a[1];
      })[0];
  }

  function idle(found, result) {
    if (found.kind === undefined) return said(NONE, '');
    var heartbeat = result.heartbeat || 15;
    if (found.kind === 'skipped') {
      return said(
        NONE,
        found.passed ? 'Skipped: silence of ' + found.passed + ' s is allowed.' : 'Skipped.'
      );
    }
    if (!found.kind) {
      return said(GOOD, 'An answer may be silent for ' + found.passed + ' s, and probably longer.');
    }
    var text =
      found.kind === 'cut'
        ? 'An answer that is silent is cut off after ' + found.failed + ' s.'
        : 'What comes after ' +
          found.failed +
          ' s of silence never arrives' +
          (found.passed ? '; ' + found.passed + ' s are allowed.' : '.');
    if (isCut((result.streams || {}).bytes)) {
      return trouble(FAIR, 'An answer is cut off after ' + found.failed + ' s, silent or not.', [
        'Pages ask anew when that happens, and lose nothing.',
      ]);
    }
    if (found.failed > heartbeat) {
      return said(GOOD, text, ['The server speaks every ' + heartbeat + ' s: nothing is lost.']);
    }
    return trouble(FAIR, text, [
      'The server speaks only every ' + heartbeat + ' s: let it do so more often (--heartbeat).',
    ]);
  }

  var STEPS = {
    reach: ['Reaching the server', reach],
    way: ['Who stands in between', way],
    native: ['A plain WebSocket', native],
    streams: ['Answers that come piece by piece', streams],
    sessions: ['Every transport', sessions],
    volume: ['How much gets through', volume],
    idle: ['How long silence is allowed', idle],
  };

  doctor.title = function (name) {
    return STEPS[name][0];
  };

  /** Say what a step has found: { grade, text, more, findings }. */
  doctor.words = function (name, result) {
    return result[name] ? STEPS[name][1](result[name], result) : said(NONE, '');
  };

  // --- The verdict -------------------------------------------------------------------------------

  function cause(result) {
    var words = doctor.words('native', result);
    if (!result.native || !result.native.error)
      return 'WebSocket opens, but does not carry messages';
    return words.text
      .replace(/^It /, 'WebSocket ')
      .replace('The upgrade', 'The upgrade to WebSocket')
      .replace(/, the server is asked.*/, '')
      .replace(/\.$/, '');
  }

  /** Put the whole into words: { grade, headline, findings }. */
  doctor.verdict = function (result) {
    var found = result.sessions || {};
    var own = found.own;
    var findings = [];
    ['reach', 'streams', 'sessions', 'volume', 'idle', 'way'].forEach(function (name) {
      findings = findings.concat(doctor.words(name, result).findings);
    });
    if (result.error) return { grade: BAD, headline: result.error, findings: [] };
    var name = works(own)
      ? own.used
      : ORDER.filter(function (each) {
          return works(found[each]);
        })[0];
    if (!name) {
      return {
        grade: BAD,
        headline: cause(result) + '; nothing else gets through either.',
        findings: findings,
      };
    }
    var session = works(found[name]) ? found[name] : own;
    var about = milliseconds(Math.max(1, Math.round(quantile(session.rtt, 0.5))));
    if (name === 'websocket') {
      return {
        grade: GOOD,
        headline: 'WebSocket works here: pages use it, at about ' + about + ' for a round trip.',
        findings: findings,
      };
    }
    return {
      grade: FAIR,
      headline:
        cause(result) +
        '; ' +
        NAMES[name] +
        (name === 'sse' ? ' work: pages will use them' : ' works: pages will use it') +
        ', at about ' +
        about +
        '.',
      findings: findings,
    };
  };

  /** Return the whole as plain text. */
  doctor.report = function (result) {
    var verdict = doctor.verdict(result);
    var lines = [verdict.headline];
    verdict.findings.forEach(function (text) {
      lines.push('- ' + text);
    });
    lines.push('', result.url, new Date(result.at * 1000).toUTCString(), result.agent, '');
    for (var name in STEPS) {
      var words = doctor.words(name, result);
      lines.push(doctor.title(name) + ': ' + words.text);
      words.more.forEach(function (text) {
        lines.push('  ' + text);
      });
      if (name !== 'sessions') continue;
      ORDER.forEach(function (each) {
        var session = (result.sessions || {})[each];
        if (session) lines.push('  ' + NAMES[each] + ': ' + doctor.describe(session));
      });
    }
    return lines.join('\n') + '\n';
  };

  doctor.format = { milliseconds: milliseconds, size: size, rate: rate, quantile: quantile };
  doctor.names = NAMES;
  doctor.order = ORDER;
  doctor.works = works;
  doctor.isRefused = isRefused;
})();
