import { scope } from './scope.js';

/** The engine's class of bytes, undefined in IE 9. */
export var Bytes = scope.Uint8Array;

/** Without it bodies are in the JSON form. */
export var encoder = scope.TextEncoder && new scope.TextEncoder();
// Of UTF-8, where nothing else is said.
var decoder =
  scope.TextDecoder && new scope.TextDecoder(undefined, { fatal: true, ignoreBOM: true });

/**
 * @param {(Uint8Array | number[])[]} chunks
 * @returns {Uint8Array}
 */
export function concat(chunks) {
  var size = 0;
  chunks.forEach(function (chunk) {
    size += chunk.length;
  });
  var whole = new Bytes(size);
  size = 0;
  chunks.forEach(function (chunk) {
    whole.set(chunk, size);
    size += chunk.length;
  });
  return whole;
}

/**
 * @param {string} characters of codes below 256
 * @returns {any} bytes; the same string in engines without typed arrays (IE 9)
 */
function fromCharacters(characters) {
  if (!Bytes) return characters;
  var bytes = new Bytes(characters.length);
  for (var i = 0; i < characters.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

/**
 * @param {Uint8Array | number[]} bytes
 * @returns {string} of characters of codes below 256
 */
export function toCharacters(bytes) {
  var text = '';
  // Not by apply(): PhantomJS 1.9.8 takes no typed array there.
  for (var i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i]);
  return text;
}

/**
 * Replace lone surrogates by U+FFFD, as Web IDL's USVString.
 *
 * @param {string} text
 * @returns {string}
 */
export function wellFormed(text) {
  return text.replace(/[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]/g, function (match) {
    return match.length > 1 ? match : '\uFFFD';
  });
}

/**
 * Find how much of a well-formed text fits into so many bytes of UTF-8, cut between code points.
 *
 * @param {string} text
 * @param {number} start
 * @param {number} limit in bytes
 * @returns {{end_: number, size_: number}} where to cut, and the bytes up to there
 */
export function measure(text, start, limit) {
  var size = 0;
  for (var i = start; i < text.length; i++) {
    var code = text.charCodeAt(i);
    // A high surrogate, 0xd800 to 0xdbff.
    var isHigh = code >> 10 === 0xd800 >> 10;
    var bytes = isHigh ? 4 : code > 0x7ff ? 3 : code > 0x7f ? 2 : 1;
    if (size + bytes > limit) break;
    size += bytes;
    if (isHigh) i++;
  }
  return { end_: i, size_: size };
}

/**
 * @param {string} text
 * @returns {Uint8Array}
 */
export function encodeUtf8(text) {
  return encoder.encode(text);
}

/**
 * @param {Uint8Array} bytes
 * @returns {string | null} null where they are not UTF-8
 */
export function decodeUtf8(bytes) {
  try {
    return decoder.decode(bytes);
  } catch (error) {
    return null;
  }
}

/**
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export function encodeBase64(bytes) {
  return scope.btoa(toCharacters(bytes));
}

/**
 * @param {string} text
 * @returns {Uint8Array | null} null where it is not base64
 */
export function decodeBase64(text) {
  try {
    return text.length % 4 ? null : fromCharacters(scope.atob(text));
  } catch (error) {
    return null;
  }
}
