import { scope } from './scope.js';

var ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** @returns {string} 22 random characters of base64url */
export function drawToken() {
  var isStrong = scope.crypto && scope.crypto.getRandomValues;
  var values = isStrong ? scope.crypto.getRandomValues(new Uint8Array(22)) : [];
  var token = '';
  while (token.length < 22) {
    token += ALPHABET.charAt((isStrong ? values[token.length] : Math.random() * 64) & 63);
  }
  return token;
}
