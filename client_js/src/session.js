import { createConnection } from './connection.js';
import { DOCUMENT } from './codec.js';
import { after, now } from './tasks.js';
import { drawToken } from './token.js';
import { createLink } from './transports/websocket.js';

/** @typedef {import('./codec.js').Frame} Frame */
/** @typedef {import('./request.js').Answer} Answer */
/** @typedef {import('./transports/websocket.js').Link} Link */
/** @typedef {ReturnType<typeof import('./carrier.js').createCarrier>} Carrier */
/** @typedef {ReturnType<typeof createSession>} Session */

/**
 * What a session tells its WebSocket.
 *
 * @typedef {object} Sink
 * @property {(protocol: string) => void} onopen
 * @property {(data: any, isBinary: boolean) => void} onmessage
 * @property {(code: number, reason: string, wasClean: boolean) => void} onclose once
 * @property {(name: string, previous: string, reason: string) => void} ontransport
 * @property {() => void} onplain nothing of ours answers: the socket may be a plain one
 */

var OPENING = 0;
var OPEN = 1;
var OVER = 2;

// An upgrade that nothing has proved by then gets an `open` over HTTP beside it, and is given up
// (section 4).
var BESIDE_SECONDS = 1;
var UPGRADE_SECONDS = 10;
// A resume is one round trip more than an upgrade, on a network that just has changed.
var RESUME_SECONDS = 5;
var PROBE_SECONDS = 3;
// The server gives an application 30.
var OPEN_SECONDS = 40;
var CLOSE_SECONDS = 10;

// Answers without our envelope to `open`, after which nobody of ours is there.
var TRIES = 3;

// A native socket's parts (section 3).
var PART_SIZE = 65536;

/**
 * One emulated WebSocket: its opening, its home, its end.
 *
 * @param {object} options
 * @param {string} options.url over HTTP, with its query
 * @param {string} options.socketURL the same as a WebSocket's
 * @param {string[]} options.protocols
 * @param {any} options.Native the engine's class, if it has one
 * @param {() => Carrier} options.getCarrier
 * @param {Sink} sink
 */
