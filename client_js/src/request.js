import { scope } from './scope.js';
import { hasTypedArrays } from './bytes.js';
import { after } from './tasks.js';

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {any} body bytes where the request's body was bytes, else a string
 * @property {(name: string) => string | null} header
 */

var XHR = scope.XMLHttpRequest;

/** Whether bodies may be bytes. */
export var hasBinary = hasTypedArrays && (XHR ? 'responseType' in new XHR() : !!scope.fetch);

/**
 * @param {any} body
 * @returns {string}
 */
export function contentType(body) {
  return typeof body === 'string' ? 'application/json' : 'application/octet-stream';
}

/**
 * The settings of a fetch.
 *
 * @param {any} body
 * @param {AbortController | null} controller
 */
export function fetchSettings(body, controller) {
  /** @type {RequestInit} */
  var settings = {
    method: 'POST',
    body: body,
    headers: { 'Content-Type': contentType(body) },
    credentials: 'include',
    redirect: 'error',
    cache: 'no-store',
  };
  if (controller) settings.signal = controller.signal;
  return settings;
}

/** @returns {AbortController | null} */
export function createController() {
  return scope.AbortController ? new scope.AbortController() : null;
}

/**
 * Begin a POST by XMLHttpRequest.
 *
 * @param {string} url
 * @param {any} body
 * @param {string} type of the answer
 * @param {(xhr: XMLHttpRequest) => void} onchange
 * @returns {XMLHttpRequest}
 */
export function postXHR(url, body, type, onchange) {
  var xhr = new XHR();
  xhr.open('POST', url, true);
  xhr.withCredentials = true;
  if (type) xhr.responseType = type;
  xhr.setRequestHeader('Content-Type', contentType(body));
  xhr.onreadystatechange = function () {
    onchange(xhr);
  };
  xhr.send(body);
  return xhr;
}

/**
 * @param {string} url
 * @param {any} body
 * @param {(answer: Answer | null) => void} done
 * @returns {() => void}
 */
function byXHR(url, body, done) {
  var isText = typeof body === 'string';
  var request = postXHR(url, body, isText ? '' : 'arraybuffer', function (xhr) {
    if (xhr.readyState !== 4) return;
    done(
      xhr.status
        ? {
            // IE reports 204 as 1223.
            status: xhr.status === 1223 ? 204 : xhr.status,
            body: isText ? xhr.responseText : new Uint8Array(xhr.response || 0),
            header: function (name) {
              return xhr.getResponseHeader(name);
            },
          }
        : null
    );
  });
  return function () {
    request.abort();
  };
}

/**
 * @param {string} url
 * @param {any} body
 * @param {(answer: Answer | null) => void} done
 * @returns {() => void}
 */
function byFetch(url, body, done) {
  var isText = typeof body === 'string';
  var controller = createController();
  function fail() {
    done(null);
  }

  /** @param {Response} response */
  function read(response) {
    /** @type {Promise<any>} */
    var reading = isText ? response.text() : response.arrayBuffer();
    reading.then(function (data) {
      done({
        status: response.status,
        body: isText ? data : new Uint8Array(data),
        header: function (name) {
          return response.headers.get(name);
        },
      });
    }, fail);
  }

  scope.fetch(url, fetchSettings(body, controller)).then(read, fail);
  return function () {
    if (controller) controller.abort();
  };
}

/**
 * POST a body and read the whole answer.
 *
 * @param {string} url
 * @param {ArrayBuffer | string} body
 * @param {number} seconds after which the request is given up
 * @param {(answer: Answer | null) => void} onanswer called once, with null where none has come;
 *   not called after an abort
 * @returns {() => void} aborts
 */
export function request(url, body, seconds, onanswer) {
  var isOver = false;

  /** @param {Answer | null} answer */
  function done(answer) {
    if (isOver) return;
    isOver = true;
    cancel();
    onanswer(answer);
  }

  // Off the books before the abort, which may call back at once.
  var cancel = after(seconds, function () {
    done(null);
    abort();
  });
  var abort = (XHR ? byXHR : byFetch)(url, body, done);
  return function () {
    isOver = true;
    cancel();
    abort();
  };
}
