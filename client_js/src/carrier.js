import { createBody, createDecoder, DOCUMENT, nameOf } from './codec.js';
import { holdSlot } from './memory.js';
import { hasBinary, post } from './request.js';
import { scope } from './scope.js';
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
 * @property {(chunk: any) => boolean} push_ false where the body is altered or not ours
 * @property {() => void} finish_ take what came whole of a body that was cut
 * @property {string} name_ of the transport
 * @property {number} number_
 * @property {number} frames_ that came, the head included
 * @property {boolean} hasNews_ whether numbered frames or more credit came
 * @property {Documents} documents_ `head` is among them where the answer is ours
 * @property {number} since_
 * @property {number} heardAt_ when the last of it came
 * @property {boolean} isProved_
 * @property {() => void} abort_
 */

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

// An answer that was cut after such a silence was cut for it: a shorter one is asked for.
var SILENCE_SECONDS = 2;
var SHORTEST_WAIT = 1;

// Streams that are cut sooner, so many on end, do not work.
var BRIEF_SECONDS = 0.5;
var BRIEF_LIVES = 3;

// A stream is given up when its head, or what was written on it, has not come by then (8.1). When
// one was given up already, the next has half of it: messages are waiting.
var PROOF_SECONDS = 2;

// Far beyond what a stream holds before the server ends it.
var STREAM_SECONDS = 86400;

var FIRST_PAUSE = 0.2;
var LONGEST_PAUSE = 5;
var FIRST_IDLE = 0.25;

// What a beacon may hold: browsers refuse more than 65,536 bytes.
var BYE_BYTES = 60000;

// Answers without progress after which a carrier is given up (section 10).
var STRIKES = 3;

