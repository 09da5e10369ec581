import { hasTypedArrays } from './bytes.js';
import { scope } from './scope.js';
import { after } from './tasks.js';

/**
 * What a request tells, until it is aborted. Data are bytes where the request's body was bytes,
 * else characters.
 *
 * @typedef {object} Sink
 * @property {(data: any) => void} ondata_ in any cutting where it streams, else once
 * @property {(status: number, note: string) => void} onend_ once; the status is 0 where there was
 *   no answer, the note that of a 204 (docs/protocol.md section 6)
 */

var XHR = scope.XMLHttpRequest;

/** Whether bodies may be bytes. */
export var hasBinary = hasTypedArrays && (XHR ? 'responseType' in new XHR() : !!scope.fetch);

/** Whether an answer can be read as bytes while it comes. */
export var hasByteStream =
  hasBinary && scope.fetch && scope.ReadableStream && 'body' in scope.Response.prototype;

/** Whether an answer can be read as text while it comes (IE 8 and 9 give it at the end). */
export var hasTextStream = XHR && 'onprogress' in new XHR();

/**
 * @param {string} url
 * @param {string} type
 * @param {boolean} isAsync
 * @returns {XMLHttpRequest}
 */
export function openXHR(url, type, isAsync) {
  var xhr = new XHR();
  xhr.open('POST', url, isAsync);
  xhr.withCredentials = true;
  xhr.setRequestHeader('Content-Type', type);
  return xhr;
}

/**
 * @param {string} url
 * @param {any} body
 * @param {string} type
 * @param {boolean} isStream
 * @param {Sink} sink
 * @returns {() => void}
 */
function byXHR(url, body, type, isStream, sink) {
  var xhr = openXHR(url, type, true);
  var isText = typeof body === 'string';
  var offset = 0;

  function read() {
    var isEnd = xhr.readyState > 3;
    if (isEnd ? xhr.status : isStream && xhr.readyState > 2) {
      if (!isText) sink.ondata_(new Uint8Array(xhr.response || 0));
      else if (xhr.responseText.length > offset) {
        var start = offset;
        offset = xhr.responseText.length;
        sink.ondata_(xhr.responseText.slice(start));
      }
    }
    if (!isEnd) return;
    // IE reports 204 as 1223.
    var status = xhr.status === 1223 ? 204 : xhr.status;
    sink.onend_(status, (status === 204 && xhr.getResponseHeader('Emulation')) || '');
  }

  if (!isText) xhr.responseType = 'arraybuffer';
  // Some engines tell of new text by `progress` alone.
  xhr.onreadystatechange = read;
  if (isStream) xhr.onprogress = read;
  xhr.send(body);
  return function () {
    xhr.abort();
  };
}

/**
 * @param {string} url
 * @param {any} body
 * @param {string} type
 * @param {boolean} isStream
 * @param {Sink} sink
 * @returns {() => void}
 */
function byFetch(url, body, type, isStream, sink) {
  var controller = scope.AbortController && new scope.AbortController();
  /** @type {any} */
  var reader;

  function fail() {
    sink.onend_(0, '');
  }

  /** @param {Response} response */
  function read(response) {
    function end() {
      sink.onend_(response.status, response.headers.get('Emulation') || '');
    }

    function pull() {
      reader.read().then(function (/** @type {any} */ result) {
        if (result.done) return end();
        sink.ondata_(result.value);
        pull();
      }, fail);
    }

    if (isStream && response.body) {
      reader = response.body.getReader();
      return pull();
    }
    var isText = typeof body === 'string';
    /** @type {Promise<any>} */
    var reading = isText ? response.text() : response.arrayBuffer();
    reading.then(function (data) {
      sink.ondata_(isText ? data : new Uint8Array(data));
      end();
    }, fail);
  }

  scope
    .fetch(url, {
      method: 'POST',
      body: body,
      headers: { 'Content-Type': type },
      credentials: 'include',
      redirect: 'error',
      cache: 'no-store',
      signal: controller && controller.signal,
    })
    .then(read, fail);
  return function () {
    if (controller) controller.abort();
    else if (reader) reader.cancel();
  };
}

/**
 * POST a body.
 *
 * @param {string} url
 * @param {ArrayBuffer | string} body
 * @param {boolean} isStream whether the answer is read while it comes
 * @param {number} seconds after which the request is given up, whatever has come
 * @param {Sink} sink
 * @returns {() => void} aborts
 */
export function post(url, body, isStream, seconds, sink) {
  var isText = typeof body === 'string';
  var isOver = false;

  /**
   * @param {number} status
   * @param {string} note
   */
  function end(status, note) {
    if (isOver) return;
    stop();
    sink.onend_(status, note);
  }

  // Off the books before the abort, which may call back at once.
  function stop() {
    isOver = true;
    cancel();
  }

  function giveUp() {
    end(0, '');
    abort();
  }

  var cancel = seconds < Infinity ? after(seconds, giveUp) : function () {};
  var send = XHR && (isText || !isStream) ? byXHR : byFetch;
  var abort = send(url, body, isText ? 'application/json' : 'application/octet-stream', isStream, {
    ondata_: function (data) {
      if (!isOver) sink.ondata_(data);
    },
    onend_: end,
  });
  return function () {
    stop();
    abort();
  };
}
