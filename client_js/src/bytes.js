import { scope } from './scope.js';

/**
 * Bytes: a Uint8Array, or an array of numbers in engines without typed arrays (IE 9).
 *
 * @typedef {Uint8Array | number[]} Bytes
 */

export var hasTypedArrays = typeof scope.Uint8Array === 'function' || !!scope.Uint8Array;

var ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

// Longer argument lists overflow the stack of old engines (JavaScriptCore: 65,536).
var CHUNK = 8192;

var encoder = scope.TextEncoder && new scope.TextEncoder();
var decoder = scope.TextDecoder && new scope.TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * @param {number} size
 * @returns {Bytes}
 */
function allocate(size) {
  return hasTypedArrays ? new Uint8Array(size) : [];
}

/**
 * Return a part without copying it where the engine can.
 *
 * @param {Bytes} bytes
 * @param {number} start
 * @param {number} [end]
 * @returns {Bytes}
 */
export function slice(bytes, start, end) {
  return 'subarray' in bytes ? bytes.subarray(start, end) : bytes.slice(start, end);
}

/**
 * @param {Bytes[]} chunks
 * @returns {Bytes}
 */
export function concat(chunks) {
  var size = 0;
  var i, j;
  for (i = 0; i < chunks.length; i++) size += chunks[i].length;
  var whole = allocate(size);
  var offset = 0;
  for (i = 0; i < chunks.length; i++) {
    var chunk = chunks[i];
    if ('set' in whole) whole.set(chunk, offset);
    else for (j = 0; j < chunk.length; j++) whole[offset + j] = chunk[j];
    offset += chunk.length;
  }
  return whole;
}

/**
 * @param {string} characters of codes below 256
 * @returns {Bytes}
 */
function fromBinaryString(characters) {
  var bytes = allocate(characters.length);
  for (var i = 0; i < characters.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

/**
 * @param {Bytes} bytes
 * @returns {string}
 */
function toBinaryString(bytes) {
  var text = '';
  for (var i = 0; i < bytes.length; i += CHUNK) {
    text += String.fromCharCode.apply(null, /** @type {any} */ (slice(bytes, i, i + CHUNK)));
  }
  return text;
}

/**
 * Replace lone surrogates by U+FFFD, as Web IDL's USVString.
 *
 * @param {string} text
 * @returns {string}
 */
export function wellFormed(text) {
  if (!/[\uD800-\uDFFF]/.test(text)) return text;
  return text.replace(/[\uD800-\uDBFF][\uDC00-\uDFFF]|[\uD800-\uDFFF]/g, function (match) {
    return match.length > 1 ? match : '\uFFFD';
  });
}

/**
 * Find how much of a well-formed text fits into so many bytes of UTF-8, cut between code points.
 *
 * @param {string} text
 * @param {number} start
 * @param {number} limit in bytes
 * @returns {{end: number, size: number}} where to cut, and the bytes up to there
 */
export function measure(text, start, limit) {
  var size = 0;
  for (var i = start; i < text.length; i++) {
    var code = text.charCodeAt(i);
    var high = code >= 0xd800 && code < 0xdc00;
    var bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : high ? 4 : 3;
    if (size + bytes > limit) break;
    size += bytes;
    if (high) i++;
  }
  return { end: i, size: size };
}

/**
 * @param {string} text
 * @returns {Bytes}
 */
export function encodeUtf8(text) {
  return encoder ? encoder.encode(text) : fromBinaryString(unescape(encodeURIComponent(text)));
}

/**
 * @param {Bytes} bytes
 * @returns {string | null} null where they are not UTF-8
 */
export function decodeUtf8(bytes) {
  try {
    // decodeURIComponent refuses surrogates and overlong forms (ECMA-262 5.1, 15.1.3).
    return decoder ? decoder.decode(bytes) : decodeURIComponent(escape(toBinaryString(bytes)));
  } catch (error) {
    return null;
  }
}

/**
 * @param {Bytes} bytes
 * @returns {string}
 */
export function encodeBase64(bytes) {
  var text = '';
  for (var i = 0; i < bytes.length; i += 3) {
    var left = bytes.length - i;
    var group = (bytes[i] << 16) | ((left > 1 ? bytes[i + 1] : 0) << 8);
    if (left > 2) group |= bytes[i + 2];
    text +=
      ALPHABET.charAt(group >> 18) +
      ALPHABET.charAt((group >> 12) & 63) +
      (left > 1 ? ALPHABET.charAt((group >> 6) & 63) : '=') +
      (left > 2 ? ALPHABET.charAt(group & 63) : '=');
  }
  return text;
}

/**
 * @param {string} text
 * @returns {Bytes | null} null where it is not base64
 */
export function decodeBase64(text) {
  if (text.length % 4 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null;
  var size = (text.length / 4) * 3 - (text.length - text.replace(/=+$/, '').length);
  var bytes = allocate(size);
  for (var i = 0, offset = 0; offset < size; i += 4) {
    var group = 0;
    for (var j = 0; j < 4; j++) {
      // '=' counts as 0: indexOf gives -1, of which no bit is wanted.
      group = (group << 6) | Math.max(0, ALPHABET.indexOf(text.charAt(i + j)));
    }
    for (j = 16; j >= 0 && offset < size; j -= 8) bytes[offset++] = (group >> j) & 255;
  }
  return bytes;
}
