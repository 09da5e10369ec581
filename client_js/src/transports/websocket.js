import {
  parseArray,
  toJSON,
  BINARY,
  CLOSE,
  DOCUMENT,
  PART,
  TEXT,
  UNKNOWN,
  fromElement,
} from '../codec.js';

/** @typedef {import('../codec.js').Frame} Frame */

/**
 * A native WebSocket that carries the frames of one socket.
 *
 * @typedef {object} Link
 * @property {(frame: Frame) => void} send
 * @property {number} next the number of the next frame that comes; its user counts
 * @property {() => void} close nothing is told afterwards
 */

/**
 * Open a native WebSocket (docs/protocol.md section 9).
 *
 * @param {any} Native the engine's class
 * @param {string} url
 * @param {string[]} protocols
 * @param {() => void} onopen
 * @param {(frame: Frame) => void} onframe
 * @param {() => void} onend told once; never from within this function
 * @returns {Link}
 */
export function createLink(Native, url, protocols, onopen, onframe, onend) {
  var socket = new Native(url, protocols);
  var isOver = false;
  var isPart = false;
  socket.binaryType = 'arraybuffer';

  /** @param {boolean} isTold */
  function end(isTold) {
    if (isOver) return;
    isOver = true;
    socket.close();
    if (isTold) onend();
  }

  /** @param {any[]} elements */
  function document(elements) {
    socket.send('\0' + toJSON(elements));
  }

  /**
   * @param {string} text behind U+0000
   * @returns {Frame}
   */
  function special(text) {
    if (text.charAt(0) === '\0') return { type: TEXT, data: text };
    var elements = text.charAt(0) === '[' && parseArray(text);
    var frame = elements ? fromElement(elements) : null;
    return frame && frame.type >= CLOSE ? frame : { type: UNKNOWN, data: null };
  }

  socket.onopen = function () {
    if (!isOver) onopen();
  };
  socket.onmessage = function (/** @type {MessageEvent} */ event) {
    if (isOver) return;
    var data = event.data;
    /** @type {Frame} */
    var frame = { type: TEXT, data: data };
    if (typeof data !== 'string') frame = { type: BINARY, data: new Uint8Array(data) };
    else if (data.charAt(0) === '\0') frame = special(data.slice(1));
    if (frame.type === DOCUMENT && frame.data[0] === 'part') {
      isPart = true;
      return;
    }
    if (isPart && frame.type <= BINARY) {
      frame.type += PART;
      isPart = false;
    }
    onframe(frame);
  };
  // The end is told by `close`; an engine without it (hixie-76) has no close codes either.
  socket.onclose = function () {
    end(true);
  };

  return {
    next: 1,
    send: function (frame) {
      var data = frame.data;
      var type = frame.type;
      if (type === DOCUMENT) return document(data);
      if (type === CLOSE) return document(['c'].concat(data));
      if (type > BINARY) document(['part']);
      if (typeof data !== 'string') {
        // Old engines send no views.
        if (data.length !== data.buffer.byteLength) data = new Uint8Array(data).buffer;
        socket.send('buffer' in data ? data.buffer : data);
      } else {
        socket.send(data.charAt(0) === '\0' ? '\0' + data : data);
      }
    },
    close: function () {
      end(false);
    },
  };
}
