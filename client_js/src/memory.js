import { scope } from './scope.js';

// Networks change: what failed is tried again after ten minutes.
var MILLISECONDS = 600000;
var PREFIX = 'emulation:';

/** @type {Record<string, any>} */
var notes = {};

/** What all pages of the origin know, where the engine has it and the user allows it. */
var store = (function () {
  try {
    return scope.localStorage || notes;
  } catch (error) {
    return notes;
  }
})();

/**
 * Note that something holds, for a while.
 *
 * @param {string} name
 */
export function remember(name) {
  notes[PREFIX + name] = Date.now();
  try {
    store[PREFIX + name] = Date.now();
  } catch (error) {
    // It is full: this page has its own notes.
  }
}

/** @param {string} name */
export function forget(name) {
  delete notes[PREFIX + name];
  delete store[PREFIX + name];
}

/**
 * @param {string} name
 * @returns {boolean}
 */
export function remembers(name) {
  var time = notes[PREFIX + name] || store[PREFIX + name];
  return Math.abs(Date.now() - time) < MILLISECONDS;
}
