import {
  concat,
  decodeBase64,
  decodeUtf8,
  encodeBase64,
  encodeUtf8,
  slice,
  wellFormed,
} from './bytes.js';

/** @typedef {import('./bytes.js').Bytes} Bytes */

/**
 * A frame. `data` is the string of a text, the bytes of a binary message, `[code, reason]` or `[]`
 * of a close, the array of a document; null where a numbered frame could not be read.
 *
 * @typedef {{type: number, data: any}} Frame
 */

export var TEXT = 1;
export var BINARY = 2;
// A part's type is that of its message and this.
export var PART = 2;
export var CLOSE = 5;
export var DOCUMENT = 0x40;
/** Stands for every numbered frame of a later version. */
export var UNKNOWN = 0x3f;

var MAX_LENGTH_BYTES = 5;

/** The one-character names of the JSON form, by type. */
var NAMES = ['', '', 'b', 't', 'p', 'c'];

/**
 * Write a value as ASCII JSON.
 *
 * @param {any} value
 * @returns {string}
 */
export function toJSON(value) {
  return JSON.stringify(value).replace(/[\u007f-\uffff]/g, function (character) {
    return '\\u' + ('000' + character.charCodeAt(0).toString(16)).slice(-4);
  });
}

/**
 * @param {string} text
 * @returns {any[] | null} null where it is no JSON array
 */
export function parseArray(text) {
  try {
    var value = JSON.parse(text);
    return value instanceof Array ? value : null;
  } catch (error) {
    return null;
  }
}

/**
 * @param {Frame} frame
 * @returns {any} an element of a line in the JSON form
 */
function toElement(frame) {
  var data = frame.data;
  if (frame.type === TEXT || frame.type === DOCUMENT) return data;
  if (frame.type === CLOSE) return ['c'].concat(data);
  return [NAMES[frame.type], typeof data === 'string' ? data : encodeBase64(data)];
}

/**
 * @param {Frame} frame
 * @returns {Bytes} the payload in the binary form
 */
function toPayload(frame) {
  var data = frame.data;
  if (frame.type === DOCUMENT) data = toJSON(data);
  if (frame.type === CLOSE) {
    if (!data.length) return concat([]);
    return concat([[data[0] >> 8, data[0] & 255], encodeUtf8(data[1] || '')]);
  }
  return typeof data === 'string' ? encodeUtf8(data) : data;
}

/**
 * @param {Frame} frame
 * @returns {Bytes[]}
 */
function toChunks(frame) {
  var payload = toPayload(frame);
  var rest = payload.length;
  var head = [rest % 128];
  while ((rest = Math.floor(rest / 128))) head.unshift((rest % 128) | 128);
  head.unshift(frame.type);
  return [head, payload];
}

/**
 * Begin the body of a request.
 *
 * @param {boolean} binary
 */
export function createBody(binary) {
  /** @type {any[]} */
  var pieces = [];
  var size = 0;
  var hasNumbered = false;

  /**
   * Add a frame, unless it would make the body larger than `limit`.
   *
   * @param {Frame} frame
   * @param {number} limit in bytes
   * @returns {boolean} whether it was added
   */
  function add(frame, limit) {
    var piece = binary ? toChunks(frame) : [toJSON(toElement(frame))];
    var length = binary ? piece[0].length + piece[1].length : piece[0].length + 1;
    if (size + length > limit) return false;
    pieces.push.apply(pieces, piece);
    size += length;
    hasNumbered = hasNumbered || frame.type < DOCUMENT;
    return true;
  }

  return {
    add: add,

    /** @returns {number} the bytes of the body so far */
    size: function () {
      return size;
    },

    hasNumbered: function () {
      return hasNumbered;
    },

    /** @param {any[]} data */
    document: function (data) {
      add({ type: DOCUMENT, data: data }, Infinity);
    },

    /** @returns {ArrayBuffer | string} the whole body, with its `end` */
    finish: function () {
      /** @type {Frame} */
      var end = { type: DOCUMENT, data: ['end', size] };
      if (binary) {
        // Of the exact size: PhantomJS 1.9.8 sends a view as "[object Uint8Array]".
        return /** @type {any} */ (concat(pieces.concat(toChunks(end)))).buffer;
      }
      var line = '[' + pieces.join(',') + ']\n';
      return line + toJSON([['end', line.length]]) + '\n';
    },
  };
}

