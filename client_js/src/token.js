import { encodeBase64 } from './bytes.js';
import { scope } from './scope.js';

/** @returns {string} 128 random bits in base64url */
export function drawToken() {
  /** @type {number[] | Uint8Array} */
  var bytes = [];
  for (var i = 0; i < 16; i++) bytes.push(Math.random() * 256);
  if (scope.crypto && scope.crypto.getRandomValues) {
    bytes = scope.crypto.getRandomValues(new Uint8Array(16));
  }
  return encodeBase64(/** @type {any} */ (bytes))
    .replace(/\+/g, '-')
    .replace(/\//g, '_')
    .replace(/=/g, '');
}
