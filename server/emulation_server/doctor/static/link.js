// A result as a part of a URL, and back: JSON, shortened (LZW), in base64url.

var doctor = {};

(function () {
  'use strict';

  var ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  // Codes of two characters: as many as there are.
  var CODES = 4096;
  // No result comes near it: what is longer is none.
  var LONGEST = 100000;

  /** Write everything beyond ASCII as JSON's own escapes: then characters are bytes. */
  function toASCII(text) {
    return text.replace(/[^\x20-\x7e]/g, function (character) {
      return '\\u' + ('000' + character.charCodeAt(0).toString(16)).slice(-4);
    });
  }

  function createTable() {
    var table = { size: 0, codes: {}, texts: [] };
    table.add = function (text) {
      if (table.size >= CODES) return;
      table.codes['=' + text] = table.size;
      table.texts[table.size++] = text;
    };
    for (var code = 32; code < 127; code++) table.add(String.fromCharCode(code));
    return table;
  }

  function pair(code) {
    return ALPHABET.charAt(code >> 6) + ALPHABET.charAt(code & 63);
  }

  /** @returns {string} of the characters of base64url */
  doctor.pack = function (value) {
    var text = toASCII(JSON.stringify(value));
    var table = createTable();
    var packed = '';
    var known = '';
    for (var i = 0; i < text.length; i++) {
      var longer = known + text.charAt(i);
      if (table.codes['=' + longer] !== undefined) {
        known = longer;
        continue;
      }
      packed += pair(table.codes['=' + known]);
      table.add(longer);
      known = text.charAt(i);
    }
    return known ? packed + pair(table.codes['=' + known]) : packed;
  };

  /** @returns {any} undefined where it is no result */
  doctor.unpack = function (packed) {
    var table = createTable();
    var text = '';
    var last = '';
    for (var i = 0; i < packed.length && text.length < LONGEST; i += 2) {
      var code = ALPHABET.indexOf(packed.charAt(i)) * 64 + ALPHABET.indexOf(packed.charAt(i + 1));
      var next = table.texts[code];
      // The one that its own writer has only just made.
      if (next === undefined && last && code === table.size) next = last + last.charAt(0);
      if (next === undefined) return undefined;
      if (last) table.add(last + next.charAt(0));
      text += next;
      last = next;
    }
    try {
      return JSON.parse(text);
    } catch (error) {
      return undefined;
    }
  };
})();