/**
 * @param {any} data
 * @returns {Frame | null}
 */
function toDocument(data) {
  var isDocument = data && typeof data[0] === 'string' && data[0].length > 1;
  return isDocument ? { type: DOCUMENT, data: data } : null;
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
  if (typeof element === 'string') return { type: TEXT, data: toText(element) };
  if (!(element instanceof Array) || typeof element[0] !== 'string') return null;
  if (element[0].length !== 1) return toDocument(element);
  var type = NAMES.indexOf(element[0]);
  if (type < 0) return { type: UNKNOWN, data: null };
  if (type === CLOSE) {
    var isClose = element.length < 2 || typeof element[1] === 'number';
    if (!isClose || (element.length > 2 && typeof element[2] !== 'string')) return null;
    return { type: CLOSE, data: element.slice(1, 3) };
  }
  if (typeof element[1] !== 'string') return null;
  if (type % 2) return { type: type, data: toText(element[1]) };
  var data = decodeBase64(element[1]);
  return data && { type: type, data: data };
}

/**
 * @param {number} type
 * @param {Bytes} payload
 * @returns {Frame | null} null where it is no frame
 */
function fromPayload(type, payload) {
  if (type === DOCUMENT) return toDocument(parseArray(decodeUtf8(payload) || ''));
  if (!type || type > 127) return null;
  /** @type {any} */
  var data = null;
  if (type === BINARY || type === BINARY + PART) data = payload;
  if (type === TEXT || type === TEXT + PART) data = decodeUtf8(payload);
  if (type === CLOSE && payload.length !== 1) {
    var reason = decodeUtf8(slice(payload, 2));
    data = payload.length ? [(payload[0] << 8) | payload[1], reason] : [];
  }
  return { type: type, data: data };
}

/**
 * Begin to read a body that comes in chunks, cut anywhere.
 *
 * @param {boolean} binary
 * @param {(frame: Frame) => void} onframe called for every frame; for `end` only with the right
 *   count. Nothing is read after it.
 * @returns {(chunk: any) => boolean} takes the next bytes or characters; false where the body
 *   is malformed or its count is wrong
 */
export function createDecoder(binary, onframe) {
  /** @type {any} */
  var rest = binary ? concat([]) : '';
  // Where `rest` begins in the body.
  var offset = 0;
  var isGood = true;
  var isEnded = false;

  /**
   * @param {Frame | null} frame
   * @param {number} start
   */
  function emit(frame, start) {
    if (isEnded) return;
    if (frame && frame.type === DOCUMENT && frame.data[0] === 'end') {
      isEnded = frame.data[1] === start;
      if (!isEnded) frame = null;
    }
    if (frame) onframe(frame);
    else isGood = false;
  }

  function readLines() {
    var lines = rest.split('\n');
    rest = lines.pop();
    for (var i = 0; i < lines.length && isGood; i++) {
      var elements = parseArray(lines[i]) || [0];
      for (var j = 0; j < elements.length && isGood; j++) emit(fromElement(elements[j]), offset);
      offset += lines[i].length + 1;
    }
  }

  function readBytes() {
    var position = 0;
    while (isGood && !isEnded) {
      var length = 0;
      var digit = 128;
      for (var at = position + 1; digit > 127; at++) {
        if (at >= rest.length) return keep(position);
        digit = rest[at];
        length = length * 128 + (digit % 128);
        isGood = digit < 128 || (length > 0 && at - position < MAX_LENGTH_BYTES);
        if (!isGood) return;
      }
      if (at + length > rest.length) return keep(position);
      emit(fromPayload(rest[position], slice(rest, at, at + length)), offset + position);
      position = at + length;
    }
  }

  /** @param {number} position */
  function keep(position) {
    rest = slice(rest, position);
    offset += position;
  }

  return function (chunk) {
    if (!isGood || isEnded) return isGood;
    if (binary) {
      rest = rest.length ? concat([rest, chunk]) : chunk;
      readBytes();
    } else {
      rest += chunk;
      readLines();
    }
    return isGood;
  };
}
