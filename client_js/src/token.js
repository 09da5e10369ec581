import { scope } from './scope.js';

/** @returns {string} 22 random characters of base64url, with 128 bits among them */
export function drawToken() {
  var token = '';
  while (token.length < 22) {
    /** @type {any} */
    var random = [Math.random() * 256];
    // That of PhantomJS 1.9.8 returns nothing.
    if (scope.crypto && scope.Uint8Array)
      scope.crypto.getRandomValues((random = new Uint8Array(1)));
    // One of 32 digits, most of which are letters of either case.
    var digit = ((random[0] & 31) + 4).toString(36);
    token += random[0] & 32 ? digit : digit.toUpperCase();
  }
  return token;
}
