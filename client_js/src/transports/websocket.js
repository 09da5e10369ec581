import { Bytes } from '../bytes.js';
import {
  BINARY,
  CLOSE,
  PART,
  TEXT,
  UNKNOWN,
  document,
  fromElement,
  fromJSON,
  nameOf,
  toElement,
  toJSON,
} from '../codec.js';
import { queueTask } from '../tasks.js';

/** @typedef {import('../codec.js').Frame} Frame */

/**
 * A native WebSocket that carries the frames of one socket.
 *
 * @typedef {object} Link
 * @property {number} next_ the number of the next frame that comes; its user counts
 * @property {(frame: Frame) => void} send_
 * @property {() => void} close_ nothing is told afterwards
 * @property {any} socket_ the native one
 */

/**
 * @param {any} data of a message
 * @returns {Frame}
 */
export function fromMessage(data) {
  if (typeof data !== 'string') return { type_: BINARY, data_: new Bytes(data) };
  var isSpecial = data[0] === '\0';
  if (isSpecial) data = data.slice(1);
  if (!isSpecial || data[0] !== '[') return { type_: TEXT, data_: data };
  return fromElement(fromJSON(data)) || { type_: UNKNOWN, data_: null };
}

/**
 * @param {Frame} frame
 * @returns {any} what a native WebSocket may send
 */
export function toMessage(frame) {
  var data = frame.data_;
  if (frame.type_ >= CLOSE) return '\0' + toJSON(toElement(frame));
  if (data.charAt) return data[0] === '\0' ? '\0' + data : data;
  // Old engines send no views, and this may be one of a part.
  return new Bytes(data).buffer;
}

/**
 * Open a native WebSocket (docs/protocol.md section 9).
 *
 * @param {any} Native the engine's class
 * @param {string} url
 * @param {string[]} protocols
 * @param {() => void} onopen
 * @param {(frame: Frame) => void} onframe
 * @param {(event: any) => void} onend told once, with what the constructor threw where it did; never from
 *   within this function
 * @returns {Link}
 */
export function createLink(Native, url, protocols, onopen, onframe, onend) {
  /** @type {any} */
  var socket;
  var part = 0;
  try {
    socket = new Native(url, protocols);
  } catch (error) {
    // Mixed content: it is as if it had failed.
    socket = { close: Object };
    queueTask(function () {
      onend(error);
    });
  }
  socket.binaryType = 'arraybuffer';

  socket.onopen = onopen;
  socket.onmessage = function (/** @type {MessageEvent} */ event) {
    var frame = fromMessage(event.data);
    if (nameOf(frame) === 'part') {
      part = PART;
      return;
    }
    frame.type_ += part;
    part = 0;
    onframe(frame);
  };
  // Chromium raises `error` alone where the Content Security Policy forbids it.
  socket.onclose = socket.onerror = onend;

  return {
    next_: 1,
    socket_: socket,
    close_: function () {
      socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
      socket.close();
    },
    send_: function (frame) {
      if (frame.type_ > BINARY && frame.type_ < CLOSE) socket.send(toMessage(document(['part'])));
      socket.send(toMessage(frame));
    },
  };
}
