import { scope } from './scope.js';

// Networks change: what failed is tried again after ten minutes.
var MILLISECONDS = 600000;

/** @type {Record<string, number>} */
var notes = {};

/** @returns {Storage | null} null in workers, and where the user forbids it */
function storage() {
  try {
    return scope.localStorage || null;
  } catch (error) {
    return null;
  }
}

/** @param {string} name */
function key(name) {
  return 'emulation:' + name;
}

/**
 * Note that something holds, for a while.
 *
 * @param {string} name
 */
export function remember(name) {
  notes[name] = Date.now();
  try {
    var store = storage();
    if (store) store.setItem(key(name), String(notes[name]));
  } catch (error) {
    // A full store: this page has its own notes.
  }
}

/** @param {string} name */
export function forget(name) {
  delete notes[name];
  var store = storage();
  if (store) store.removeItem(key(name));
}

/**
 * @param {string} name
 * @returns {boolean}
 */
export function remembers(name) {
  var store = storage();
  var time = notes[name] || Number(store && store.getItem(key(name)));
  return Math.abs(Date.now() - time) < MILLISECONDS;
}
