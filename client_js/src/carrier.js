import { createBody, createDecoder, DOCUMENT } from './codec.js';
import { hasBinary, request } from './request.js';
import { scope } from './scope.js';
import { after, now, queueTask } from './tasks.js';
import { drawToken } from './token.js';
import { transports } from './transports/index.js';

/** @typedef {import('./codec.js').Frame} Frame */
/** @typedef {import('./request.js').Answer} Answer */
/** @typedef {import('./session.js').Session} Session */

/**
 * What is read of one answer: the documents by name, and whose frames come next.
 *
 * @typedef {object} Reading
 * @property {(chunk: any) => boolean} push false where the body is altered or not ours
 * @property {number} frames that came, the head included
 * @property {Session | undefined} session
 * @property {number} next the number of the session's next frame
 * @property {boolean} hasNews whether something else than acks and credit came
 * @property {Record<string, any[]>} documents
 */

/**
 * A downstream: one attach.
 *
 * @typedef {object} Downstream
 * @property {string} name of its transport
 * @property {number} number
 * @property {number} since
 * @property {number} heardAt
 * @property {boolean} isProved
 * @property {Reading} reading
 * @property {() => void} abort
 */

var VERSION = 1;

// What the server says in `opened`; until then there is nothing to send or to wait for.
var UNKNOWN_PARAMETERS = { heartbeat: 20, poll: 20, resume: 30, upload: 16384 };

// An upload's parts: small, so that each makes progress behind a proxy with a low limit. Escapes
// and base64 lengthen the JSON form.
var BINARY_PART_SIZE = 16384;
var JSON_PART_SIZE = 8192;
var SMALLEST_UPLOAD = 16384;
// Room for a section's document and its neighbours in a body.
var SECTION_ROOM = 64;

// An upload has this long, and what a slow line needs (section 6).
var UPLOAD_SECONDS = 10;
var BYTES_PER_SECOND = 8000;

// A stream is given up when its head, or what was written on it, has not come by then (8.1). When
// one was held back already, the next has half of it: messages are waiting.
var PROOF_SECONDS = 2;

var FIRST_PAUSE = 0.2;
var LONGEST_PAUSE = 5;
var FIRST_IDLE = 0.25;

// What a beacon may hold: browsers refuse more than 65,536 bytes.
var BYE_BYTES = 60000;

// Answers without progress after which a carrier is given up (section 10).
var STRIKES = 3;

/**
 * Send a text while the page goes away, by what the engine has for it.
 *
 * @param {string} url
 * @param {string} text
 */
function sendLast(url, text) {
  var navigator = scope.navigator;
  if (navigator && navigator.sendBeacon && navigator.sendBeacon(url, text)) return;
  if (scope.XMLHttpRequest) {
    var xhr = new scope.XMLHttpRequest();
    xhr.open('POST', url, false);
    xhr.withCredentials = true;
    xhr.setRequestHeader('Content-Type', 'text/plain');
    try {
      xhr.send(text);
    } catch (error) {
      // Refused in an unload by some engines; it was a hint only.
    }
  }
}

/**
 * The sockets of a page below one path: one downstream and one upload at a time.
 *
 * @param {object} options
 * @param {string} options.url of the path, without a query
 * @param {ReturnType<typeof import('./choice.js').createChoice>} options.choice
 * @param {(text: string) => void} options.log
 * @param {() => void} options.ondone no socket is left, and none may be added
 */
