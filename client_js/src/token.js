import { Bytes, toCharacters } from './bytes.js';
import { scope } from './scope.js';

/** @returns {string} 22 random characters of base64url, with 128 bits among them */
export function drawToken() {
  var token = '';
  while (token.length < 22) {
    /** @type {any} */
    var random = [Math.random() * 256];
    // That of PhantomJS 1.9.8 returns nothing.
    if (scope.crypto && Bytes) {
      scope.crypto.getRandomValues((random = new Bytes(1)));
    }
    // Letters, digits and the underscore; of what else is drawn nothing is left.
    token += toCharacters(random).replace(/\W/, '');
  }
  return token;
}
