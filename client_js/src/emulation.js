import { createCarrier } from './carrier.js';
import { createChoice } from './choice.js';
import { define } from './event-target.js';
import { remember, remembers } from './memory.js';
import { withoutUser } from './request.js';
import { document, scope } from './scope.js';
import { ORDER, transports } from './transports/index.js';
import { createWebSocketClass } from './websocket.js';

/** @typedef {import('./session.js').Carrier} Carrier */

var location = scope.location || {};

/**
 * @param {any} value a list, or a text with blanks or commas
 * @returns {any[]}
 */
function toArray(value) {
  return [].concat(value && value.split ? value.split(/[\s,]+/) : value).filter(Boolean);
}

/**
 * @param {string} url
 * @returns {string} the same over HTTP
 */
function overHTTP(url) {
  return url.replace(/^ws/, 'http');
}

/**
 * Make a URL absolute.
 *
 * @param {string} url
 * @returns {string} empty where it is invalid
 */
function absolute(url) {
  var base = document ? document.baseURI : location.href;
  // The objects of PhantomJS's have no attributes.
  if (scope.URL && 'href' in scope.URL.prototype) {
    try {
      return new scope.URL(url, base).href;
    } catch (error) {
      return '';
    }
  }
  /** @type {any} */
  var anchor = document ? document.createElement('a') : {};
  anchor.href = url;
  return anchor.href;
}

/**
 * Make a class.
 *
 * @param {any} settings `origins`, `transports` and `debug`
 * @param {any} Native the engine's class, if it has one
 * @param {string} place the URL below whose directory sockets are emulated; empty, all are
 * @returns {any}
 */
export function create(settings, Native, place) {
  var home = /^(https?:\/\/[^/?#]+)([^?#]*\/)?/.exec(place) || [];
  var directory = home[1] + (home[2] || '/');

  /** @type {Record<string, string>} */
  var origins = {};

  toArray(settings.origins).forEach(function (entry) {
    /** @type {Record<string, string>} */
    if (entry.split) {
      var pair = entry.split('=');
      entry = {};
      entry[pair[0]] = pair[1];
    }
    Object.keys(entry).forEach(function (origin) {
      origins[overHTTP(origin)] = overHTTP(entry[origin] || origin);
    });
  });

  var wanted = toArray(settings.transports);
  if (!wanted.length) wanted = ORDER;

  /** @param {string} name of a transport */
  function isSupported(name) {
    return name === 'websocket' ? Native : Object(transports[name]).isSupported_;
  }

  /** @type {Record<string, Carrier>} */
  var carriers = {};

  /**
   * Steps 1 to 7 of the constructor (WebSockets Standard).
   *
   * @param {string} url
   */
  function resolve(url) {
    var href = overHTTP(absolute(url));
    var parts = /^(https?:\/\/[^/?#]+)([^?#]*)(\?[^#]*)?$/.exec(href);
    if (!parts) return null;
    var own = parts[1];
    var path = parts[2] || '/';
    var origin = origins[own] || own;
    // Of a carrier, whose sockets have their own queries.
    var carrierURL = origin + path;

    /** @param {string} text */
    function log(text) {
      text = withoutUser('emulation: ' + carrierURL + ': ' + text);
      // A query may hold a token; the engine's own sentences may hold a query.
      text = text.replace(/\?[^\s']*/g, '');
      if (!/null|undefined|false/.test(settings.debug)) scope.console.log(text);
    }

    var isListed = !place || origins[own] || (own + path + '/').indexOf(directory) === 0;
    // Mixed content: requests to it would be blocked. The engine's class says so as the engine does.
    var isMixed = /^https:http:/.test(location.protocol + origin);
    return {
      url_: href.replace('http', 'ws'),
      origin_: withoutUser(own).replace('http', 'ws'),
      isOurs_: isListed && !isMixed && !remembers(carrierURL),
      httpURL_: carrierURL + (parts[3] || ''),
      getCarrier_: function () {
        if (!carriers[carrierURL] || carriers[carrierURL].isDead_) {
          carriers[carrierURL] = createCarrier(
            carrierURL,
            createChoice(wanted, isSupported, origin),
            log
          );
        }
        return carriers[carrierURL];
      },
      onplain_: function () {
        remember(carrierURL);
      },
    };
  }

  return createWebSocketClass(resolve, Native, place);
}

/**
 * Put a class in the place of the engine's, which stays reachable as `native`.
 *
 * @param {any} settings as for `create`; the page finds them, and more, as `WebSocketEmulation`
 * @param {string} [place] as for `create`; the page's origin where it is not known
 */
export function install(settings, place) {
  var Native = scope.WebSocket;
  var WebSocket = create(settings, Native, place || location.origin || location.href);
  settings.version = '__VERSION__';
  settings.native = Native;
  (settings.install = function () {
    // PhantomJS 1.9.8 lets nobody configure its own, and has one without a value in frames.
    if (!('WebSocket' in scope)) define(scope, 'WebSocket', Native);
    scope.WebSocket = WebSocket;
  })();
  scope.WebSocketEmulation = settings;
}
