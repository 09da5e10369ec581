import { forget, remember, remembers } from './memory.js';
import { now } from './tasks.js';
import { ORDER, transports } from './transports/index.js';

/** @typedef {ReturnType<typeof createChoice>} Choice */

// A second failure of a transport within this time, with an answer of the server in between, is
// its own fault and not the network's.
var EPISODE = 60;

var FIRST_PAUSE = 0.2;
var LONGEST_PAUSE = 5;

/**
 * @param {number} last the pause before
 * @returns {number} seconds, with full jitter
 */
export function nextPause(last) {
  return FIRST_PAUSE + Math.random() * Math.min(LONGEST_PAUSE, 3 * last);
}

/**
 * Choose among the transports (docs/protocol.md section 8).
 *
 * A failure is remembered only if another request has reached the server since the transport was
 * tried, or since it failed before: a server that starts anew must not send everyone to polling.
 *
 * @param {string[]} wanted in the order of preference
 * @param {(name: string) => unknown} isSupported by the engine
 * @param {string} origin
 */
export function createChoice(wanted, isSupported, origin) {
  var names = wanted.filter(isSupported);
  /** @type {Record<string, boolean>} */
  var suspects = {};
  /** @type {Record<string, number>} */
  var failedAt = {};
  /** @type {Record<string, string>} */
  var reasons = {};

  /**
   * @param {string} name
   * @returns {boolean} whether nothing is remembered against it
   */
  function isGood(name) {
    return !remembers(origin + ' ' + name);
  }

  /**
   * @param {string} name
   * @returns {string} why it is not used
   */
  function why(name) {
    return wanted.indexOf(name) < 0
      ? 'not in the settings'
      : !isSupported(name)
        ? 'not in the engine'
        : names.indexOf(name) < 0
          ? 'not on the server'
          : reasons[name] || (isGood(name) ? 'untried' : 'failed');
  }

  var choice = {
    /** When a request has reached the server. */
    reachedAt_: -1,

    /** @param {string[]} allowed by the server */
    restrict_: function (allowed) {
      names = names.filter(function (name) {
        return allowed.indexOf(name) >= 0;
      });
    },

    /** @returns {boolean} whether any transport over HTTP may be used */
    hasHTTP_: function () {
      return names.join() !== 'websocket';
    },

    /**
     * @param {boolean} [isHTTP] whether only a transport over HTTP will do
     * @param {any} [wanted] the one that is taken if it may be
     * @returns {string} the best one; empty where all have failed, which forgives them
     */
    pick_: function (isHTTP, wanted) {
      if (names.indexOf(wanted) >= 0) return wanted;
      var left = names.filter(function (name) {
        return !suspects[name] && (!isHTTP || transports[name]);
      });
      if (!left.length) suspects = {};
      return left.filter(isGood)[0] || left[0] || '';
    },

    /** Believe in all again: the network is another one. */
    forgive_: function () {
      names.forEach(function (name) {
        forget(origin + ' ' + name);
      });
    },

    /**
     * @param {string} [chosen] none where nothing was
     * @returns {string} why the others were not, but for those behind it
     */
    explain_: function (chosen) {
      return ORDER.filter(function (name) {
        return !chosen || names.indexOf(name) < names.indexOf(chosen);
      })
        .map(function (name) {
          return '; no ' + name + ': ' + why(name);
        })
        .join('');
    },

    /** @param {string} name of the transport that now is proved */
    prove_: function (name) {
      choice.reachedAt_ = now();
      suspects = {};
      delete failedAt[name];
      forget(origin + ' ' + name);
    },

    /**
     * @param {string} name
     * @param {number} triedAt
     * @param {any} reason none where it was told before
     */
    fail_: function (name, triedAt, reason) {
      // What holds the one back holds the other: they differ in their form alone.
      (/stream/.test(name) ? ['stream', 'xhr-stream'] : [name]).forEach(function (each) {
        var since = now() - failedAt[each] < EPISODE ? failedAt[each] : triedAt;
        reasons[each] = reason || reasons[each];
        failedAt[each] = now();
        suspects[each] = true;
        if (choice.reachedAt_ > since) remember(origin + ' ' + each);
      });
    },
  };
  return choice;
}
