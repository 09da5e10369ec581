import { document, nameOf } from './codec.js';
import { createConnection } from './connection.js';
import { nextPause } from './choice.js';
import { after, afterOrNow, now, queueTask, runTask } from './tasks.js';
import { drawToken } from './token.js';
import { createLink } from './transports/websocket.js';

/** @typedef {import('./codec.js').Frame} Frame */
/** @typedef {import('./transports/websocket.js').Link} Link */
/** @typedef {ReturnType<typeof createSession>} Session */

/**
 * What a session needs of its carrier.
 *
 * @typedef {object} Carrier
 * @property {string} secret_
 * @property {string} node_
 * @property {boolean} isDead_
 * @property {import('./choice.js').Choice} choice_
 * @property {(text: string) => void} log_
 * @property {() => void} flush_
 * @property {(data: any[]) => void} learn_
 * @property {(verb: string, target?: string) => string} mark_
 * @property {(session: any) => void} add_
 * @property {(session: any) => void} ask_
 * @property {(parameters: any) => void} configure_
 * @property {(session: any, reason: string) => void} adopt_
 * @property {(session: any) => void} cancel_
 * @property {(session: any) => void} remove_
 */

/**
 * How a socket goes on, as its page sees it.
 *
 * @typedef {{transport: string, previous: string, reason: string}} Detail
 */

/**
 * What a session tells its WebSocket.
 *
 * @typedef {object} Sink
 * @property {(protocol: string) => void} onopen_
 * @property {(data: any, isBinary: boolean) => void} onmessage_
 * @property {(code: number, reason: string, wasClean: boolean, isFailed: boolean) => void} onclose_
 *   the first time counts
 * @property {(detail: Detail) => void} ontransport_
 * @property {(isSure: boolean) => void} onplain_ nothing of ours answers: it may be a plain WebSocket;
 *   of failed upgrades alone nobody knows why
 */

var OPENING = 0;
var OPEN = 1;
var OVER = 2;

// An upgrade that nothing has proved by then gets an `open` over HTTP beside it, and is given up
// (section 4).
var BESIDE_SECONDS = 1;
var UPGRADE_SECONDS = 10;
// A resume has one round trip more than an upgrade, on a network that has just changed.
var RESUME_SECONDS = 5;
// Nothing comes down elsewhere while an intermediary swallows it.
var BESIDE_HOME_SECONDS = 2;
var PROBE_SECONDS = 3;
// The server gives an application 30.
var OPEN_SECONDS = 40;
var CLOSE_SECONDS = 10;
// A close that is not answered by then may be one whose answer stands still on the way: sooner than
// a silence is noticed, it is asked for on a new connection.
var CLOSE_AGAIN_SECONDS = 3;

// What lives no longer, so many times on end, does not work.
var BRIEF_SECONDS = 0.5;
var BRIEF_LIVES = 3;

// Answers without our envelope to `open`, or upgrades without it, after which nobody of ours is there.
var TRIES = 3;

// A native socket's parts (section 3): what was sent natively must fit below a proxy's limit, too.
var PART_SIZE = 16384;

/**
 * One emulated WebSocket: its opening, its home, its end.
 *
 * @param {string} url over HTTP, with its query
 * @param {string[]} protocols
 * @param {any} Native the engine's class, if it has one
 * @param {Carrier} carrier
 * @param {Sink} sink
 */