export function createCarrier(options) {
  var choice = options.choice;
  var log = options.log;
  var key = drawToken();
  var secret = '';
  var node = '';
  var parameters = UNKNOWN_PARAMETERS;

  /** @type {Session[]} */
  var sessions = [];
  var numbers = 0;
  var isDead = false;
  var isSuspended = false;
  /** @type {any} */
  var ticking;

  // Opening: the first alone, until it has brought the secret; then two at a time.
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
  var uploadPause = 0;
  var strikes = 0;
  var failingSince = 0;

  // Down.
  var attaches = 0;
  /** @type {Downstream | undefined} */
  var down;
  var downAt = 0;
  var isAttaching = false;
  var idle = 0;
  var pause = 0;
  var heldBack = 0;
  function nothing() {}
  var cancelAttach = nothing;

  /**
   * @param {number} last the pause before
   * @returns {number} seconds, with full jitter
   */
  function nextPause(last) {
    return FIRST_PAUSE + Math.random() * (Math.min(LONGEST_PAUSE, last * 2) - FIRST_PAUSE);
  }

  /**
   * @param {string} url
   * @param {string} verb
   * @param {string} [ticket]
   */
  function mark(url, verb, ticket) {
    var marker = 'emulation=' + verb + '.' + key + (ticket ? '.' + ticket : '');
    return url + (url.indexOf('?') < 0 ? '?' : '&') + marker;
  }

  /**
   * Begin the body of a request.
   *
   * @param {boolean} binary
   * @param {number} number
   */
  function beginBody(binary, number) {
    var body = createBody(binary);
    body.document(['head', VERSION, secret, number, node]);
    return body;
  }

  /** @param {number} number */
  function find(number) {
    return sessions.filter(function (session) {
      return session.number === number;
    })[0];
  }

  // --- Reading -------------------------------------------------------------------------------

  /**
   * @param {Reading} reading
   * @param {Frame} frame
   */
  function apply(reading, frame) {
    var data = frame.data;
    if (frame.type < DOCUMENT) {
      reading.hasNews = true;
      if (reading.session) reading.session.connection.receive(reading.next++, frame);
      return;
    }
    if (frame.type > DOCUMENT) return;
    var name = data[0];
    reading.documents[name] = data;
    var session = reading.session;
    if (name === 'section') {
      session = reading.session = find(data[1]);
      reading.next = data[3];
      if (session) session.connection.acknowledge(data[2]);
    } else if (name === 'credit') {
      if (session) session.connection.credit(data[1], data[2]);
    } else if (name === 'gone') {
      session = find(data[1]);
      if (session && session.isOpen()) session.fail('the server has no such session');
    } else if (name === 'secret') {
      learn(data[1], data[2]);
    } else if (name === 'ping') {
      isPinged = true;
    }
    if (name === 'gone' || name === 'error') reading.hasNews = true;
  }

  /**
   * Begin to read an answer. It is ours only if its head echoes key and number (section 3.1).
   *
   * @param {boolean} binary
   * @param {number} number
   * @param {boolean} isWhole whether it counts only when it is unaltered to its end
   * @returns {Reading}
   */
  function read(binary, number, isWhole) {
    /** @type {Frame[]} */
    var frames = [];
    var isOurs = false;
    var isForeign = false;
    var push = createDecoder(binary, function (frame) {
      if (isForeign) return;
      reading.frames++;
      var data = frame.type === DOCUMENT ? frame.data : [];
      if (reading.frames === 1) {
        if (data[0] === 'head' && data[1] !== VERSION) die('the server speaks version ' + data[1]);
        isOurs = data[0] === 'head' && data[2] === key && data[3] === number;
        // A request that could not be read is answered with number 0 and an error.
        isForeign = !isOurs && (data[0] !== 'head' || data[3] !== 0);
      } else {
        isForeign = !isOurs && data[0] !== 'error';
        isOurs = !isForeign;
      }
      if (isOurs && isWhole) frames.push(frame);
      else if (isOurs) apply(reading, frame);
    });

    /** @type {Reading} */
    var reading = {
      frames: 0,
      session: undefined,
      next: 0,
      hasNews: false,
      documents: {},
      push: function (chunk) {
        if (!push(chunk) || isForeign) return false;
        for (var i = 0; i < frames.length; i++) apply(reading, frames[i]);
        frames = [];
        flush();
        return true;
      },
    };
    return reading;
  }

  /**
   * Read a whole answer.
   *
   * @param {Answer | null} answer
   * @param {boolean} binary
   * @param {number} number
   * @returns {Record<string, any[]> | null} its documents; null where it is not ours
   */
  function readAnswer(answer, binary, number) {
    if (!answer) return null;
    var reading = read(binary, number, true);
    if (!reading.push(answer.body) || !reading.documents.head) return null;
    choice.reach();
    return reading.documents;
  }

  /**
   * Do what an error answer asks for (section 10).
   *
   * @param {any[]} error
   * @param {string | null} retryAfter
   * @returns {number} seconds to wait before the next try
   */
  function onError(error, retryAfter) {
    var status = error[1];
    log('the server answered ' + status + ': ' + error[2]);
    if (/^(403|404|405|411|415)$/.test(status) || (status === 400 && ++strikes >= STRIKES)) {
      die('the server answered ' + status);
    }
    return Number(retryAfter) || 1;
  }

  /**
   * @param {string} value
   * @param {string} name
   */
  function learn(value, name) {
    if (secret) return;
    secret = value;
    node = name;
    begin();
  }

  // --- Opening -------------------------------------------------------------------------------

  /** Begin the sockets that may begin. */
  function begin() {
    while (waiting.length && (secret || !pioneer)) {
      pioneer = /** @type {Session} */ (waiting.shift());
      pioneer.begin();
    }
    ask();
  }

  /** Ask for the sockets that are to be opened over HTTP. */
  function ask() {
    while (asking.length && asked < (secret ? 2 : 1) && !isSuspended) {
      post(/** @type {Session} */ (asking.shift()));
    }
  }

  /** @returns {string} the transport that will carry what is opened over HTTP */
  function intended() {
    return down ? down.name : choice.pick(true);
  }

  /** @param {Session} session */
  function post(session) {
    var hadSecret = !!secret;
    var binary = isBinary;
    var body = beginBody(binary, session.number);
    asked++;
    body.document(['open', session.number, session.nonce, session.protocols, intended()]);
    request(mark(session.url, 'open'), body.finish(), UPLOAD_SECONDS, function (answer) {
      asked--;
      var documents = readAnswer(answer, binary, session.number);
      var status = documents && documents.error && documents.error[1];
      if (status === 409 && !secret) key = drawToken();
      if (status === 404 && hadSecret) return die('the server has no such carrier');
      session.answered(documents, answer);
      ask();
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

  /** @returns {Session[]} those that the carrier serves */
  function atHome() {
    return sessions.filter(function (session) {
      return session.isHome;
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
    var connection = session.connection;
    var kept = connection.unacknowledged();
    var isFirst = !body.hasNumbered() && limit !== BYE_BYTES;
    var hasRoom = isFirst || body.size() + SECTION_ROOM + partSize < limit;
    var frame = hasRoom ? kept[0] || connection.next(partSize) : null;
    if (!frame && !isAsked && !connection.owesAck()) return -1;
    body.document([
      'section',
      session.number,
      connection.tell(),
      frame ? connection.acked() + 1 : 0,
    ]);
    var count = 0;
    // One frame goes whatever its size, but not in a beacon.
    while (frame && body.add(frame, isFirst && !count ? Infinity : limit)) {
      frame = kept[++count] || connection.next(partSize);
    }
    return count;
  }

  function upload() {
    if (isUploading || !secret || isDead || isSuspended) return;
    var binary = isBinary;
    var number = uploads + 1;
    var body = beginBody(binary, number);
    var limit = Math.min(largestUpload, parameters.upload);
    var isAnswer = isPinged;
    /** @type {{session: Session, last: number}[]} */
    var said = [];
    // They take turns in being the first.
    var home = atHome();
    turn++;
    for (var i = 0; i < home.length; i++) {
      var session = home[(i + turn) % home.length];
      var size = binary ? BINARY_PART_SIZE : JSON_PART_SIZE;
      var count = addSection(body, session, limit, size, isAnswer);
      if (count >= 0) said.push({ session: session, last: session.connection.acked() + count });
    }
    if (!said.length && !isAnswer) return;
    isPinged = false;
    isUploading = true;
    uploads = number;
    var data = body.finish();
    var seconds = UPLOAD_SECONDS + body.size() / BYTES_PER_SECOND;
    request(mark(options.url, 'send'), data, seconds, function (answer) {
      isUploading = false;
      if (isDead) return;
      if (answer && answer.status === 413) {
        largestUpload = Math.max(SMALLEST_UPLOAD, Math.min(limit, body.size()) / 2);
      }
      var wait = uploaded(answer, binary, number, said);
      if (wait) {
        said.forEach(function (one) {
          one.session.connection.untell();
        });
        if (!failingSince) failingSince = now();
        isUploading = true;
        after(wait, function () {
          isUploading = false;
          upload();
        });
        return;
      }
      uploadPause = failingSince = strikes = 0;
      said.forEach(function (one) {
        one.session.settle();
      });
      upload();
    });
  }

  /**
   * Take the answer to an upload.
   *
   * @param {Answer | null} answer
   * @param {boolean} binary
   * @param {number} number
   * @param {{session: Session, last: number}[]} said
   * @returns {number} seconds to wait before the next upload
   */
  function uploaded(answer, binary, number, said) {
    if (answer && answer.status === 204) {
      var fields = (answer.header('Emulation') || '').split(' ');
      if (fields[0] === String(VERSION) && fields[1] === key && Number(fields[2]) === number) {
        choice.reach();
        said.forEach(function (one) {
          one.session.connection.acknowledge(one.last);
        });
        checkWritten(Number(fields[3]), Number(fields[4]));
        return 0;
      }
      log('a 204 came without its header: on in the JSON form');
      isBinary = false;
    }
    var documents = readAnswer(answer, binary, number);
    if (documents && !documents.error) {
      if (documents.written) checkWritten(documents.written[1], documents.written[2]);
      return 0;
    }
    uploadPause = nextPause(Math.max(uploadPause, FIRST_PAUSE));
    if (!documents || !documents.error) return uploadPause;
    return onError(documents.error, answer && answer.header('Retry-After'));
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
    if (!mine || mine.number !== attach || mine.name === 'poll') return;
    if (mine.reading.frames >= frames) return;
    after(PROOF_SECONDS, function () {
      if (mine && mine === down && mine.reading.frames < frames) giveUp(mine, 'it is held back');
    });
  }

  /**
   * Attach in a task of its own, once for all who ask.
   *
   * @param {string} reason
   */
  function reattach(reason) {
    if (isAttaching) return;
    isAttaching = true;
    queueTask(function () {
      isAttaching = false;
      attach(reason);
    });
  }

  function detach() {
    var old = down;
    down = undefined;
    cancelAttach();
    cancelAttach = nothing;
    if (old) old.abort();
  }

  /**
   * @param {number} seconds
   * @param {string} reason
   */
  function attachLater(seconds, reason) {
    detach();
    cancelAttach = after(seconds, function () {
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
    if (!home.length || isDead || isSuspended) return;
    var name = choice.pick(true);
    if (!name) {
      // All have failed: it is the network or the server. Begin again with the best one.
      pause = nextPause(Math.max(pause, FIRST_PAUSE));
      heldBack = 0;
      sessions.forEach(function (session) {
        session.retryNative();
      });
      return attachLater(pause, reason);
    }
    var transport = transports[name];
    var number = ++attaches;
    var body = beginBody(transport.binary, number);
    home.forEach(function (session) {
      body.document(['section', session.number, session.connection.tell(), 0]);
    });
    /** @type {Downstream} */
    var mine = {
      name: name,
      number: number,
      since: now(),
      heardAt: now(),
      isProved: false,
      reading: read(transport.binary, number, name === 'poll'),
      abort: nothing,
    };
    down = mine;
    home.forEach(function (session) {
      session.announce(name, reason);
    });
    if (name !== 'poll') {
      cancelAttach = after(PROOF_SECONDS / (heldBack ? 2 : 1), function () {
        heldBack++;
        giveUp(mine, 'its head has not come');
      });
    }
    var data = body.finish();
    var abort = transport.open(
      {
        body: data,
        pollTime: parameters.poll,
        url: function (verb, ticket) {
          return mark(options.url, verb || transport.verb, ticket);
        },
        ticket: function (done) {
          return takeTicket(mine, data, done);
        },
      },
      {
        ondata: function (chunk) {
          if (mine === down) feed(mine, chunk);
        },
        onend: function (retryAfter) {
          if (mine === down) cut(mine, retryAfter);
        },
      }
    );
    mine.abort = abort;
    if (mine !== down) abort();
  }

  /**
   * Ask for a ticket (section 8.3).
   *
   * @param {Downstream} mine
   * @param {ArrayBuffer | string} data
   * @param {(ticket: string) => void} done
   */
  function takeTicket(mine, data, done) {
    return request(mark(options.url, 'ticket'), data, UPLOAD_SECONDS, function (answer) {
      if (mine !== down) return;
      var documents = readAnswer(answer, false, mine.number);
      if (documents && documents.ticket) return done(documents.ticket[1]);
      if (documents && documents.error) mine.reading.documents.error = documents.error;
      cut(mine, answer && answer.header('Retry-After'));
    });
  }

  /**
   * @param {Downstream} mine
   * @param {any} chunk
   */
  function feed(mine, chunk) {
    mine.heardAt = now();
    if (!mine.reading.push(chunk)) return giveUp(mine, 'its answer was altered, or is not ours');
    var documents = mine.reading.documents;
    if (documents.head && !mine.isProved) {
      mine.isProved = true;
      downAt = now();
      cancelAttach();
      if (!documents.error) {
        heldBack = 0;
        choice.prove(mine.name);
      }
    }
    if (mine.isProved) downAt = now();
    if (mine === down && documents.end) cut(mine, null);
  }

  /**
   * Go on after a downstream has ended.
   *
   * @param {Downstream} mine
   * @param {string | null} retryAfter
   */
  function cut(mine, retryAfter) {
    var documents = mine.reading.documents;
    var lasted = now() - mine.since;
    if (documents.error) {
      return attachLater(onError(documents.error, retryAfter), 'the server refused for a while');
    }
    if (!mine.isProved) return giveUp(mine, 'it has failed');
    // An answer which is empty, and early, must not become a loop.
    if (mine.reading.hasNews || lasted > parameters.poll / 2) {
      idle = pause = 0;
      return attach('the one before has ended');
    }
    idle = Math.min(LONGEST_PAUSE, idle * 2 || FIRST_IDLE);
    attachLater(idle, 'the one before has ended');
  }

  /**
   * Try the next transport.
   *
   * @param {Downstream} mine
   * @param {string} reason
   */
  function giveUp(mine, reason) {
    if (mine !== down) return;
    log(mine.name + ' is given up: ' + reason);
    choice.fail(mine.name, mine.since);
    attach(mine.name + ': ' + reason);
  }

  // --- Time ----------------------------------------------------------------------------------

  /** @returns {number} the seconds of silence after which a downstream is not believed in */
  function silence() {
    return 2 * parameters.heartbeat + 5;
  }

  function tick() {
    var time = now();
    sessions.slice().forEach(function (session) {
      session.tick(time, silence(), parameters.resume);
    });
    if (!atHome().length || isSuspended) return;
    var limit = Math.max(parameters.resume, silence());
    if (time - downAt > limit || (failingSince && time - failingSince > limit)) {
      die('the server has not answered for ' + Math.round(limit) + ' seconds');
    } else if (down && down.isProved && time - down.heardAt > silence()) {
      attach('nothing has come for too long');
    }
  }

  /**
   * End everything: the server does not know this carrier, or will not be reached.
   *
   * @param {string} reason
   */
  function die(reason) {
    if (isDead) return;
    isDead = true;
    options.ondone();
    detach();
    sessions.slice().forEach(function (session) {
      if (session.isHome) session.fail(reason);
      else if (!session.isOpen()) session.restart();
    });
  }

  var carrier = {
    flush: flush,
    learn: learn,
    log: log,
    choice: choice,
    nextPause: nextPause,

    isDead: function () {
      return isDead;
    },

    /** @returns {string} */
    secret: function () {
      return secret;
    },

    /** @returns {string} */
    node: function () {
      return node;
    },

    /** @returns {number} for a new socket */
    nextNumber: function () {
      return ++numbers;
    },

    /** @param {Session} session */
    add: function (session) {
      sessions.push(session);
      waiting.push(session);
      if (!ticking) ticking = setInterval(tick, 1000);
      begin();
    },

    /** @param {Session} session to be opened over HTTP */
    open: function (session) {
      asking.push(session);
      ask();
    },

    /** @param {Session} session that was opened or not, and needs no asking any more */
    opened: function (session) {
      if (pioneer === session) pioneer = undefined;
      begin();
    },

    /**
     * Take the parameters of `opened`.
     *
     * @param {any} values
     */
    configure: function (values) {
      parameters = values;
      choice.restrict(values.transports);
    },

    /** @param {Session} session that now is served by the carrier's downstream */
    welcome: function (session) {
      if (!atHome().length) downAt = now();
      session.isHome = true;
      if (down) session.announce(down.name, 'it serves the sockets of this page');
      else attach('it is the best that is left');
    },

    /**
     * Serve a session that was at home on a native socket.
     *
     * @param {Session} session
     * @param {string} reason
     */
    adopt: function (session, reason) {
      if (!atHome().length) downAt = now();
      session.isHome = true;
      reattach(reason);
      flush();
    },

    /** @param {Session} session */
    cancel: function (session) {
      var body = beginBody(isBinary, session.number);
      body.document(['cancel', session.number, session.nonce]);
      request(mark(session.url, 'open'), body.finish(), UPLOAD_SECONDS, nothing);
    },

    /** @param {Session} session */
    remove: function (session) {
      [sessions, waiting, asking].forEach(function (list) {
        var index = list.indexOf(session);
        if (index >= 0) list.splice(index, 1);
      });
      carrier.opened(session);
      if (sessions.length) return;
      clearInterval(ticking);
      isDead = true;
      options.ondone();
      detach();
    },

    /** @param {string} url */
    markNative: function (url) {
      return mark(url, 'ws');
    },

    /** Do not believe in what was open before a sleep, or on another network. */
    probe: function () {
      if (down && now() - down.heardAt > 1) attach('the page is back');
      sessions.forEach(function (session) {
        session.probe();
      });
    },

    /** Drop the transports: the page goes into the back/forward cache. */
    suspend: function () {
      isSuspended = true;
      detach();
      sessions.forEach(function (session) {
        session.suspend();
      });
    },

    resume: function () {
      isSuspended = false;
      sessions.slice().forEach(function (session) {
        session.recover('the page is back');
      });
      ask();
      attach('the page is back');
      flush();
    },

    /** Say that the page will not come back (section 11). */
    bye: function () {
      if (!secret || isDead) return;
      var body = beginBody(false, uploads + 1);
      sessions.forEach(function (session) {
        if (!session.isOpen()) return;
        addSection(body, session, BYE_BYTES, JSON_PART_SIZE, true);
        body.document(['last', session.connection.numbered()]);
      });
      sendLast(mark(options.url, 'bye'), /** @type {string} */ (body.finish()));
    },
  };
  return carrier;
}
