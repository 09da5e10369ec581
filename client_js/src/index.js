import { createCarrier } from './carrier.js';
import { createChoice } from './choice.js';
import { remember, remembers } from './memory.js';
import { scope } from './scope.js';
import { ORDER, transports } from './transports/index.js';
import { createWebSocketClass } from './websocket.js';

/** @typedef {import('./session.js').Carrier} Carrier */

/** The version of the shim, as the page may read it. */
var version = '__VERSION__';

var document = scope.document;
var location = scope.location || {};

/**
 * @param {any} value a list, or a text with blanks or commas
 * @returns {any[]}
 */
function toArray(value) {
  if (typeof value !== 'string') return value ? [].concat(value) : [];
  return value.split(/[\s,]+/).filter(Boolean);
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

/** @param {any} settings the page's, from before the script */
function setUp(settings) {
  var Native = scope.WebSocket;
  var scripts = document ? document.getElementsByTagName('script') : [];
  // Engines without `currentScript` run a script when it is the last one in the document.
  var script = (document && document.currentScript) || scripts[scripts.length - 1];

  /**
   * @param {string} name
   * @returns {any}
   */
  function setting(name) {
    if (settings[name] !== undefined || !script) return settings[name];
    return script.getAttribute('data-' + name);
  }

  // In a worker the script's own URL is not known: its origin, and every path.
  var place = (script && script.src) || location.origin || location.href;
  var home = /^(https?:\/\/[^/?#]+)([^?#]*\/)?/.exec(place) || [];
  var directory = home[2] || '/';

  /** @type {Record<string, string>} */
  var origins = {};

  /**
   * @param {string[]} entry an origin, and the one that stands for it if there is one
   */
  function addOrigin(entry) {
    origins[overHTTP(entry[0])] = overHTTP(entry[1] || entry[0]);
  }

  toArray(setting('origins')).forEach(function (entry) {
    if (typeof entry === 'string') addOrigin(entry.split('='));
    else if (Array.isArray(entry)) addOrigin(entry);
    else for (var from in entry) addOrigin([from, entry[from]]);
  });

  var wanted = toArray(setting('transports'));
  /** @type {string[]} */
  var names = (wanted.length ? wanted : ORDER).filter(function (name) {
    return name === 'websocket' ? Native : transports[name] && transports[name].isSupported_;
  });

  /** @param {string} text */
  function log(text) {
    if (!/null|undefined|false/.test(setting('debug'))) scope.console.log('emulation: ' + text);
  }

  /** @type {Record<string, Carrier>} */
  var carriers = {};

  /**
   * Steps 1 to 7 of the constructor (WebSockets Standard).
   *
   * @param {string} url
   */
  function resolve(url) {
    var href = absolute(url).replace(/^http/, 'ws');
    var parts = /^(wss?:\/\/[^/?#]+)([^?#]*)(\?[^#]*)?$/.exec(href);
    if (!parts) return null;
    var own = overHTTP(parts[1]);
    var path = parts[2] || '/';
    var origin = origins[own] || own;
    // Of a carrier, whose sockets have their own queries.
    var carrierURL = origin + path;
    var isListed = origins[own] || (own === home[1] && (path + '/').indexOf(directory) === 0);
    return {
      url_: href,
      origin_: parts[1],
      isOurs_: !!isListed && !remembers(carrierURL),
      httpURL_: carrierURL + (parts[3] || ''),
      getCarrier_: function () {
        if (!carriers[carrierURL] || carriers[carrierURL].isDead_) {
          carriers[carrierURL] = createCarrier(carrierURL, createChoice(names, origin), log);
        }
        return carriers[carrierURL];
      },
      onplain_: function () {
        remember(carrierURL);
      },
    };
  }

  var WebSocket = createWebSocketClass(resolve, Native);

  /** @param {any} event */
  function notice(event) {
    if (document && document.hidden && event.type !== 'pagehide') return;
    for (var url in carriers) carriers[url].notice_(event);
  }

  ['pagehide', 'pageshow', 'online', 'visibilitychange'].forEach(function (type) {
    if (scope.addEventListener) scope.addEventListener(type, notice);
  });

  settings.version = version;
  settings.native = Native;
  settings.install = function () {
    scope.WebSocket = WebSocket;
  };
  settings.install();
  scope.WebSocketEmulation = settings;
}

var settings = scope.WebSocketEmulation || {};
// Loaded twice it is one.
if (!settings.install) setUp(settings);