export function createSession(url, protocols, Native, carrier, sink) {
  var choice = carrier.choice_;
  var startedAt = now();
  var state = OPENING;
  var transport = '';
  var closingAt = 0;
  // When the page was told that it is closed.
  var endedAt = 0;
  /** @type {(() => void)[]} */
  var early = [];

  // Opening over HTTP.
  /** @type {boolean | undefined} */
  var isAsked;
  var tries = 0;
  var pause = 0;

  // The native socket: one that is the home, or that may open the socket.
  /** @type {Link | undefined} */
  var link;
  /** @type {boolean | undefined} */
  var isProved;
  // The same where it is the home.
  /** @type {Link | undefined} */
  var linked;
  var dialedAt = 0;
  /** @type {boolean | undefined} */
  var hasResumed;
  var lostAt = 0;
  var linkedAt = 0;
  var briefLives = 0;
  var heardAt = 0;
  // How the page is told of what comes: a native socket's message is a task of its own already.
  var run = queueTask;

  var connection = createConnection({
    onmessage_: function (data, isBinary) {
      tell(sink.onmessage_, data, isBinary);
    },
    onclose_: end,
  });

  /**
   * Tell the page something in a task of its own; what comes before `opened` waits for it.
   *
   * @param {(...args: any[]) => void} listener
   * @param {any} [a]
   * @param {any} [b]
   * @param {any} [c]
   * @param {any} [d]
   */
  function tell(listener, a, b, c, d) {
    function task() {
      listener(a, b, c, d);
    }
    if (state === OPENING) early.push(task);
    else run(task);
  }

  /**
   * @param {number} code
   * @param {string} reason
   * @param {boolean} [isFailed] natively that is an `error`, even of a socket that was open
   */
  function end(code, reason, isFailed) {
    endedAt = now();
    // What is told first counts. It may wait for `opened`, and the page closes the socket before that.
    tell(sink.onclose_, code, reason, code !== 1006, isFailed);
  }

  function dropLink() {
    pass();
    if (link) link.close_();
    link = linked = undefined;
    isProved = false;
  }

  /**
   * @param {string} reason
   * @param {boolean} [isFailed] as of `end`
   */
  function fail(reason, isFailed) {
    if (state === OVER) return;
    if (!endedAt) carrier.log_(reason);
    leave();
    end(1006, '', isFailed);
  }

  /** Be served no longer. */
  function leave() {
    state = OVER;
    session.isHome_ = false;
    dropLink();
    carrier.remove_(session);
  }

  /** Leave when both sides know that it is over. */
  function settle() {
    if (state === OPEN && connection.isDone_()) leave();
  }

  // --- Opening -------------------------------------------------------------------------------

  /**
   * Ask over HTTP.
   *
   * @param {number} [seconds] to wait before
   */
  function ask(seconds) {
    isAsked = true;
    afterOrNow(seconds, function () {
      if (state === OPENING && !isProved) carrier.ask_(session);
    });
  }

  /** @param {any[]} opened */
  function open(opened) {
    // RFC 6455 section 4.1, the last step: nothing but one of what was asked for, if any was.
    if ((protocols[0] ? protocols : ['']).indexOf(opened[2]) < 0) return session.close_([]);
    state = OPEN;
    connection.open_(opened[3]);
    carrier.configure_(opened[3]);
    if (linked) announce('websocket', 'proved');
    else carrier.adopt_(session, 'opened');
    tell(sink.onopen_, opened[2]);
    early.forEach(queueTask);
    flush();
  }

  /**
   * Open in the same way again after what was not ours. Where nothing ever was, it is perhaps not an
   * emulated WebSocket.
   *
   * @param {(seconds: number) => void} again
   */
  function tryAgain(again) {
    if (choice.reachedAt_ >= 0 || ++tries < TRIES) return again((pause = nextPause(pause)));
    try {
      sink.onplain_(choice.hasHTTP_());
      announce('websocket', 'plain');
      leave();
    } catch (error) {
      // There is no such class, or it is mixed content.
      fail('failed' + choice.explain_());
    }
  }

  /**
   * Take the answer to an `open` over HTTP.
   *
   * @param {Record<string, any[]>} documents none where it was not ours
   * @returns {unknown} whether to ask again at once, for the application is still deciding
   */
  function answered(documents) {
    if (state !== OPENING || isProved) return undefined;
    var error = documents.error || [];
    var isRefused = documents.refused || documents.gone || /40[3-7]|41/.test(error[1]);
    if (documents.opened) {
      if (dialedAt) choice.fail_('websocket', dialedAt, link && 'late');
      // Not closed: see dial.
      link = undefined;
      open(documents.opened);
    } else if (isRefused) fail('refused');
    else if (error[1]) ask(error[3] || 2);
    // A development server may leave our upgrade without an answer: it is not waited for.
    else if (!documents.opening) tryAgain(ask);
    return documents.opening;
  }

  // --- On a native socket --------------------------------------------------------------------

  /** Try a native socket, to open with or to go on. */
  function dial() {
    var isResume = state === OPEN;
    var secret = carrier.secret_;
    var ack = 0;
    /** @type {boolean | undefined} */
    var hasSaid;
    dialedAt = now();
    var mine = createLink(
      Native,
      // The query may hold a token: it goes with the first request alone.
      carrier.mark_('ws', isResume ? '' : url).replace('http', 'ws'),
      isResume ? ['emulation.resume'] : ['emulation.' + session.nonce_].concat(protocols),
      function () {
        ack = connection.taken_;
        if (isResume) sayHead([ack, session.nonce_]);
      },
      function (frame) {
        if (linked === mine) return take(mine, frame);
        var data = frame.data_;
        var name = nameOf(frame);
        if (link === mine && !session.isHome_ && /gone|refused|error/.test(name)) {
          return fail(name);
        }
        if (!/secret|hello|ed$/.test(name)) return stop();
        choice.prove_('websocket');
        // The open over HTTP was faster: this one works too, for the next socket.
        if (link !== mine) return mine.close_();
        // Not before: the head makes this native socket the session's home.
        if (!isResume && !isProved) sayHead([]);
        isProved = true;
        if (name === 'secret') carrier.learn_(data);
        if (name === 'opened') adopt(mine, data, 1);
        if (name !== 'resumed') return;
        connection.acknowledge_(data[1]);
        connection.credit_(data.slice(1));
        // Where an upload has gone further in the meantime, what comes next would be misnumbered.
        if (connection.acked_ === data[1]) adopt(mine, data, ack + 1);
        else stop();
      },
      onend
    );
    link = mine;
    // Even where the open over HTTP was faster: the verdict is withdrawn if this one works.
    var upgrade = isResume ? RESUME_SECONDS : UPGRADE_SECONDS;
    after(session.isHome_ ? BESIDE_HOME_SECONDS : upgrade, function () {
      if (linked !== mine) stop();
    });

    /** @param {any[]} more the ack and the nonce of a resume */
    function sayHead(more) {
      /** @type {any[]} */
      var data = ['head', 1, secret, session.number_, carrier.node_];
      mine.send_(document(data.concat(more)));
      hasSaid = true;
    }

    function stop() {
      mine.close_();
      onend();
    }

    /** @param {any} [event] of the native socket, or what its constructor threw */
    function onend(event) {
      if (link !== mine) return;
      if (linked) return lose();
      var wasProved = isProved;
      dropLink();
      if (!wasProved) {
        choice.fail_('websocket', dialedAt, (event && event.message) || 'unproved');
      }
      // Its head may have made it the home for the server: the carrier names the session again.
      if (session.isHome_ && hasSaid) carrier.adopt_(session, 'lost');
      if (state === OPEN) recover();
      else if (!choice.hasHTTP_()) tryAgain(dialLater);
      else if (!isAsked || wasProved) ask();
    }
  }

  /**
   * Make a native socket the home.
   *
   * @param {Link} mine
   * @param {any[]} data `opened` or `resumed`
   * @param {number} next the number of the next frame that comes
   */
  function adopt(mine, data, next) {
    mine.next_ = next;
    heardAt = linkedAt = now();
    linked = mine;
    hasResumed = session.isHome_ = false;
    pause = 0;
    if (state === OPENING) return open(data);
    announce('websocket', 'resumed');
    connection.kept_.forEach(mine.send_);
    flush();
  }

  /**
   * @param {Link} mine
   * @param {Frame} frame
   */
  function take(mine, frame) {
    heardAt = now();
    var data = frame.data_;
    var name = nameOf(frame);
    if (!name) {
      run = runTask;
      connection.receive_(mine.next_++, frame);
      run = queueTask;
    } else if (name === 'ack') connection.acknowledge_(data[1]);
    else if (name === 'credit') connection.credit_(data);
    else if (name === 'ping') sendAck();
    else if (/gone|error/.test(name)) fail(name, data[2] === 1);
    flush();
  }

  function sendAck() {
    if (linked) linked.send_(document(['ack', connection.tell_()]));
  }

  /** Ask for the server's close on another connection. */
  function closeAgain() {
    if (endedAt) return;
    if (linked) lose();
    else if (session.isHome_) carrier.adopt_(session, 'lost');
  }

  /** Go on after the native socket was lost. */
  function lose() {
    dropLink();
    lostAt = now();
    briefLives = lostAt - linkedAt < BRIEF_SECONDS ? briefLives + 1 : 0;
    if (briefLives >= BRIEF_LIVES) {
      choice.fail_('websocket', dialedAt, 'cut');
      hasResumed = true;
    }
    recover();
  }

  function recover() {
    if (state !== OPEN || session.isHome_ || link) return;
    if (carrier.isDead_) return fail('lost');
    if (hasResumed && choice.hasHTTP_()) return carrier.adopt_(session, 'lost');
    dialLater(hasResumed ? (pause = nextPause(pause)) : 0);
    hasResumed = true;
  }

  /** @param {number} seconds to wait before a native socket is tried */
  function dialLater(seconds) {
    afterOrNow(seconds, function () {
      if (state !== OVER && !link) dial();
    });
  }

  /** Count no more what has left the page, which no event tells. */
  function pass() {
    if (linked && !linked.socket_.bufferedAmount) connection.pass_();
  }

  /** Send what there is to say, on a native socket at once. */
  function flush() {
    if (state !== OPEN) return;
    if (session.isHome_) return carrier.flush_();
    if (!linked) return;
    /** @type {Frame | null} */
    var frame;
    while ((frame = connection.next_(PART_SIZE))) linked.send_(frame);
    if (connection.owesAck_()) sendAck();
    settle();
  }

  /**
   * @param {string} name
   * @param {string} reason
   */
  function announce(name, reason) {
    if (name === transport || endedAt) return;
    carrier.log_(name + ', ' + reason + choice.explain_(name));
    tell(sink.ontransport_, { transport: name, previous: transport, reason: reason });
    transport = name;
  }

  var session = {
    nonce_: drawToken(),
    number_: 0,
    url_: url,
    protocols_: protocols,
    /** The highest number in the upload that is on its way. */
    sent_: 0,
    /** Whether the carrier's downstream serves it. */
    isHome_: false,
    connection_: connection,
    announce_: announce,
    answered_: answered,
    fail_: fail,
    flush_: flush,
    pass_: pass,
    settle_: settle,

    /**
     * The server has no such session any more; of one that opens, `opened` may still be on its way.
     *
     * @param {boolean} isFailed
     */
    gone_: function (isFailed) {
      tell(fail, 'gone', isFailed);
    },

    isOpen_: function () {
      return state === OPEN;
    },

    /** Begin to open: it is its turn. */
    begin_: function () {
      if (isAsked || dialedAt) return;
      var best = choice.pick_() || choice.pick_();
      if (!best) return fail('no transport' + choice.explain_());
      if (best !== 'websocket') return ask();
      dial();
      after(BESIDE_SECONDS, function () {
        if (!isAsked && choice.hasHTTP_()) ask();
      });
    },

    /** @param {any[]} data of the close frame */
    close_: function (data) {
      if (state === OPENING) {
        if (choice.hasHTTP_()) carrier.cancel_(session);
        return fail('close');
      }
      connection.close_(data);
      flush();
    },

    /**
     * @param {number} silence after which a transport is not believed in
     * @param {number} limit after which a session is given up
     * @param {unknown} isTrying whether the carrier has no transport that is proved
     */
    tick_: function (silence, limit, isTrying) {
      var time = now();
      var isLost = state === OPEN && !session.isHome_ && !linked;
      if (connection.isClosing_() && !closingAt) {
        closingAt = time;
        after(CLOSE_AGAIN_SECONDS, closeAgain);
      }
      if (
        (state === OPENING && time - startedAt > OPEN_SECONDS) ||
        (closingAt && !endedAt && time - closingAt > CLOSE_SECONDS) ||
        (isLost && time - lostAt > limit)
      ) {
        fail('timeout');
      } else if (linked && time - heardAt > silence) lose();
      // A better transport is tried again beside the one in use, which it replaces when it is proved.
      else if (session.isHome_ && !link && !isTrying && choice.pick_() === 'websocket') dial();
      // The last ack may have gone with an attach.
      settle();
    },

    /** @param {boolean} isSuspended whether no transport may be open; else what is, is probed */
    notice_: function (isSuspended) {
      var mine = linked;
      var since = (lostAt = now());
      if (state !== OPEN) return;
      if (isSuspended) return dropLink();
      if (!mine) return recover();
      mine.send_(document(['ping']));
      after(PROBE_SECONDS, function () {
        if (linked === mine && heardAt < since) lose();
      });
    },
  };
  carrier.add_(session);
  return session;
}
