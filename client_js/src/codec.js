import { concat, decodeBase64, decodeUtf8, encodeBase64, encodeUtf8, wellFormed } from './bytes.js';

/**
 * A frame. `data_` is the string of a text, the bytes of a binary message, `[code, reason]` or `[]`
 * of a close, the array of a document; null where a numbered frame could not be read.
 *
 * @typedef {{type_: number, data_: any}} Frame
 */

export var TEXT = 1;
export var BINARY = 2;
// A part's type is that of its message and this.
export var PART = 2;
export var CLOSE = 5;
/** Stands for every numbered frame of a later version. */
export var UNKNOWN = 0x3f;
export var DOCUMENT = 0x40;

var MAX_LENGTH_BYTES = 5;

/** The one-character names of the JSON form, by type. */
var NAMES = '__btpc';

/**
 * Write a value as ASCII JSON.
 *
 * @param {any} value
 * @returns {string}
 */
export function toJSON(value) {
  // Prototype.js before 1.7 gives arrays a `toJSON` that makes a string of them.
  if (value && value.map) return '[' + value.map(toJSON) + ']';
  return JSON.stringify(value).replace(/[^\0-\x7e]/g, function (character) {
    return '\\u' + (65536 + character.charCodeAt(0)).toString(16).slice(1);
  });
}

/**
 * @param {any} text
 * @returns {any} undefined where it is no JSON
 */
export function fromJSON(text) {
  try {
    // What is not ASCII was altered on its way.
    return JSON.parse(/[^\0-\x7f]/.test(text) ? '' : text);
  } catch (error) {
    // There is no such value in JSON.
  }
}

/**
 * @param {any[]} data
 * @returns {Frame}
 */
export function document(data) {
  return { type_: DOCUMENT, data_: data };
}

/**
 * @param {Frame} frame
 * @returns {string} the name of a document; empty for a numbered frame
 */
export function nameOf(frame) {
  return frame.type_ === DOCUMENT ? frame.data_[0] : '';
}

/**
 * @param {Frame} frame
 * @returns {any} an element of a line in the JSON form
 */
export function toElement(frame) {
  var data = frame.data_;
  if (frame.type_ === TEXT || frame.type_ === DOCUMENT) return data;
  return [NAMES[frame.type_]].concat(
    frame.type_ === CLOSE || data.charAt ? data : encodeBase64(data)
  );
}

/**
 * @param {Frame} frame
 * @returns {Uint8Array} the payload in the binary form
 */
function toPayload(frame) {
  var data = frame.data_;
  if (frame.type_ === DOCUMENT) data = toJSON(data);
  else if (frame.type_ === CLOSE) {
    data = data.length ? concat([[data[0] >> 8, data[0]], encodeUtf8(data[1] || '')]) : '';
  }
  return data.charAt ? encodeUtf8(data) : data;
}

/**
 * @param {Frame} frame
 * @returns {Uint8Array}
 */
function toBytes(frame) {
  var payload = toPayload(frame);
  var rest = payload.length;
  var head = [rest & 127];
  while ((rest >>= 7)) head.unshift((rest & 127) | 128);
  return concat([[frame.type_].concat(head), payload]);
}

/**
 * Begin the body of a request.
 *
 * @param {boolean} isBinary
 * @param {number} number of the request
 */
export function createBody(isBinary, number) {
  /** @type {any[]} */
  var pieces = [];

  var body = {
    isBinary_: isBinary,
    number_: number,
    /** The bytes of the body so far. */
    size_: 0,
    hasNumbered_: false,

    /**
     * Add a frame, unless it would make the body larger than `limit`.
     *
     * @param {Frame} frame
     * @param {number} limit in bytes
     * @returns {boolean} whether it was added
     */
    add_: function (frame, limit) {
      var piece = isBinary ? toBytes(frame) : toJSON(toElement(frame));
      // A comma or bracket comes to each element of the JSON form.
      var size = body.size_ + piece.length + (isBinary ? 0 : 1);
      if (size > limit) return false;
      pieces.push(piece);
      body.size_ = size;
      body.hasNumbered_ = body.hasNumbered_ || frame.type_ < DOCUMENT;
      return true;
    },

    /** @param {any[]} data */
    document_: function (data) {
      body.add_(document(data), Infinity);
    },

    /** @returns {Uint8Array | string} the whole body, with its `end` */
    finish_: function () {
      if (isBinary) return concat(pieces.concat(toBytes(document(['end', body.size_]))));
      var line = '[' + pieces.join(',') + ']\n';
      return line + toJSON([['end', line.length]]) + '\n';
    },
  };
  return body;
}

