import { scope } from './scope.js';

// Networks change: what failed is tried again after ten minutes.
var MILLISECONDS = 600000;
var PREFIX = 'emulation:';

/**
 * What all pages of the origin know, where the engine has such a store and the user allows it.
 *
 * @type {Record<string, any>}
 */
var store = (function () {
  try {
    return scope.localStorage || {};
  } catch (error) {
    return {};
  }
})();

/**
 * Note that something holds, for a while.
 *
 * @param {string} name
 */
export function remember(name) {
  try {
    store[PREFIX + name] = Date.now();
  } catch (error) {
    // It is full.
  }
}

/** @param {string} name */
export function forget(name) {
  delete store[PREFIX + name];
}

/**
 * @param {string} name
 * @returns {boolean}
 */
export function remembers(name) {
  return Math.abs(Date.now() - store[PREFIX + name]) < MILLISECONDS;
}
