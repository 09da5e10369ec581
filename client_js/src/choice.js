import { forget, remember, remembers } from './memory.js';
import { now } from './tasks.js';
import { transports } from './transports/index.js';

// A second failure of a transport within this time, with an answer of the server in between, is
// its own fault and not the network's.
var EPISODE = 60;

/**
 * Choose among the transports of one origin (docs/protocol.md section 8).
 *
 * A failure is remembered only if another request has reached the server since the transport was
 * tried, or since it failed before: a server that starts anew must not send everyone to polling.
 *
 * @param {string[]} names in the order of preference
 * @param {string} origin
 */
export function createChoice(names, origin) {
  /** @type {Record<string, boolean>} */
  var suspects = {};
  /** @type {Record<string, number>} */
  var failedAt = {};
  var reachedAt = -Infinity;

  /** @param {string} name */
  function key(name) {
    return origin + ' ' + name;
  }

  return {
    /** @param {string} name */
    has: function (name) {
      return names.indexOf(name) >= 0;
    },

    /** @param {string[]} allowed by the server */
    restrict: function (allowed) {
      names = names.filter(function (name) {
        return allowed.indexOf(name) >= 0;
      });
    },

    /** @returns {boolean} whether any transport over HTTP may be used */
    hasHTTP: function () {
      return names.some(function (name) {
        return !!transports[name];
      });
    },

    /**
     * @param {boolean} isHTTP whether only a transport over HTTP will do
     * @returns {string} the best one; empty where all have failed, which clears them
     */
    pick: function (isHTTP) {
      var left = names.filter(function (name) {
        return !suspects[name] && (!isHTTP || transports[name]);
      });
      var good = left.filter(function (name) {
        return !remembers(key(name));
      });
      if (!left.length) suspects = {};
      return good[0] || left[0] || '';
    },

    /** Note that a request has reached the server. */
    reach: function () {
      reachedAt = now();
    },

    /** @param {string} name of the transport that now is proved */
    prove: function (name) {
      reachedAt = now();
      suspects = {};
      delete failedAt[name];
      if (remembers(key(name))) forget(key(name));
    },

    /**
     * @param {string} name
     * @param {number} triedAt
     */
    fail: function (name, triedAt) {
      var first = now() - failedAt[name] < EPISODE ? failedAt[name] : triedAt;
      failedAt[name] = now();
      suspects[name] = true;
      if (reachedAt > first) remember(key(name));
      // What holds the one back holds the other: they differ in their form alone.
      if (name === 'stream') this.fail('xhr-stream', triedAt);
    },
  };
}
