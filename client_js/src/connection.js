import { concat, measure, slice } from './bytes.js';
import { BINARY, CLOSE, PART, TEXT } from './codec.js';

/** @typedef {import('./codec.js').Frame} Frame */

/**
 * A message on its way up. `data` is null while it is still being read (a Blob); `offset` is how
 * far it has been cut into parts.
 *
 * @typedef {{type: number, data: any, size: number, offset: number}} Message
 */

/**
 * What a connection tells.
 *
 * @typedef {object} Sink
 * @property {(data: any, isBinary: boolean) => void} onmessage
 * @property {(code: number, reason: string) => void} onclose the server's close was taken
 * @property {() => void} onfail the server broke the protocol
 */

// The states are sums: closed is both of the closes.
var CLOSE_SENT = 1;
var CLOSE_TAKEN = 2;
var FAILED = 4;

/**
 * @param {number} code
 * @returns {boolean} whether a close frame may carry it (RFC 6455 section 7.4)
 */
function isCloseCode(code) {
  return (code >= 3000 && code < 5000) || /^10(0[0-37-9]|1[0-4])$/.test(String(code));
}

/**
 * One emulated WebSocket without its transports: numbers, acknowledgements, credit, parts and the
 * close handshake (docs/protocol.md sections 3, 5 and 11). It never waits and reads no clock.
 *
 * @param {Sink} sink
 */
