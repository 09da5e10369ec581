import { decodeUtf8, encoder } from './bytes.js';
import { scope } from './scope.js';
import { after, clock } from './tasks.js';

/**
 * Told what has come, in any cutting: bytes where the request's body was bytes, else characters.
 *
 * @typedef {(data: any) => void} OnData
 *
 * Told once that it is over: with the status, or anything else where there was no answer, and the header
 * of a 204 (docs/protocol.md section 6).
 *
 * @typedef {(status?: any, note?: any) => void} OnEnd
 */

// The type of a body that outlives the page. It needs no preflight.
var LAST = 'text/plain';

var XHR = scope.XMLHttpRequest;
var fetch = scope.fetch;

/** Whether bodies may be bytes, which can be read while they come. */
export var hasBinary = encoder && fetch && 'body' in scope.Response.prototype;

/** Whether an answer can be read as text while it comes (IE 8 and 9 give it at the end). */
export var hasTextStream = XHR && 'onprogress' in new XHR();

// Where a URL has the name of a user and a password.
var USER = /\/\/([^/]*)@/;

/**
 * @param {string} url
 * @returns {string} the same without them
 */
export function withoutUser(url) {
  return url.replace(USER, '//');
}

/**
 * @param {string} host
 * @returns {boolean} whether a request to it has gone by HTTP/2 or 3, where all tabs' requests share
 *   one connection
 */
export function sharesConnection(host) {
  return (
    clock.getEntries &&
    clock.getEntries().some(function (/** @type {any} */ entry) {
      return /^h[23]/.test(entry.nextHopProtocol) && entry.name.split('/')[2] === host;
    })
  );
}

/**
 * @param {string} url
 * @param {any} body
 * @param {string} type
 * @param {OnData} ondata told of characters
 * @param {OnEnd} onend
 * @returns {() => void}
 */
function byXHR(url, body, type, ondata, onend) {
  var xhr = new XHR();
  var offset = 0;

  function read() {
    var isEnd = xhr.readyState > 3;
    // Before the data, which may lead to an abort: PhantomJS 1.9 then throws where these are read.
    var status = isEnd && xhr.status;
    var note = isEnd && xhr.getResponseHeader('Emulation');
    if (isEnd ? status : hasTextStream && xhr.readyState > 2) {
      var data = xhr.responseText.slice(offset);
      offset += data.length;
      if (data.length) ondata(data);
    }
    if (isEnd) onend(status, note);
  }

  xhr.open('POST', url, type !== LAST);
  xhr.withCredentials = true;
  xhr.setRequestHeader('Content-Type', type);
  // Some engines tell of new text by `progress` alone.
  xhr.onreadystatechange = xhr.onprogress = read;
  xhr.send(body);
  return function () {
    // PhantomJS tells of progress even afterwards, and then throws for the header.
    xhr.onreadystatechange = xhr.onprogress = null;
    xhr.abort();
  };
}

/**
 * @param {string} url
 * @param {any} body
 * @param {string} type
 * @param {OnData} ondata
 * @param {OnEnd} onend
 * @returns {() => void}
 */
function byFetch(url, body, type, ondata, onend) {
  var controller = scope.AbortController && new scope.AbortController();
  var user = USER.exec(url);
  /** @type {Record<string, string>} */
  var headers = { 'Content-Type': type };
  // In a URL fetch refuses it. What is not ASCII is escaped there, as bytes of UTF-8.
  if (user) headers.Authorization = 'Basic ' + scope.btoa(unescape(user[1]));

  fetch(withoutUser(url), {
    method: 'POST',
    body: body,
    headers: headers,
    credentials: 'include',
    redirect: 'error',
    signal: controller && controller.signal,
  }).then(function (/** @type {any} */ response) {
    /** @param {any} result */
    function pull(result) {
      if (result.done) return onend(response.status, response.headers.get('Emulation'));
      if (result.value) ondata(body.charAt ? decodeUtf8(result.value) : result.value);
      reader.read().then(pull, onend);
    }

    var reader = response.body && response.body.getReader();
    pull({ done: !reader });
  }, onend);
  return function () {
    // Without a controller it is read to its end, and nobody is told.
    if (controller) controller.abort();
  };
}

/**
 * POST a text that outlives the page: by a beacon; by fetch where there is none (JavaFX); by a request
 * that is waited for (QtWebKit, PhantomJS).
 *
 * @param {string} url
 * @param {any} text
 */
export function postLast(url, text) {
  var navigator = scope.navigator;
  if (navigator.sendBeacon) navigator.sendBeacon(url, text);
  else if (fetch)
    fetch(url, { method: 'POST', body: text, credentials: 'include', keepalive: true });
  else byXHR(url, text, LAST, Object, Object);
}

/**
 * POST a body.
 *
 * @param {string} url
 * @param {any} body bytes or a text
 * @param {unknown} isXHR whether it must be an XMLHttpRequest, even where there is a better one
 * @param {number} seconds after which the request is given up, whatever has come
 * @param {OnData} ondata
 * @param {OnEnd} onend
 * @returns {() => void} aborts; nothing is told afterwards
 */
export function post(url, body, isXHR, seconds, ondata, onend) {
  /** @type {boolean | undefined} */
  var isOver;

  function stop() {
    // Off the books before the abort, which may call back at once.
    isOver = true;
    cancel();
    abort();
  }

  /**
   * @param {any} [status]
   * @param {string} [note]
   */
  function end(status, note) {
    if (isOver) return;
    stop();
    onend(status, note);
  }

  var cancel = after(seconds, end);
  var abort = (hasBinary && !isXHR ? byFetch : byXHR)(
    url,
    body,
    body.charAt ? 'application/json' : 'application/octet-stream',
    function (data) {
      if (!isOver) ondata(data);
    },
    end
  );
  return stop;
}