export function createSession(options, sink) {
  /** @type {Carrier} */
  var carrier;
  var state = OPENING;
  var hasRestarted = false;
  var isTold = false;
  var transport = '';
  var startedAt = 0;
  var closeSentAt = 0;
  var endedAt = 0;
  /** @type {(() => void)[]} */
  var early = [];

  // Opening over HTTP.
  var isAsked = false;
  var tries = 0;
  var pause = 0;

  // The native socket.
  /** @type {Link | undefined} */
  var link;
  var dialedAt = 0;
  var isProved = false;
  var hasResumed = false;
  var wasNative = false;
  var lostAt = 0;
  var heardAt = 0;
  /** @type {(() => void)[]} */
  var timers = [];

  var connection = createConnection({
    onmessage: function (data, isBinary) {
      tell(function () {
        sink.onmessage(data, isBinary);
      });
    },
    onclose: function (code, reason) {
      tell(function () {
        end(code, reason, true);
      });
      flush();
    },
    onfail: function () {
      carrier.log('the server broke the protocol');
      end(1006, '', false);
      flush();
    },
  });

  /**
   * Tell the page something; what comes before `opened` waits for it.
   *
   * @param {() => void} event
   */
  function tell(event) {
    if (state === OPENING) early.push(event);
    else event();
  }

  /**
   * @param {number} code
   * @param {string} reason
   * @param {boolean} wasClean
   */
  function end(code, reason, wasClean) {
    if (isTold) return;
    isTold = true;
    endedAt = now();
    sink.onclose(code, reason, wasClean);
  }

  function stopTimers() {
    while (timers.length) /** @type {() => void} */ (timers.pop())();
  }

  function dropLink() {
    var old = link;
    link = undefined;
    isProved = false;
    if (old) old.close();
  }

  /** @param {string} reason */
  function fail(reason) {
    if (state === OVER) return;
    if (!isTold) carrier.log(options.socketURL + ' fails: ' + reason);
    leave();
    end(1006, '', false);
  }

  /** Be served no longer. */
  function leave() {
    state = OVER;
    session.isHome = false;
    stopTimers();
    dropLink();
    carrier.remove(session);
  }

  /** Leave when both sides know that it is over. */
  function settle() {
    if (state !== OVER && connection.isDone()) leave();
  }

  // --- Opening -------------------------------------------------------------------------------

  function join() {
    carrier = options.getCarrier();
    session.nonce = drawToken();
    session.number = carrier.nextNumber();
    startedAt = now();
    carrier.add(session);
  }

  /**
   * Ask over HTTP.
   *
   * @param {number} seconds to wait before
   */
  function ask(seconds) {
    isAsked = true;
    if (!seconds) return carrier.open(session);
    timers.push(
      after(seconds, function () {
        carrier.open(session);
      })
    );
  }

  /** @param {any[]} opened */
  function open(opened) {
    state = OPEN;
    connection.open(opened[3]);
    carrier.configure(opened[3]);
    if (link) announce('websocket', 'it is proved');
    else carrier.welcome(session);
    sink.onopen(opened[2]);
    while (early.length) /** @type {() => void} */ (early.shift())();
    carrier.opened(session);
    flush();
  }

  /** Nothing over HTTP is ours, nor was the upgrade: perhaps it is not an emulated WebSocket. */
  function tryPlain() {
    if (!options.Native || !carrier.choice.has('websocket')) return fail('nothing answers');
    carrier.log(options.socketURL + ' is tried as a plain native one: nothing of ours answers');
    leave();
    sink.onplain();
  }

  /** Try a native socket; over HTTP beside it when it takes long. */
  function dial() {
    var secret = carrier.secret();
    dialedAt = now();
    var mine = createLink(
      options.Native,
      carrier.markNative(options.socketURL),
      ['emulation.' + session.nonce].concat(options.protocols),
      function () {},
      function (frame) {
        if (link === mine && state === OPEN) return take(mine, frame);
        var data = frame.type === DOCUMENT ? frame.data : [''];
        if (data[0] && !isProved) {
          carrier.choice.prove('websocket');
          // The open over HTTP was faster: this one works too, for the next socket.
          if (link !== mine) return mine.close();
          isProved = true;
          stopTimers();
          // Not before: the head makes this native socket the session's home.
          mine.send(head(secret));
        }
        if (data[0] === 'secret') carrier.learn(data[1], data[2]);
        else if (data[0] === 'opened') adopt(mine, data, 1);
        else if (data[0] !== 'hello') fail(data.join(' ') || 'not a server of ours');
      },
      onend
    );
    link = mine;
    timers.push(
      after(BESIDE_SECONDS, function () {
        if (!isAsked && carrier.choice.hasHTTP()) ask(0);
      })
    );
    // Even where the open over HTTP was faster: its verdict is withdrawn if this one works.
    after(UPGRADE_SECONDS, function () {
      if (link === mine && isProved) return;
      mine.close();
      onend();
    });

    function onend() {
      if (link !== mine) return;
      var wasProved = isProved;
      dropLink();
      if (state === OPEN) return lose();
      if (!wasProved) carrier.choice.fail('websocket', dialedAt);
      if (!carrier.choice.hasHTTP() || tries >= TRIES) tryPlain();
      else if (!isAsked || wasProved) ask(0);
    }
  }

  /**
   * @param {string} secret
   * @param {number} [ack] of a resume
   * @returns {Frame}
   */
  function head(secret, ack) {
    var data = ['head', 1, secret, session.number, carrier.node()];
    return { type: DOCUMENT, data: ack === undefined ? data : data.concat(ack) };
  }

  /**
   * Take the answer to an `open` over HTTP.
   *
   * @param {Record<string, any[]> | null} documents
   * @param {Answer | null} answer
   */
  function answered(documents, answer) {
    if (state !== OPENING || isProved) return;
    if (!documents) {
      if (++tries < TRIES) return ask((pause = carrier.nextPause(pause)));
      return link ? undefined : tryPlain();
    }
    if (documents.opened) {
      if (dialedAt) carrier.choice.fail('websocket', dialedAt);
      // Not closed: see dial.
      link = undefined;
      stopTimers();
      return open(documents.opened);
    }
    if (documents.opening) return ask(0);
    var status = documents.error && documents.error[1];
    if (documents.refused || documents.gone || /^40[3-7]$|^41[15]$/.test(status)) {
      return fail(documents.refused ? 'refused with ' + documents.refused[2] : 'answer ' + status);
    }
    ask(Number(answer && answer.header('Retry-After')) || 1);
  }

  // --- On a native socket --------------------------------------------------------------------

  /**
   * Make a native socket the home.
   *
   * @param {Link} mine
   * @param {any[]} document `opened` or `resumed`
   * @param {number} next the number of the next frame that comes
   */
  function adopt(mine, document, next) {
    link = mine;
    mine.next = next;
    heardAt = now();
    isProved = wasNative = true;
    hasResumed = session.isHome = false;
    if (document[0] === 'opened') return open(document);
    announce('websocket', 'it is resumed');
    connection.unacknowledged().forEach(mine.send);
    flush();
  }

  /**
   * @param {Link} mine
   * @param {Frame} frame
   */
  function take(mine, frame) {
    heardAt = now();
    var data = frame.data;
    if (frame.type < DOCUMENT) connection.receive(mine.next++, frame);
    else if (data[0] === 'ack') connection.acknowledge(data[1]);
    else if (data[0] === 'credit') connection.credit(data[1], data[2]);
    else if (data[0] === 'ping') sendAck();
    else if (data[0] === 'gone' || data[0] === 'error') fail(data.join(' '));
    flush();
  }

  function sendAck() {
    if (link) link.send({ type: DOCUMENT, data: ['ack', connection.tell()] });
  }

  /** Go on after the native socket was lost. */
  function lose() {
    lostAt = now();
    recover('the native socket was lost');
  }

  /** @param {string} reason */
  function recover(reason) {
    if (state !== OPEN || session.isHome || link) return;
    if (carrier.isDead()) return fail('the carrier is gone');
    if (!hasResumed) return resume();
    if (carrier.choice.hasHTTP()) return carrier.adopt(session, reason);
    pause = carrier.nextPause(pause);
    after(pause, resume);
  }

  /** Try to go on over a native socket. */
  function resume() {
    if (state !== OPEN || link) return;
    hasResumed = true;
    var triedAt = now();
    var ack = connection.taken();
    var isOver = false;
    var mine = createLink(
      options.Native,
      carrier.markNative(options.socketURL),
      ['emulation.resume'],
      function () {
        mine.send(head(carrier.secret(), ack));
      },
      function (frame) {
        if (link === mine) return take(mine, frame);
        var data = frame.type === DOCUMENT ? frame.data : [''];
        if (data[0] === 'gone' || data[0] === 'error') return fail(data.join(' '));
        connection.acknowledge(data[1]);
        // An upload in the meantime has gone further: what comes next would be misnumbered.
        if (data[0] !== 'resumed' || connection.acked() !== data[1] || state !== OPEN) {
          return onend();
        }
        connection.credit(data[2], data[3]);
        carrier.choice.prove('websocket');
        adopt(mine, data, ack + 1);
      },
      onend
    );
    after(RESUME_SECONDS, function () {
      if (link !== mine) onend();
    });

    function onend() {
      if (isOver) return;
      isOver = true;
      mine.close();
      if (link === mine) {
        dropLink();
        lose();
      } else {
        carrier.choice.fail('websocket', triedAt);
        recover('the native socket was not resumed');
      }
    }
  }

  /** Send what there is to say, on a native socket at once. */
  function flush() {
    if (state !== OPEN) return;
    if (session.isHome) return carrier.flush();
    if (!link) return;
    var frame;
    while ((frame = connection.next(PART_SIZE))) link.send(frame);
    if (connection.owesAck()) sendAck();
    settle();
  }

  /**
   * @param {string} name
   * @param {string} reason
   */
  function announce(name, reason) {
    if (name === transport || isTold) return;
    var previous = transport;
    transport = name;
    carrier.log(options.socketURL + ' is carried by ' + name + ': ' + reason);
    sink.ontransport(name, previous, reason);
  }

  var session = {
    number: 0,
    nonce: '',
    url: options.url,
    protocols: options.protocols,
    /** Whether the carrier's downstream serves it. */
    isHome: false,
    connection: connection,
    announce: announce,
    answered: answered,
    fail: fail,
    flush: flush,
    recover: recover,
    settle: settle,

    isOpen: function () {
      return state === OPEN;
    },

    /** Begin to open: it is its turn. */
    begin: function () {
      var name = carrier.choice.pick(false) || carrier.choice.pick(false);
      if (name === 'websocket') dial();
      else ask(0);
    },

    /** Begin once more, on another carrier: the server does not know the one it was on. */
    restart: function () {
      if (state !== OPENING || hasRestarted) return fail('the carrier is gone');
      hasRestarted = true;
      stopTimers();
      dropLink();
      carrier.remove(session);
      join();
    },

    /** The network was away: the native socket may be possible again. */
    retryNative: function () {
      if (wasNative) resume();
    },

    /** @param {any[]} data of the close frame */
    close: function (data) {
      if (state !== OPENING) {
        connection.close(data);
        return flush();
      }
      if (carrier.choice.hasHTTP()) carrier.cancel(session);
      fail('it was closed while connecting');
    },

    /**
     * @param {number} time
     * @param {number} silence after which a transport is not believed in
     * @param {number} limit after which a session is given up
     */
    tick: function (time, silence, limit) {
      if (connection.isCloseSent() && !closeSentAt) closeSentAt = time;
      if (state === OPENING && time - startedAt > OPEN_SECONDS) fail('no decision has come');
      else if (closeSentAt && !isTold && time - closeSentAt > CLOSE_SECONDS) fail('no close came');
      else if (endedAt && time - endedAt > limit) leave();
      else if (state === OPEN && !session.isHome && !link && time - lostAt > limit) {
        fail('it could not be resumed');
      } else if (state === OPEN && link && time - heardAt > silence) {
        dropLink();
        lose();
      }
    },

    /** Ask whether the native socket is still there. */
    probe: function () {
      var mine = link;
      var since = now();
      if (state !== OPEN || !mine) return;
      mine.send({ type: DOCUMENT, data: ['ping'] });
      after(PROBE_SECONDS, function () {
        if (link !== mine || heardAt >= since) return;
        dropLink();
        lose();
      });
    },

    suspend: function () {
      if (state === OPEN) dropLink();
      lostAt = now();
    },
  };
  join();
  return session;
}