function nothing() {}

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
  // The tabs of a browser share its connections to a host.
  var slots = url.split('/')[2] + ' slot ';
  // What the server says in `opened`; until then there is nothing to send or to wait for.
  /** @type {any} */
  var parameters = {};
  /** @type {Session[]} */
  var sessions = [];
  var numbers = 0;
  var isSuspended = false;
  var ticking = setInterval(tick, 1000);

  // Opening: the first alone, until it has brought the secret; then two ask at a time.
  /** @type {Session | undefined} */
  var pioneer;
  /** @type {Session[]} */
  var waiting = [];
  /** @type {Session[]} */
  var asking = [];
  var asked = 0;

  // Up.
  var uploads = 0;
  var isUploading = false;
  var isScheduled = false;
  var isPinged = false;
  var isBinary = hasBinary;
  var largestUpload = Infinity;
  var turn = 0;
  var strikes = 0;
  var uploadPause = 0;

  // Down.
  var attaches = 0;
  /** @type {Reading | undefined} */
  var down;
  var attachReason = '';
  var heardAt = 0;
  var idle = 0;
  var pause = 0;
  var timeouts = 0;
  var cancelTimer = nothing;
  var briefLives = 0;
  // How long the server may be silent on a downstream, if its own figures are too long.
  var wait = Infinity;
  // Whether there is a connection to park a downstream on, and until when there was none.
  var isParked = true;
  var yieldsUntil = 0;

  /**
   * @param {number} last the pause before
   * @returns {number} seconds, with full jitter
   */
  function nextPause(last) {
    var longest = Math.min(LONGEST_PAUSE, 2 * last);
    return FIRST_PAUSE + Math.random() * Math.max(longest - FIRST_PAUSE, 0);
  }

  /**
   * @param {string} target
   * @param {string} verb
   * @returns {string}
   */
  function mark(target, verb) {
    return target + (target.indexOf('?') < 0 ? '?' : '&') + 'emulation=' + verb + '.' + key;
  }

  /**
   * Begin the body of a request.
   *
   * @param {boolean} binary
   * @param {number} number
   */
  function beginBody(binary, number) {
    var body = createBody(binary);
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
   * @param {boolean} binary
   * @param {number} number
   * @param {string} name of the transport; with `poll` it counts only unaltered to its end
   * @returns {Reading}
   */
  function read(binary, number, name) {
    /** @type {Frame[]} */
    var frames = [];
    /** @type {Session | undefined} */
    var session;
    var next = 0;
    var isOurs = true;

    /** @param {Frame} frame */
    function apply(frame) {
      var data = frame.data_;
      if (frame.type_ < DOCUMENT) {
        reading.hasNews_ = true;
        if (session) session.connection_.receive_(next++, frame);
      }
      var name = nameOf(frame);
      if (name) reading.documents_[name] = data;
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
        if (session && session.connection_.credit_(data)) reading.hasNews_ = true;
      } else if (name === 'secret') learn(data);
      else if (name === 'ping') isPinged = true;
    }

    var push = createDecoder(binary, function (frame) {
      var head = frame.data_;
      if (!reading.frames_++) {
        isOurs = nameOf(frame) === 'head';
        if (isOurs && head[1] !== VERSION) die('version ' + head[1]);
        // A request that could not be read is answered with number 0.
        isOurs = isOurs && (!head[3] || (head[2] === key && head[3] === number));
      }
      frames.push(frame);
      if (name !== 'poll' || nameOf(frame) === 'end') applyAll();
    });

    function applyAll() {
      if (isOurs) frames.forEach(apply);
      frames = [];
      if (reading.documents_.head) choice.reachedAt_ = now();
      flush();
    }

    /** @type {Reading} */
    var reading = {
      name_: name,
      number_: number,
      since_: now(),
      heardAt_: now(),
      isProved_: false,
      abort_: nothing,
      frames_: 0,
      hasNews_: false,
      documents_: {},
      push_: function (chunk) {
        isOurs = push(chunk) && isOurs;
        return isOurs;
      },
      finish_: applyAll,
    };
    return reading;
  }

  /**
   * POST a body, and read the whole answer.
   *
   * @param {string} target
   * @param {ReturnType<typeof createBody>} body
   * @param {boolean} binary
   * @param {number} number
   * @param {(documents: Documents, status: number, note: string) => void} done
   * @returns {() => void} aborts
   */
  function call(target, body, binary, number, done) {
    var seconds = REQUEST_SECONDS + body.size_ / BYTES_PER_SECOND;
    var reading = read(binary, number, 'poll');
    return post(target, body.finish_(), false, seconds, reading.push_, function (status, note) {
      reading.finish_();
      done(reading.documents_, status, note);
    });
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
    begin();
  }

  // --- Opening -------------------------------------------------------------------------------

  /** Begin the sockets that may begin, and ask for those that may be asked for. */
  function begin() {
    while (waiting.length && (carrier.secret_ || !pioneer)) {
      pioneer = /** @type {Session} */ (waiting.shift());
      pioneer.begin_();
    }
    while (asking.length && asked < (carrier.secret_ ? 2 : 1)) {
      open(/** @type {Session} */ (asking.shift()));
    }
  }

  /** @param {Session} session */
  function open(session) {
    var hadSecret = !!carrier.secret_;
    var binary = isBinary;
    var body = beginBody(binary, session.number_);
    asked++;
    var intended = down ? down.name_ : choice.pick_(true);
    body.document_(['open', session.number_, session.nonce_, session.protocols_, intended]);
    call(mark(session.url_, 'open'), body, binary, session.number_, function (documents) {
      asked--;
      var status = documents.error && documents.error[1];
      if (status === 409 && !carrier.secret_) key = drawToken();
      if (status === 404 && hadSecret) return die('404');
      session.answered_(documents);
      begin();
    });
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
   * @param {number} partSize
   * @param {boolean} isAsked whether to add it even if there is nothing to say
   * @returns {number} of frames; -1 where there is no section
   */
  function addSection(body, session, limit, partSize, isAsked) {
    var connection = session.connection_;
    // One frame goes whatever its size, but not in a beacon.
    var isForced = !body.hasNumbered_ && limit !== BYE_BYTES;
    var count = 0;

    function next() {
      return connection.kept_[count] || connection.next_(partSize);
    }

    var frame = isForced || body.size_ < limit ? next() : null;
    if (!frame && !isAsked && !connection.owesAck_()) return -1;
    var first = frame ? connection.acked_ + 1 : 0;
    body.document_(['section', session.number_, connection.tell_(), first]);
    while (frame && body.add_(frame, isForced && !count ? Infinity : limit)) {
      count++;
      frame = next();
    }
    return count;
  }

  function upload() {
    if (isUploading || !carrier.secret_ || carrier.isDead_ || isSuspended) return;
    var binary = isBinary;
    var number = uploads + 1;
    var body = beginBody(binary, number);
    var limit = Math.min(largestUpload, parameters.upload);
    var isAnswer = isPinged;
    /** @type {Session[]} */
    var said = [];
    var home = atHome();
    // They take turns in being the first.
    turn++;
    home.forEach(function (_, index) {
      var session = home[(index + turn) % home.length];
      var partSize = binary ? BINARY_PART_SIZE : JSON_PART_SIZE;
      var count = addSection(body, session, limit, partSize, isAnswer);
      if (count < 0) return;
      session.sent_ = session.connection_.acked_ + count;
      said.push(session);
    });
    if (!said.length && !isAnswer) return;
    isPinged = false;
    isUploading = true;
    uploads = number;
    var cancel = after(CROWDED_SECONDS + body.size_ / BYTES_PER_SECOND, function () {
      if (!down || !isParked) return;
      yieldsUntil = now() + YIELD_SECONDS;
      attach('crowded');
    });
    call(mark(url, 'send'), body, binary, number, function (documents, status, note) {
      cancel();
      isUploading = false;
      if (carrier.isDead_) return;
      var isGood = takeNote(note, number, said);
      if (status === 204 && !isGood) isBinary = false;
      isGood = isGood || (!!documents.head && !documents.error);
      // Else it is a 413, or something that breaks off what is long.
      largestUpload = isGood ? largestUpload + GROWTH : body.size_ / 2;
      uploaded(documents, isGood, said);
    });
  }

  /**
   * Go on after an upload.
   *
   * @param {Documents} documents
   * @param {boolean} isGood whether it was taken
   * @param {Session[]} said
   */
  function uploaded(documents, isGood, said) {
    var error = documents.error;
    if (isGood) {
      var written = documents.written;
      if (written) checkWritten(written[1], written[2]);
      uploadPause = strikes = 0;
      said.forEach(function (session) {
        session.settle_();
      });
      return upload();
    }
    said.forEach(function (session) {
      session.connection_.untell_();
    });
    uploadPause = nextPause(uploadPause);
    isUploading = true;
    after(error ? onError(error) : uploadPause, function () {
      isUploading = false;
      upload();
    });
  }

  /**
   * Take the header of a 204, which says that all was taken (section 6).
   *
   * @param {string} note
   * @param {number} number
   * @param {Session[]} said
   * @returns {boolean} whether it is ours
   */
  function takeNote(note, number, said) {
    var fields = note.split(' ');
    if (note.indexOf([VERSION, key, number, ''].join(' '))) return false;
    choice.reachedAt_ = now();
    said.forEach(function (session) {
      session.connection_.acknowledge_(session.sent_);
    });
    checkWritten(+fields[3], +fields[4]);
    return true;
  }

  // --- Down ----------------------------------------------------------------------------------

  /**
   * Give a downstream up when what was written on it has not come two seconds later.
   *
   * @param {number} attach
   * @param {number} frames
   */
  function checkWritten(attach, frames) {
    var mine = down;
    if (!mine || mine.number_ !== attach || mine.name_ === 'poll') return;
    if (mine.frames_ >= frames) return;
    after(PROOF_SECONDS, function () {
      if (mine && mine.frames_ < frames) giveUp(mine, 'held back');
    });
  }

  /** @returns {boolean} whether a downstream may be parked, and holds its place then */
  function mayPark() {
    return holdSlot(slots, key, now() > yieldsUntil);
  }

  /**
   * Ask for shorter silences after one that was cut.
   *
   * @param {number} silence
   * @returns {boolean} whether that is news
   */
  function isShortened(silence) {
    if (silence < SILENCE_SECONDS || wait <= Math.max(silence / 2, SHORTEST_WAIT)) return false;
    wait = Math.max(silence / 2, SHORTEST_WAIT);
    return true;
  }

  /** Have no downstream, and leave its place to another tab. */
  function unpark() {
    detach();
    holdSlot(slots, key, false);
  }

  function detach() {
    var old = down;
    down = undefined;
    cancelTimer();
    cancelTimer = nothing;
    if (old) old.abort_();
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
    if (!home.length || carrier.isDead_ || isSuspended) return;
    isParked = mayPark();
    var name = !isParked && choice.has_('poll') ? 'poll' : choice.pick_(true);
    if (!name) {
      // All have failed: it is the network or the server. Begin again with the best one.
      timeouts = 0;
      return attachLater((pause = nextPause(pause)), reason);
    }
    var transport = transports[name];
    var number = ++attaches;
    var body = beginBody(transport.isBinary_, number);
    if (wait < Infinity || !isParked) body.document_(['wait', isParked ? wait : 0]);
    home.forEach(function (session) {
      // The server may not know the number: the head may have died with the native socket.
      body.document_(['section', session.number_, session.connection_.tell_(), 0, session.nonce_]);
    });
    attachReason = reason;
    var mine = read(transport.isBinary_, number, name);
    down = mine;
    if (name !== 'poll') {
      cancelTimer = after(timeouts ? PROOF_SECONDS / 2 : PROOF_SECONDS, function () {
        timeouts++;
        giveUp(mine, 'timeout');
      });
    }

    /** @param {any} chunk */
    function ondata(chunk) {
      if (mine !== down) return;
      mine.heardAt_ = now();
      if (mine.push_(chunk)) check(mine, false);
      else giveUp(mine, 'altered');
    }

    function onend() {
      if (mine !== down) return;
      mine.finish_();
      check(mine, true);
    }

    var target = mark(url, transport.verb_);
    if (name !== 'sse') {
      // A proxy may keep a poll's answer for a while.
      var seconds = name === 'poll' ? parameters.poll + REQUEST_SECONDS : STREAM_SECONDS;
      mine.abort_ = post(target, body.finish_(), name === 'stream', seconds, ondata, onend);
      return;
    }
    mine.abort_ = call(target, body, false, number, function (documents) {
      if (mine !== down) return;
      if (documents.ticket) {
        mine.abort_ = listen(mark(url, 'sse') + '.' + documents.ticket[1], ondata, onend);
        return;
      }
      mine.documents_ = documents;
      check(mine, true);
    });
  }

  /**
   * Note what has come, and go on where that was all.
   *
   * @param {Reading} mine
   * @param {boolean} isOver
   */
  function check(mine, isOver) {
    var documents = mine.documents_;
    var error = documents.error;
    if (documents.head) heardAt = now();
    if (documents.head && !error && !mine.isProved_) {
      mine.isProved_ = true;
      timeouts = 0;
      choice.prove_(mine.name_);
      if (mine === down) cancelTimer();
      atHome().forEach(function (session) {
        session.announce_(mine.name_, attachReason);
      });
    }
    if (mine !== down || !(isOver || documents.end)) return;
    if (error) return attachLater(onError(error), 'failed');
    if (!documents.end) {
      if (isShortened(now() - mine.heardAt_)) return attach('cut');
      briefLives = now() - mine.since_ < BRIEF_SECONDS ? briefLives + 1 : 0;
      if (briefLives >= BRIEF_LIVES && mine.name_ !== 'poll') return giveUp(mine, 'cut');
    }
    if (!mine.isProved_) return giveUp(mine, 'failed');
    // An answer which is empty, and early, must not become a loop.
    if (mine.hasNews_ || now() - mine.since_ > Math.min(parameters.poll, wait) / 2) {
      idle = pause = 0;
      return attach('ended');
    }
    idle = Math.min(isParked ? LONGEST_PAUSE : YIELDING_PAUSE, 2 * idle || FIRST_IDLE);
    attachLater(idle, 'ended');
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
    attach(mine.name_ + ' ' + reason);
  }

  // --- The end -------------------------------------------------------------------------------

  function tick() {
    // Without a sign of life for so long a downstream is not believed in (section 7.2).
    var silence = 2 * parameters.heartbeat + 5;
    var limit = Math.max(parameters.resume, silence);
    var time = now();
    sessions.slice().forEach(function (session) {
      session.tick_(silence, limit);
    });
    if (!atHome().length || isSuspended) return unpark();
    if (time - heardAt > limit) die('timeout');
    else if (down && down.isProved_ && time - heardAt > silence) {
      isShortened(Math.min(parameters.heartbeat, wait));
      attach('timeout');
    } else if (mayPark() !== isParked) attach(isParked ? 'crowded' : 'freed');
  }

  /** Take no more sockets. */
  function stop() {
    carrier.isDead_ = true;
    unpark();
  }

  /**
   * End everything: the server does not know this carrier, or will not be reached.
   *
   * @param {string} reason
   */
  function die(reason) {
    if (carrier.isDead_) return;
    stop();
    sessions.slice().forEach(function (session) {
      // Those on native sockets have a watch of their own.
      if (session.isHome_ || !session.isOpen_()) session.fail_(reason);
    });
  }

  /** Say that the page will not come back (section 11). */
  function bye() {
    if (!carrier.secret_ || !scope.navigator.sendBeacon) return;
    var body = beginBody(false, uploads + 1);
    sessions.forEach(function (session) {
      if (!session.isOpen_()) return;
      addSection(body, session, BYE_BYTES, JSON_PART_SIZE, true);
      body.document_(['last', session.connection_.numbered_()]);
    });
    // Engines without it are missed after a while.
    scope.navigator.sendBeacon(mark(url, 'bye'), body.finish_());
  }

  /** @type {import('./session.js').Carrier} */
  var carrier = {
    secret_: '',
    node_: '',
    isDead_: false,
    choice_: choice,
    log_: log,
    flush_: flush,
    learn_: learn,
    mark_: mark,
    nextPause_: nextPause,

    /** @param {Session} session */
    add_: function (session) {
      session.number_ = ++numbers;
      sessions.push(session);
      waiting.push(session);
      begin();
    },

    /** @param {Session} session to be opened over HTTP */
    ask_: function (session) {
      asking.push(session);
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
      if (isFirst) heardAt = now();
      session.isHome_ = true;
      if (isFirst) attach(reason);
      // Naming it makes the carrier its home; one attach for all that lost theirs at once.
      else if (reason === 'lost') attachLater(0, reason);
      // The transport is proved or not: `open` waits for neither.
      if (down && reason === 'opened') session.announce_(down.name_, reason);
      flush();
    },

    /** @param {Session} session */
    cancel_: function (session) {
      var body = beginBody(isBinary, session.number_);
      body.document_(['cancel', session.number_, session.nonce_]);
      call(mark(session.url_, 'open'), body, isBinary, session.number_, nothing);
    },

    /** @param {Session} session */
    remove_: function (session) {
      [sessions, waiting, asking].forEach(function (list) {
        var index = list.indexOf(session);
        if (index >= 0) list.splice(index, 1);
      });
      if (pioneer === session) pioneer = undefined;
      if (sessions.length) return begin();
      clearInterval(ticking);
      stop();
    },

    /**
     * React to what happens to the page.
     *
     * @param {any} event
     */
    notice_: function (event) {
      if (event.type === 'pagehide') {
        holdSlot(slots, key, false);
        if (!event.persisted) return bye();
        // It goes into the back/forward cache, and no transport with it.
        isSuspended = true;
        detach();
      } else if (event.type === 'pageshow') {
        if (!isSuspended) return;
        isSuspended = false;
      }
      if (event.type === 'online') choice.forgive_();
      // What was open before a sleep, or on another network, is not believed.
      if (event.type === 'pageshow' || now() - heardAt > 1) attach('resumed');
      sessions.slice().forEach(function (session) {
        session.notice_(isSuspended);
      });
      flush();
    },
  };
  return carrier;
}
