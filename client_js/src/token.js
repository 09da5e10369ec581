import { scope } from './scope.js';

var ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** @returns {string} 22 random characters of base64url */
export function drawToken() {
  var values = new Array(22);
  if (scope.crypto) values = scope.crypto.getRandomValues(new Uint8Array(22));
  var token = '';
  while (token.length < 22) {
    var value = values[token.length];
    token += ALPHABET.charAt((value === undefined ? Math.random() * 64 : value) & 63);
  }
  return token;
}