export function createConnection(sink) {
  var state = 0;

  // What goes up: `queue` has no numbers yet, `kept` begins at the number acked + 1.
  /** @type {Message[]} */
  var queue = [];
  /** @type {(Frame & {size: number})[]} */
  var kept = [];
  var acked = 0;
  var buffered = 0;
  var bytesSent = 0;
  var creditBytes = 0;
  var creditFrames = 0;

  // What comes down.
  var taken = 0;
  var told = 0;
  var bytesTaken = 0;
  var bytesTold = 0;
  var windowBytes = 0;
  var windowFrames = 0;
  var largest = Infinity;
  /** @type {any[]} */
  var pieces = [];
  var piecesType = 0;
  var piecesSize = 0;

  /**
   * @param {Message} message
   * @param {number} limit in bytes
   * @returns {{end: number, size: number}}
   */
  function cut(message, limit) {
    var start = message.offset;
    var length = message.data.length;
    if (!start && message.size <= limit) return { end: length, size: message.size };
    if (message.type === TEXT) return measure(message.data, start, limit);
    var end = Math.min(start + limit, length);
    return { end: end, size: end - start };
  }

  /** @param {number[] | [number, string]} data */
  function queueClose(data) {
    queue.push({ type: CLOSE, data: data, size: 0, offset: 0 });
  }

  /**
   * Give the next frame its number.
   *
   * @param {number} partSize the most bytes of payload in it
   * @returns {Frame | null} null where there is none, or no credit for it
   */
  function next(partSize) {
    var message = queue[0];
    if (!message || message.data === null) return null;
    var frame = { type: CLOSE, data: message.data, size: 0 };
    if (message.type === CLOSE) {
      state |= CLOSE_SENT;
    } else {
      // Credit comes by quarters of the window: no piece may need more than that.
      var piece = cut(message, Math.min(partSize, Math.max(windowBytes >> 2, 4)));
      if (bytesSent + piece.size > creditBytes || acked + kept.length >= creditFrames) return null;
      bytesSent += piece.size;
      var isLast = piece.end === message.data.length;
      frame.type = message.type + (isLast ? 0 : PART);
      frame.size = piece.size;
      if (!isLast || message.offset) {
        frame.data =
          message.type === TEXT
            ? message.data.slice(message.offset, piece.end)
            : slice(message.data, message.offset, piece.end);
      }
      message.offset = piece.end;
      if (!isLast) {
        kept.push(frame);
        return frame;
      }
    }
    queue.shift();
    kept.push(frame);
    return frame;
  }

  /** @param {number} code */
  function fail(code) {
    if (state & FAILED) return;
    queue = [];
    if (!(state & CLOSE_SENT)) queueClose([code]);
    state |= FAILED;
    sink.onfail();
  }

  /** @param {any} data */
  function takeClose(data) {
    var code = data && data.length ? data[0] : 1005;
    var reason = data && data.length > 1 ? data[1] : '';
    if (!data || (code !== 1005 && !isCloseCode(code)) || (code === 1005 && data.length)) {
      return fail(1002);
    }
    if (reason === null) return fail(1007);
    if (measure(reason, 0, 124).size > 123) return fail(1002);
    state |= CLOSE_TAKEN;
    pieces = [];
    if (!(state & CLOSE_SENT)) {
      // Who has the other's close drops what has no number, but for a close of its own.
      var last = queue[queue.length - 1];
      queue = [];
      queueClose(last && last.type === CLOSE ? last.data : data.slice(0, 1));
    }
    sink.onclose(code, reason);
  }

  /** @param {Frame} frame */
  function takeData(frame) {
    var isPart = frame.type > BINARY;
    var type = isPart ? frame.type - PART : frame.type;
    if (frame.data === null) return fail(type === TEXT ? 1007 : 1002);
    if (piecesType && piecesType !== type) return fail(1002);
    piecesSize += frame.data.length;
    if (piecesSize > largest) return fail(1009);
    bytesTaken += frame.data.length;
    piecesType = type;
    pieces.push(frame.data);
    if (isPart) return;
    var isText = type === TEXT;
    var data = pieces.length < 2 ? frame.data : isText ? pieces.join('') : concat(pieces);
    pieces = [];
    piecesType = piecesSize = 0;
    // As RFC 6455 section 1.4: what comes behind the own close is discarded.
    if (!(state & CLOSE_SENT)) sink.onmessage(data, !isText);
  }

  return {
    next: next,
    fail: fail,

    /**
     * Take the parameters of `opened`.
     *
     * @param {{bytes: number, frames: number, message: number}} parameters
     */
    open: function (parameters) {
      creditBytes = windowBytes = parameters.bytes;
      creditFrames = windowFrames = parameters.frames;
      largest = parameters.message;
    },

    /**
     * Accept a message; its `data` may be given later.
     *
     * @param {number} type TEXT or BINARY
     * @param {any} data
     * @param {number} size in bytes of payload
     * @returns {Message}
     */
    send: function (type, data, size) {
      var message = { type: type, data: data, size: size, offset: 0 };
      queue.push(message);
      buffered += size;
      return message;
    },

    /** @param {any} data `[]`, `[code]` or `[code, reason]` */
    close: function (data) {
      if (!(state & CLOSE_TAKEN)) queueClose(data);
    },

    /**
     * Take a numbered frame; one out of its turn is passed over.
     *
     * @param {number} number
     * @param {Frame} frame
     */
    receive: function (number, frame) {
      if (number !== taken + 1 || state & (CLOSE_TAKEN | FAILED)) return;
      taken = number;
      if (frame.type === CLOSE) takeClose(frame.data);
      else if (frame.type > CLOSE) fail(1002);
      else takeData(frame);
    },

    /** @param {number} number all frames up to it were taken by the server */
    acknowledge: function (number) {
      if (number > acked + kept.length) return fail(1002);
      if (number <= acked) return;
      var gone = kept.splice(0, number - acked);
      for (var i = 0; i < gone.length; i++) buffered -= gone[i].size;
      acked = number;
    },

    /**
     * @param {number} bytes
     * @param {number} frames
     */
    credit: function (bytes, frames) {
      creditBytes = Math.max(creditBytes, bytes);
      creditFrames = Math.max(creditFrames, frames);
    },

    /** @returns {Frame[]} what was sent and not acknowledged, from the number acked() + 1 on */
    unacknowledged: function () {
      return kept;
    },

    acked: function () {
      return acked;
    },

    /** @returns {number} the highest number given to a frame */
    numbered: function () {
      return acked + kept.length;
    },

    taken: function () {
      return taken;
    },

    /** @returns {number} the ack, which the server now is told */
    tell: function () {
      bytesTold = bytesTaken;
      return (told = taken);
    },

    /** Note that what was told may have been lost. */
    untell: function () {
      told = bytesTold = 0;
    },

    /** @returns {boolean} whether an ack should go alone (section 5.1) */
    owesAck: function () {
      if (told === taken) return false;
      var isQuarter = bytesTaken - bytesTold >= windowBytes / 4 || taken - told >= windowFrames / 4;
      return isQuarter || (state & CLOSE_TAKEN) > 0;
    },

    /** @returns {number} bytes accepted and not acknowledged */
    buffered: function () {
      return buffered;
    },

    isCloseSent: function () {
      return (state & CLOSE_SENT) > 0;
    },

    isCloseTaken: function () {
      return (state & CLOSE_TAKEN) > 0;
    },

    /** @returns {boolean} whether both sides know that it is over */
    isDone: function () {
      var isOver = state & CLOSE_SENT && state & (CLOSE_TAKEN | FAILED);
      return !!isOver && !kept.length && (told === taken || (state & FAILED) > 0);
    },
  };
}