/**
 * @param {string} text
 * @returns {string | null} null where it has lone surrogates
 */
function toText(text) {
  return wellFormed(text) === text ? text : null;
}

/**
 * @param {any} element
 * @returns {Frame | null} null where it is no frame
 */
export function fromElement(element) {
  if (typeof element === 'string') return { type_: TEXT, data_: toText(element) };
  if (!element || !element[0] || typeof element[0] !== 'string') return null;
  if (element[0].length > 1) return document(element);
  var type = NAMES.indexOf(element[0]);
  if (type < 2) return { type_: UNKNOWN, data_: null };
  var value = element[1];
  if (type === CLOSE) {
    var reason = element[2] || '';
    if (element.length < 2) return { type_: CLOSE, data_: [] };
    if ((value & 65535) !== value || typeof reason !== 'string') return null;
    return { type_: CLOSE, data_: [value].concat(reason ? toText(reason) : []) };
  }
  if (typeof value !== 'string') return null;
  if (type % 2) return { type_: type, data_: toText(value) };
  var bytes = decodeBase64(value);
  return bytes === null ? null : { type_: type, data_: bytes };
}

/**
 * @param {number} type
 * @param {Uint8Array} payload
 * @returns {Frame | null} null where it is no frame
 */
function fromPayload(type, payload) {
  /** @type {any} */
  var data = payload;
  if (type === DOCUMENT) {
    data = fromElement(fromJSON(decodeUtf8(data)));
    return data && nameOf(data) ? data : null;
  }
  if (!type || type > 127) return null;
  // One byte gives a code that is none.
  if (type === CLOSE) {
    data = payload.length ? [payload[0] * 256 + payload[1], decodeUtf8(payload.subarray(2))] : [];
  } else if (type % 2) data = decodeUtf8(payload);
  return { type_: type, data_: data };
}

/**
 * Begin to read a body that comes in chunks, cut anywhere.
 *
 * @param {boolean} isBinary
 * @param {(frame: Frame) => void} onframe called for every frame; for `end` only with the right
 *   count. Nothing is read after it.
 * @returns {(chunk: any) => boolean} takes the next bytes or characters; false where the body
 *   is malformed or its count is wrong
 */
export function createDecoder(isBinary, onframe) {
  /** @type {any} */
  var rest = '';
  // Where `rest` begins in the body.
  var offset = 0;
  var isGood = true;
  /** @type {boolean | undefined} */
  var isEnded;

  /**
   * @param {Frame | null} frame
   * @param {number} start
   */
  function emit(frame, start) {
    isGood = !!frame;
    if (frame && nameOf(frame) === 'end') isEnded = isGood = frame.data_[1] === start;
    if (frame && isGood) onframe(frame);
  }

  /** @param {string} line */
  function readLine(line) {
    var elements = fromJSON(line);
    (elements instanceof Array ? elements : [0]).forEach(function (/** @type {any} */ element) {
      if (isGood && !isEnded) emit(fromElement(element), offset);
    });
    offset += line.length + 1;
  }

  /** @returns {boolean} whether there was a whole frame */
  function readFrame() {
    var length = 0;
    var digit = 128;
    for (var at = 1; digit > 127; at++) {
      if (at >= rest.length) return false;
      digit = rest[at];
      length = length * 128 + (digit % 128);
      isGood = digit < 128 || (length > 0 && at < MAX_LENGTH_BYTES);
      if (!isGood) return false;
    }
    if (at + length > rest.length) return false;
    emit(fromPayload(rest[0], rest.subarray(at, at + length)), offset);
    rest = rest.subarray(at + length);
    offset += at + length;
    return true;
  }

  return function (chunk) {
    if (isBinary) {
      rest = rest.length ? concat([rest, chunk]) : chunk;
      while (isGood && !isEnded && readFrame());
    } else {
      var lines = (rest + chunk).split('\n');
      rest = lines.pop();
      lines.forEach(readLine);
    }
    return isGood;
  };
}
