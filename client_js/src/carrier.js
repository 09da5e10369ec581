import { createBody, createDecoder, document, nameOf } from './codec.js';
import { holdSlot } from './memory.js';
import { hasBinary, post, postLast, sharesConnection } from './request.js';
import { document as page, scope } from './scope.js';
import { nextPause } from './choice.js';
import { after, now, queueTask } from './tasks.js';
import { drawToken } from './token.js';
import { transports } from './transports/index.js';
import { listen } from './transports/sse.js';

/** @typedef {import('./codec.js').Frame} Frame */
/** @typedef {import('./session.js').Session} Session */
/** @typedef {Record<string, any[]>} Documents by name */

/**
 * An answer that is being read; of an attach it is the downstream.
 *
 * @typedef {object} Reading
 * @property {string} name_ of the transport
 * @property {number} number_
 * @property {number} frames_ that came, the head included
 * @property {Documents} documents_ by their names; '' is news: numbered frames or more credit
 *   `head` is among them where the answer is ours
 * @property {number} since_
 * @property {number} heardAt_ when the last of it came
 * @property {boolean} isOurs_ and unaltered
 * @property {boolean} [isProved_]
 * @property {boolean} [isOver_]
 * @property {() => void} abort_
 * @property {(chunk: any) => void} push_
 * @property {import('./request.js').OnEnd} end_
 */

/** @typedef {ReturnType<typeof createBody>} Body */

var VERSION = 1;

// An upload's parts: small, so that each makes progress behind a proxy with a low limit. Escapes
// and base64 lengthen the JSON form.
var BINARY_PART_SIZE = 16384;
var JSON_PART_SIZE = 8192;
// What an upload may grow by after one that was answered; after others it is halved.
var GROWTH = 16384;

// A request has this long, and what a slow line needs (section 6).
var REQUEST_SECONDS = 10;
var BYTES_PER_SECOND = 8000;

// An upload that waits longer, and what a slow line needs, has no connection to go by: other tabs
// have them all. The page then parks nothing for a while.
var CROWDED_SECONDS = 3;
var YIELD_SECONDS = 30;
var YIELDING_PAUSE = 1;

// An upload that failed at once may have failed at its 204, of which a service worker cannot build
// another. So long they go in the JSON form, which is answered with a body.
var SPELLED_SECONDS = 60;

// An answer that was cut after such a silence was cut for it: a shorter one is asked for.
var SILENCE_SECONDS = 2;
var LONGEST_WAIT = 3600;

// Streams that are cut sooner, so many on end, do not work.
var BRIEF_SECONDS = 0.5;
var BRIEF_LIVES = 3;

// A stream is given up when its head, or what was written on it, has not come by then (8.1). When
// one was given up already, the next has half of it: messages are waiting.
var PROOF_SECONDS = 2;

// Far beyond what a stream holds before the server ends it.
var STREAM_SECONDS = 90000;

// What a beacon may hold: browsers refuse more than 65,536 bytes.
var BYE_BYTES = 60000;

// Answers without progress after which a carrier is given up (section 10).
var STRIKES = 3;

/**
 * The sockets that ask over HTTP, by their host; the first of each is being answered.
 *
 * @type {Record<string, (() => void)[]>}
 */
var queues = {};

/**
 * The sockets of a page below one path: one downstream and one upload at a time.
 *
 * @param {string} url of the path, without a query
 * @param {import('./choice.js').Choice} choice
 * @param {(text: string) => void} log
 * @returns {import('./session.js').Carrier}
 */
