import { concat, measure } from './bytes.js';
import { BINARY, CLOSE, PART, TEXT } from './codec.js';

/** @typedef {import('./codec.js').Frame} Frame */

/**
 * A message on its way up. `data_` is null while it is still being read (a Blob); `offset_` is how
 * far it has been cut into parts.
 *
 * @typedef {{type_: number, data_: any, size_: number, offset_: number}} Message
 */

/**
 * What a connection tells.
 *
 * @typedef {object} Sink
 * @property {(data: any, isBinary: boolean) => void} onmessage_
 * @property {(code: number, reason: string, isFailed?: boolean) => void} onclose_ the server's close
 *   was taken, or it broke the protocol
 */

// The states are sums: closed is both of the closes.
var CLOSE_SENT = 1;
var CLOSE_TAKEN = 2;
var FAILED = 4;

// The codes which a close frame may carry (RFC 6455 section 7.4).
var CLOSE_CODE = /^(10(0[0-37-9]|1[0-4])|[34]...)$/;

/**
 * One emulated WebSocket without its transports: numbers, acknowledgements, credit, parts and the
 * close handshake (docs/protocol.md sections 3, 5 and 11). It never waits and reads no clock.
 *
 * @param {Sink} sink
 */
export function createConnection(sink) {
  var state = 0;

  // What goes up and has no numbers yet.
  /** @type {Message[]} */
  var queue = [];
  var bytesSent = 0;
  var creditBytes = 0;
  var creditFrames = 0;

  // What comes down.
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
   */
  function cut(message, limit) {
    var start = message.offset_;
    var end = message.data_.length;
    if (!start && message.size_ <= limit) return { end_: end, size_: message.size_ };
    if (message.type_ === TEXT) return measure(message.data_, start, limit);
    end = Math.min(start + limit, end);
    return { end_: end, size_: end - start };
  }

  /**
   * @param {Message} message
   * @param {number} partSize
   * @returns {(Frame & {size_: number}) | null}
   */
  function nextData(message, partSize) {
    // Credit comes by quarters of the window: no piece may need more than that.
    var piece = cut(message, Math.min(partSize, Math.max(windowBytes >> 2, 4)));
    if (bytesSent + piece.size_ > creditBytes || numbered() >= creditFrames) return null;
    bytesSent += piece.size_;
    var data = message.data_;
    var start = message.offset_;
    message.offset_ = piece.end_;
    var isLast = piece.end_ === data.length;
    if (isLast) queue.shift();
    data = (data.subarray || data.slice).call(data, start, piece.end_);
    return { type_: message.type_ + (isLast ? 0 : PART), data_: data, size_: piece.size_ };
  }

  function numbered() {
    return connection.acked_ + connection.kept_.length;
  }

  /** @param {number} code */
  function fail(code) {
    if (state & FAILED) return;
    queue = [];
    if (!(state & CLOSE_SENT)) connection.send_(CLOSE, [code], 0);
    state |= FAILED;
    sink.onclose_(1006, '', true);
  }

  /** @param {any} data */
  function takeClose(data) {
    if (data.length && !CLOSE_CODE.test(data[0])) return fail(1002);
    var reason = data.length > 1 ? data[1] : '';
    if (reason === null) return fail(1007);
    if (measure(reason, 0, 123).end_ < reason.length) return fail(1002);
    state |= CLOSE_TAKEN;
    pieces = [];
    if (!(state & CLOSE_SENT)) {
      // Who has the other's close drops what has no number, but for a close of its own.
      var last = queue.pop();
      queue = [];
      connection.send_(CLOSE, last && last.type_ === CLOSE ? last.data_ : data.slice(0, 1), 0);
    }
    sink.onclose_(data[0] || 1005, reason);
  }

  /** @param {Frame} frame */
  function takeData(frame) {
    var data = frame.data_;
    var isPart = frame.type_ > BINARY;
    var isText = frame.type_ % 2;
    var type = isText ? TEXT : BINARY;
    if (data === null) return fail(1007);
    if (piecesType && piecesType !== type) return fail(1002);
    bytesTaken += data.length;
    piecesSize += data.length;
    if (piecesSize > largest) return fail(1009);
    piecesType = type;
    pieces.push(data);
    if (isPart) return;
    if (pieces.length > 1) data = isText ? pieces.join('') : concat(pieces);
    pieces = [];
    piecesType = piecesSize = 0;
    // As RFC 6455 section 1.4: what comes behind the own close is discarded.
    if (!(state & CLOSE_SENT)) sink.onmessage_(data, !isText);
  }

  var connection = {
    /** The highest number that the server has acknowledged. */
    acked_: 0,
    /** The highest number taken. */
    taken_: 0,
    /**
     * What was sent and is not acknowledged, from the number acked_ + 1 on.
     *
     * @type {(Frame & {size_: number})[]}
     */
    kept_: [],
    /** The bytes accepted and not acknowledged. */
    buffered_: 0,
    numbered_: numbered,

    /**
     * Take the parameters of `opened`.
     *
     * @param {any} parameters
     */
    open_: function (parameters) {
      creditBytes = windowBytes = parameters.bytes;
      creditFrames = windowFrames = parameters.frames;
      largest = parameters.message;
    },

    /**
     * Accept a message; its `data_` may be given later.
     *
     * @param {number} type TEXT, BINARY or CLOSE
     * @param {any} data
     * @param {number} size in bytes of payload, as `bufferedAmount` counts it
     * @returns {Message}
     */
    send_: function (type, data, size) {
      var message = { type_: type, data_: data, size_: size, offset_: 0 };
      queue.push(message);
      connection.buffered_ += size;
      return message;
    },

    /** @param {any} data `[]`, `[code]` or `[code, reason]` */
    close_: function (data) {
      if (!(state & CLOSE_TAKEN)) connection.send_(CLOSE, data, 0);
    },

    /**
     * Give the next frame its number.
     *
     * @param {number} partSize the most bytes of payload in it
     * @returns {Frame | null} null where there is none, or no credit for it
     */
    next_: function (partSize) {
      var message = queue[0];
      if (!message || message.data_ === null) return null;
      /** @type {any} */
      var frame = message;
      if (message.type_ === CLOSE) {
        state |= CLOSE_SENT;
        queue = [];
      } else frame = nextData(message, partSize);
      if (frame) connection.kept_.push(frame);
      return frame;
    },

    /**
     * Take a numbered frame; one out of its turn is passed over.
     *
     * @param {number} number
     * @param {Frame} frame
     */
    receive_: function (number, frame) {
      if (number !== connection.taken_ + 1 || state & (CLOSE_TAKEN | FAILED)) return;
      connection.taken_ = number;
      if (frame.type_ === CLOSE) takeClose(frame.data_);
      else if (frame.type_ > CLOSE) fail(1002);
      else takeData(frame);
    },

    /** @param {number} number all frames up to it were taken by the server */
    acknowledge_: function (number) {
      if (number > numbered()) return fail(1002);
      while (connection.acked_ < number) {
        connection.buffered_ -= /** @type {any} */ (connection.kept_.shift()).size_;
        connection.acked_++;
      }
    },

    /** Count nothing that was sent: it has left the page, as it does natively. */
    pass_: function () {
      connection.kept_.forEach(function (frame) {
        connection.buffered_ -= frame.size_;
        frame.size_ = 0;
      });
    },

    /**
     * @param {any[]} document `credit`, with bytes and frames
     * @returns {boolean} whether it has grown
     */
    credit_: function (document) {
      var isNews = document[1] > creditBytes;
      if (isNews) creditBytes = document[1];
      creditFrames = Math.max(creditFrames, document[2]);
      return isNews;
    },

    /** @returns {number} the ack, which the server now is told */
    tell_: function () {
      bytesTold = bytesTaken;
      return (told = connection.taken_);
    },

    /** Note that what was told may have been lost. */
    untell_: function () {
      told = bytesTold = 0;
    },

    /** @returns {unknown} whether an ack should go alone (section 5.1) */
    owesAck_: function () {
      var frames = connection.taken_ - told;
      var isQuarter = bytesTaken - bytesTold >= windowBytes / 4 || frames >= windowFrames / 4;
      return frames && (isQuarter || state & CLOSE_TAKEN);
    },

    /** @returns {boolean} whether the own close was sent and the other has not come */
    isClosing_: function () {
      return state === CLOSE_SENT;
    },

    /** @returns {unknown} whether both sides know that it is over */
    isDone_: function () {
      var isTold = state & FAILED || (state & CLOSE_TAKEN && told === connection.taken_);
      return isTold && state & CLOSE_SENT && !connection.kept_.length;
    },
  };
  return connection;
}
