import { scope } from './scope.js';

// Networks change: what failed is tried again after ten minutes.
var MILLISECONDS = 600000;
var PREFIX = 'emulation:';

// A browser has six HTTP/1.1 connections to a host: so many may be parked by all its tabs.
var SLOTS = 4;
// A tab that crashed renews nothing; timers of hidden ones may run once a minute.
var SLOT_MILLISECONDS = 90000;
var RENEW_MILLISECONDS = 20000;

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

// Read once: to read it may be refused.
var hasStore = store.setItem;

/**
 * @param {string} name
 * @param {unknown} value
 */
function write(name, value) {
  try {
    store[name] = value;
  } catch (error) {
    // It is full.
  }
}

/**
 * Note that something holds, for a while.
 *
 * @param {string} name
 */
export function remember(name) {
  write(PREFIX + name, Date.now());
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
  try {
    return Math.abs(Date.now() - store[PREFIX + name]) < MILLISECONDS;
  } catch (error) {
    // The frame was removed.
    return false;
  }
}

/**
 * Take, keep or leave a place among the parked downstreams of all tabs. Two tabs may take one at
 * once: who wrote last has it, the other learns it when it asks again. Where there is no store
 * (workers, Node) there is always a place.
 *
 * @param {string} name of those who share the connections
 * @param {string} owner
 * @param {boolean} [isWanted] whether to have one; else it is left
 * @returns {boolean} whether the owner has one
 */
export function holdSlot(name, owner, isWanted) {
  var mine = '';
  var time = Date.now();
  for (var i = 0; i < SLOTS; i++) {
    var slot = PREFIX + name + i;
    /** @type {any} */
    var held = String(store[slot]).split(' ');
    var age = Math.abs(time - held[0]);
    if (held[1] === owner) {
      if (isWanted && age < RENEW_MILLISECONDS) return true;
      delete store[slot];
      mine = slot;
    }
    if (!mine && !(age < SLOT_MILLISECONDS)) mine = slot;
  }
  if (isWanted && mine) write(mine, time + ' ' + owner);
  return !(hasStore && !mine);
}