export function createCarrier(url, choice, log) {
  var key = drawToken();
  var host = url.split('/')[2];
  var queue = (queues[host] = queues[host] || []);
  var slots = host + ' ';
  // The tabs of a browser share its connections to a host: where one carries all, there is no end of
  // places.
  /** @type {boolean | undefined} */
  var isShared;
  // What the server says in `opened`; until then there is nothing to send or to wait for.
  /** @type {any} */
  var parameters = {};
  /** @type {Session[]} */
  var sessions = [];
  var numbers = 0;
  /** @type {any} The event by which the page was left, if it was; it may come back. */
  var left;

  // Up.
  var uploads = 0;
  /** @type {boolean | undefined} */
  var isUploading;
  /** @type {boolean | undefined} */
  var isScheduled;
  /** @type {boolean | undefined} */
  var isPinged;
  var isBinary = hasBinary;
  var largestUpload = Infinity;
  var strikes = 0;
  var uploadPause = 0;
  var spelledUntil = 0;

  // Down.
  var attaches = 0;
  /** @type {Reading | undefined} */
  var down;
  var attachReason = '';
  var heardAt = 0;
  var pause = 0;
  var patience = PROOF_SECONDS;
  /** @type {any} */
  var cancelTimer = Object;
  var briefLives = 0;
  // How long the server may be silent on a downstream, if its own figures are too long.
  var wait = LONGEST_WAIT;
  // Whether there is a connection to park a downstream on, and until when there was none.
  var isParked = true;
  var yieldsUntil = 0;

  /**
   * @param {string} verb
   * @param {string} [target] a socket's own URL
   * @returns {string}
   */
  function mark(verb, target) {
    target = target || url;
    return target + (/\?/.test(target) ? '&' : '?') + 'emulation=' + verb + '.' + key;
  }

  /**
   * Begin the body of a request.
   *
   * @param {boolean} binary
   * @param {number} number
   */
  function beginBody(binary, number) {
    var body = createBody(binary, number);
    body.document_(['head', VERSION, carrier.secret_, number, carrier.node_]);
    return body;
  }

  /** @returns {Session[]} those that the carrier serves */
  function atHome() {
    return sessions.filter(function (session) {
      return session.isHome_;
    });
  }

  // --- Reading -------------------------------------------------------------------------------

  /**
   * Begin to read an answer. It is ours only if its head echoes key and number (section 3.1).
   *
   * @param {Body} body of the request
   * @param {string} name of the transport; with `poll` it counts only unaltered to its end
   * @param {(reading: Reading, status: number) => void} done told at its end, and, of what counts
   *   at once, whenever something has come
   * @returns {Reading}
   */
  function read(body, name, done) {
    /** @type {Frame[]} */
    var frames = [];
    /** @type {Session | undefined} */
    var session;
    var next = 0;

    /** @param {Frame} frame */
    function apply(frame) {
      var data = frame.data_;
      var name = nameOf(frame);
      // What is for a socket that is gone is no news: a poll would be answered with it for ever.
      if (name || session) reading.documents_[name] = data;
      if (!name && session) session.connection_.receive_(next++, frame);
      if (name === 'section' || name === 'gone') {
        session = sessions.filter(function (one) {
          return one.number_ === data[1];
        })[0];
        next = data[3];
        if (!session) return;
        if (name === 'gone') session.gone_(data[2] === 1);
        else session.connection_.acknowledge_(data[2]);
      } else if (name === 'credit') {
        // A poll may be answered for its sake.
        if (session && session.connection_.credit_(data)) reading.documents_[''] = data;
      } else if (name === 'secret') learn(data);
      else if (name === 'written') checkWritten(data);
      else if (name === 'ping') isPinged = true;
    }

    /** @param {Frame} frame */
    function onframe(frame) {
      if (!reading.frames_++) {
        var head = frame.data_;
        var isHead = nameOf(frame) === 'head';
        if (isHead && head[1] !== VERSION) die('version');
        // A request that could not be read is answered with number 0.
        reading.isOurs_ = isHead && (!head[3] || (head[2] === key && head[3] === body.number_));
      }
      frames.push(frame);
      if (name !== 'poll') applyAll();
    }

    function applyAll() {
      if (reading.isOurs_) frames.forEach(apply);
      frames = [];
      if (reading.documents_.head) choice.reachedAt_ = now();
      flush();
    }

    var push = createDecoder(body.isBinary_, onframe);
    /** @type {Reading} */
    var reading = {
      since_: now(),
      heardAt_: now(),
      name_: name,
      number_: body.number_,
      frames_: 0,
      documents_: {},
      isOurs_: true,
      abort_: Object,
      push_: function (chunk) {
        reading.heardAt_ = now();
        reading.isOurs_ = push(chunk) && reading.isOurs_;
        if (name !== 'poll') done(reading, 0);
      },
      end_: function (status, note) {
        // The header of a 204 says what a head and `written` would (section 6).
        if (note) {
          var fields = note.split(' ');
          onframe(document(['head', +fields[0], fields[1], +fields[2]]));
          onframe(document(['written', +fields[3], +fields[4]]));
        }
        applyAll();
        reading.isOver_ = true;
        done(reading, status);
      },
    };
    return reading;
  }

  /**
   * POST a body.
   *
   * @param {Reading} reading
   * @param {string} target
   * @param {Body} body
   * @param {number} seconds that the answer may take
   */
  function send(reading, target, body, seconds) {
    return (reading.abort_ = post(
      target,
      body.finish_(),
      reading.name_ === 'xhr-stream',
      seconds + REQUEST_SECONDS + body.size_ / BYTES_PER_SECOND,
      reading.push_,
      reading.end_
    ));
  }

  /**
   * POST a body, and read the whole answer.
   *
   * @param {string} target
   * @param {Body} body
   * @param {(reading: Reading, status: number) => void} done
   * @returns {() => void} aborts
   */
  function call(target, body, done) {
    var reading = read(body, 'poll', done);
    return send(reading, target, body, 0);
  }

  /**
   * Do what an error answer asks for (section 10).
   *
   * @param {any[]} error
   * @returns {number} seconds to wait before the next try
   */
  function onError(error) {
    var text = error[1] + ' ' + error[2];
    log(text);
    // Not 413 and those which pass.
    if (/^4(.1|0[345]|15)/.test(text) || (error[1] === 400 && ++strikes >= STRIKES)) die(text);
    // As long as the server's own Retry-After says.
    return error[3] || 2;
  }

  /** @param {any[]} data `secret`, with its value and the node */
  function learn(data) {
    if (carrier.secret_) return;
    carrier.secret_ = data[1];
    carrier.node_ = data[2];
    isShared = sharesConnection(host);
    begin();
  }

  // --- Opening -------------------------------------------------------------------------------

  /** Begin the sockets that may begin: the first alone, until it has brought the secret. */
  function begin() {
    sessions.every(function (session) {
      session.begin_();
      return carrier.secret_;
    });
  }

  /**
   * Ask for a socket, when those are decided that were asked for before: handshakes to one host go
   * one after another (RFC 6455 section 4.1).
   *
   * @param {Session} session
   */
  function ask(session) {
    function go() {
      if (sessions.indexOf(session) < 0) return next();
      open(session, 'open', function (reading, status) {
        var error = reading.documents_.error || [];
        // Something in between refuses what is no text.
        if (status === 403 && !reading.documents_.head) isBinary = false;
        if (error[1] === 409 && !carrier.secret_) key = drawToken();
        // Without `gone` it speaks of the carrier.
        if (error[1] === 404 && !reading.documents_.gone) die('404');
        else if (session.answered_(reading.documents_)) return go();
        next();
      });
    }

    function next() {
      queue.shift();
      if (queue[0]) queue[0]();
    }

    if (queue.push(go) < 2) go();
  }

  /**
   * @param {Session} session
   * @param {string} name of the document
   * @param {(reading: Reading, status: number) => void} done
   */
  function open(session, name, done) {
    var body = beginBody(isBinary, session.number_);
    var intended = down ? down.name_ : choice.pick_(true);
    body.document_([name, session.number_, session.nonce_, session.protocols_, intended]);
    call(mark('open', session.url_), body, done);
  }

  // --- Up ------------------------------------------------------------------------------------

  /** Send what there is to say, in a task that comes behind what is said in this one. */
  function flush() {
    if (isScheduled) return;
    isScheduled = true;
    queueTask(function () {
      isScheduled = false;
      upload();
    });
  }

  /**
   * Add a section with what is unacknowledged, and as much that is new as may be.
   *
   * @param {ReturnType<typeof createBody>} body
   * @param {Session} session
   * @param {number} limit of the body
   * @param {unknown} isAsked whether to add it even if there is nothing to say
   * @returns {boolean} whether there is one
   */
  function addSection(body, session, limit, isAsked) {
    var connection = session.connection_;
    // One frame goes whatever its size, but not in a beacon.
    var isForced = !body.hasNumbered_ && limit !== BYE_BYTES;
    var count = 0;

    function next() {
      return (
        connection.kept_[count] ||
        connection.next_(body.isBinary_ ? BINARY_PART_SIZE : JSON_PART_SIZE)
      );
    }

    var frame = isForced || body.size_ < limit ? next() : null;
    if (!frame && !isAsked && !connection.owesAck_()) return false;
    body.document_([
      'section',
      session.number_,
      connection.tell_(),
      frame ? connection.acked_ + 1 : 0,
    ]);
    while (frame && body.add_(frame, isForced && !count ? Infinity : limit)) {
      count++;
      frame = next();
    }
    session.sent_ = connection.acked_ + count;
    return true;
  }

  function upload() {
    watch();
    if (isUploading || !carrier.secret_ || carrier.isDead_ || left) return;
    var body = beginBody(isBinary && now() > spelledUntil, uploads + 1);
    var limit = Math.min(largestUpload, parameters.upload);
    var isAnswer = isPinged;
    // They take turns in being the first.
    sessions.push(/** @type {Session} */ (sessions.shift()));
    var said = atHome().filter(function (session) {
      return addSection(body, session, limit, isAnswer);
    });
    if (!said.length && !isAnswer) return;
    isPinged = false;
    isUploading = true;
    uploads++;
    var cancel = after(CROWDED_SECONDS + body.size_ / BYTES_PER_SECOND, function () {
      if (!down || !isParked) return;
      yieldsUntil = now() + YIELD_SECONDS;
      attach('crowded');
    });

    function goOn() {
      isUploading = false;
      upload();
    }

    call(mark('send'), body, function (reading, status) {
      var documents = reading.documents_;
      var error = documents.error;
      cancel();
      if (!error && documents.head) {
        said = said.filter(function (session) {
          // That is what a 204 says.
          if (status === 204) session.connection_.acknowledge_(session.sent_);
          session.settle_();
          return session.connection_.acked_ < session.sent_;
        });
        if (!said.length) {
          largestUpload += GROWTH;
          uploadPause = strikes = 0;
          return goOn();
        }
        // Something has cut it: at once it would be cut again.
      }
      // It may be a 413, or something that breaks off what is long.
      largestUpload = body.size_ / 2;
      if (isAnswer) isPinged = true;
      if (status === 204) isBinary = false;
      if (status && !(status > 0)) spelledUntil = now() + SPELLED_SECONDS;
      said.forEach(function (session) {
        session.connection_.untell_();
      });
      uploadPause = nextPause(uploadPause);
      after(error ? onError(error) : uploadPause, goOn);
    });
  }

  // --- Down ----------------------------------------------------------------------------------

  /**
   * Give a downstream up when what was written on it has not come two seconds later.
   *
   * @param {any[]} written the document, with the downstream's number and its frames
   */
  function checkWritten(written) {
    var mine = /** @type {Reading} */ (down);
    var since = now();
    var isMine = mine && mine.number_ === written[1] && mine.name_ !== 'poll';
    if (isMine && mine.frames_ < written[2]) {
      after(PROOF_SECONDS, function () {
        // On a slow line much may be on its way.
        if (mine.heardAt_ > since) checkWritten(written);
        else giveUp(mine, 'late');
      });
    }
  }

  /** @returns {boolean} whether a downstream may be parked, and holds its place then */
  function mayPark() {
    return isShared || holdSlot(slots, key, now() > yieldsUntil);
  }

  /**
   * Ask for shorter silences after one that was cut.
   *
   * @param {number} silence
   * @returns {boolean} whether that is news
   */
  function isShortened(silence) {
    // An answer that was forgotten would have come after what was asked for.
    silence = Math.min(silence, parameters.poll, wait);
    if (silence < SILENCE_SECONDS) return false;
    wait = silence / 2;
    return true;
  }

  /** Have no downstream, and leave its place to another tab. */
  function unpark() {
    detach();
    holdSlot(slots, key);
  }

  function detach() {
    cancelTimer();
    if (down) down.abort_();
    down = undefined;
  }

  /**
   * Attach anew, after a while.
   *
   * @param {number} seconds
   * @param {string} reason
   */
  function attachLater(seconds, reason) {
    detach();
    cancelTimer = after(seconds, function () {
      attach(reason);
    });
  }

  /**
   * Begin a downstream, which takes over from the one before.
   *
   * @param {string} reason
   */
  function attach(reason) {
    detach();
    var home = atHome();
    if (!home.length || carrier.isDead_ || left) return;
    isParked = mayPark();
    var name = choice.pick_(true, !isParked && 'poll');
    if (!name) {
      // All have failed: it is the network or the server. Begin again with the best one, and on a slow
      // way give each more time from round to round.
      pause = nextPause(pause);
      patience = PROOF_SECONDS + 2 * pause;
      return attachLater(pause, reason);
    }
    var transport = transports[name];
    var number = ++attaches;
    var body = beginBody(transport.isBinary_, number);
    body.document_(['wait', isParked ? wait : 0]);
    home.forEach(function (session) {
      // The server may not know the number: the head may have died with the native socket.
      body.document_(['section', session.number_, session.connection_.tell_(), 0, session.nonce_]);
    });
    attachReason = reason;
    var mine = read(body, name, check);
    down = mine;
    if (name !== 'poll') {
      cancelTimer = after(patience, function () {
        patience = PROOF_SECONDS / 2;
        giveUp(mine, 'timeout');
      });
    }
    var target = mark(transport.verb_);
    if (name !== 'sse') {
      // A proxy may keep a poll's answer for a while.
      send(mine, target, body, name === 'poll' ? parameters.poll : STREAM_SECONDS);
      return;
    }
    mine.abort_ = call(target, body, function (reading) {
      var ticket = reading.documents_.ticket;
      if (ticket) mine.abort_ = listen(mark('sse') + '.' + ticket[1], mine.push_, mine.end_);
      else {
        mine.documents_ = reading.documents_;
        mine.end_();
      }
    });
  }

  /**
   * Note what has come, and go on where that was all.
   *
   * @param {Reading} mine
   */
  function check(mine) {
    if (mine !== down) return;
    var documents = mine.documents_;
    var error = documents.error;
    if (!mine.isOurs_) return giveUp(mine, 'altered');
    if (documents.head) heardAt = now();
    // The server says `flows` in a piece of its own: some let the first one pass, and no other. On a slow
    // line much may be before it.
    if (
      !mine.isProved_ &&
      !error &&
      (documents.flows ||
        documents.end ||
        (documents.head && now() - mine.since_ > PROOF_SECONDS / 2))
    ) {
      mine.isProved_ = true;
      patience = PROOF_SECONDS;
      if (mine.name_ !== 'poll') pause = 0;
      choice.prove_(mine.name_);
      cancelTimer();
      atHome().forEach(function (session) {
        session.announce_(mine.name_, attachReason);
      });
    }
    if (!mine.isOver_ && !documents.end) return;
    if (error) return attachLater(onError(error), 'failed');
    if (!documents.end) {
      if (isShortened(now() - mine.heardAt_)) return attach('cut');
      briefLives = now() - mine.since_ < BRIEF_SECONDS ? briefLives + 1 : 0;
      if (briefLives >= BRIEF_LIVES && mine.name_ !== 'poll') return giveUp(mine, 'cut');
    }
    if (!documents.head) return giveUp(mine, 'failed');
    // An answer which is empty, and early, must not become a loop.
    if (documents[''] || now() - mine.since_ > Math.min(parameters.poll, wait) / 2) {
      pause = 0;
      return attach('ended');
    }
    return attachLater(isParked ? (pause = nextPause(pause)) : YIELDING_PAUSE, 'ended');
  }

  /**
   * Try the next transport.
   *
   * @param {Reading} mine
   * @param {string} reason
   */
  function giveUp(mine, reason) {
    if (mine !== down) return;
    briefLives = 0;
    choice.fail_(mine.name_, mine.since_, reason);
    reason = mine.name_ + ' ' + reason;
    // All have failed: the others are not tried at once.
    if (pause) attachLater((pause = nextPause(pause)), reason);
    else attach(reason);
  }

  // --- The end -------------------------------------------------------------------------------

  function tick() {
    if (sessions.length) after(1, tick);
    watch();
    // Without a sign of life for so long a downstream is not believed in (section 7.2).
    var silence = 2 * parameters.heartbeat + 5;
    var limit = Math.max(parameters.resume, silence);
    var time = now();
    // A native socket that fails would disturb what is being tried.
    var isTrying = pause || (down && down.name_ !== 'poll' && !down.isProved_);
    sessions.forEach(function (session) {
      session.tick_(silence, limit, isTrying);
    });
    if (!atHome().length || left) unpark();
    else if (time - heardAt > limit) die('timeout');
    else if (down && down.isProved_ && time - heardAt > silence) {
      isShortened(parameters.heartbeat);
      attach('timeout');
    } else if (down && down.name_ !== 'poll' && Math.abs(time - heardAt - silence / 2) < 0.6) {
      // A heartbeat is late: was it held back? An answer says what was written.
      isPinged = true;
      flush();
    } else if (mayPark() !== isParked) attach(isParked ? 'crowded' : 'freed');
  }

  /** Take no more sockets. */
  function stop() {
    carrier.isDead_ = true;
    unpark();
    watch();
  }

  /**
   * End everything: the server does not know this carrier, or will not be reached.
   *
   * @param {string} reason
   */
  function die(reason) {
    if (carrier.isDead_) return;
    stop();
    sessions.forEach(function (session) {
      // Those on native sockets have a watch of their own.
      if (session.isHome_ || !session.isOpen_()) session.fail_(reason);
    });
  }

  /** Say the last words of the page, and whether it will not come back (section 11). */
  function bye() {
    if (!carrier.secret_) return;
    var body = beginBody(false, uploads + 1);
    sessions.forEach(function (session) {
      if (!session.isOpen_()) return;
      addSection(body, session, BYE_BYTES, true);
      if (!left.persisted) body.document_(['last', session.connection_.numbered_()]);
    });
    postLast(mark('bye'), body.finish_());
  }

  /**
   * React to what happens to the page.
   *
   * @param {any} event
   */
  function notice(event) {
    var type = event.type;
    var blocked = event.blockedURI;
    if (blocked) {
      // The policy of the page.
      if (blocked.indexOf(key) > 0) log(event.effectiveDirective + ' refused ' + blocked);
      return;
    }
    var isLeft = event.isTrusted !== false && type === 'pagehide';
    var isHidden = isLeft || (page && page.hidden);
    if (isLeft) {
      // It may go into the back/forward cache: no transport goes with it.
      unpark();
      left = event;
    }
    // `visibilitychange` comes behind `pagehide`, and its listeners may send.
    if (isHidden && left) bye();
    else if (isHidden) return;
    if (type === 'pageshow') {
      if (!left) return;
      left = undefined;
    }
    if (type === 'online') choice.forgive_();
    // What was open before a sleep, or on another network, is not believed.
    if (type === 'pageshow' || now() - heardAt > 1) attach('resumed');
    sessions.forEach(function (session) {
      session.notice_(left);
    });
    flush();
  }

  /** Be the last to hear of the page: what its own listeners send goes with `bye`. */
  function watch() {
    if (!scope.addEventListener) return;
    var types = 'pagehide pageshow online visibilitychange securitypolicyviolation';
    types.split(' ').forEach(function (type) {
      scope.removeEventListener(type, notice);
      if (!carrier.isDead_) scope.addEventListener(type, notice);
    });
  }

  /** @type {import('./session.js').Carrier} */
  var carrier = {
    secret_: '',
    node_: '',
    isDead_: false,
    choice_: choice,
    log_: log,
    ask_: ask,
    flush_: flush,
    learn_: learn,
    mark_: mark,

    /** @param {Session} session */
    add_: function (session) {
      session.number_ = ++numbers;
      sessions.push(session);
      begin();
    },

    /** @param {any} values the parameters of `opened` */
    configure_: function (values) {
      parameters = values;
      choice.restrict_(values.transports);
    },

    /**
     * Serve a session.
     *
     * @param {Session} session
     * @param {string} reason
     */
    adopt_: function (session, reason) {
      var isFirst = !atHome().length;
      session.isHome_ = true;
      if (isFirst) {
        heardAt = now();
        attach(reason);
      }
      // Naming it makes the carrier its home; one attach for all that lost theirs at once.
      else if (reason === 'lost') attachLater(0, reason);
      // The transport is proved or not: `open` waits for neither.
      if (down && reason === 'opened') session.announce_(down.name_, reason);
      flush();
    },

    /** @param {Session} session */
    cancel_: function (session) {
      open(session, 'cancel', Object);
    },

    /** @param {Session} session */
    remove_: function (session) {
      sessions = sessions.filter(function (one) {
        return one !== session;
      });
      if (sessions.length) return begin();
      stop();
    },
  };
  after(1, tick);
  watch();
  return carrier;
}
