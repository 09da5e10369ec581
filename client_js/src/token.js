import { scope } from './scope.js';

/** @returns {string} 22 random characters of base64url, with 128 bits among them */
export function drawToken() {
  var token = '';
  while (token.length < 22) {
    var value = Math.random() * 64;
    if (scope.crypto) value = scope.crypto.getRandomValues(new Uint8Array(1))[0];
    // One of 32 digits, most of which are letters of either case.
    var digit = ((value & 31) + 4).toString(36);
    token += value & 32 ? digit.toUpperCase() : digit;
  }
  return token;
}
