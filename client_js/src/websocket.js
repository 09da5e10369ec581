import { measure, wellFormed } from './bytes.js';
import { BINARY, TEXT } from './codec.js';
import {
  createPrototype,
  createTarget,
  define,
  defineAttribute,
  defineHandler,
  dispatch,
} from './event-target.js';
import { scope } from './scope.js';
import { createSession } from './session.js';

/** @typedef {import('./session.js').Session} Session */

/**
 * Where a URL leads.
 *
 * @typedef {object} Target
 * @property {string} url_ serialized, as `url` shows it
 * @property {string} origin_ of the URL, as events show it
 * @property {string} httpURL_ with its query, to which the requests go
 * @property {boolean} isOurs_ whether it is emulated where there is a native class
 * @property {() => import('./session.js').Carrier} getCarrier_
 * @property {() => void} onplain_ told when a plain native WebSocket was the right one
 */

/**
 * The state of one WebSocket; what has no underscore is an attribute of the interface.
 *
 * @typedef {object} State
 * @property {any} socket_
 * @property {Target} target_
 * @property {string} url
 * @property {number} readyState
 * @property {string} protocol
 * @property {string} extensions
 * @property {string} binaryType
 * @property {number} lateBytes_ given to send() after the close
 * @property {number} [wasOpen_]
 * @property {Session} [session_]
 * @property {any} [plain_] the native WebSocket that took the session's place
 * @property {Record<string, any>} handlers_
 */

var CONNECTING = 0;
var OPEN = 1;
var CLOSING = 2;
var CLOSED = 3;

var STATES = ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'];

var Symbol = scope.Symbol || {};

/**
 * @param {string} name
 * @param {string} message
 * @returns {any} a DOMException, or an Error of its name
 */
function exception(name, message) {
  try {
    return new scope.DOMException(message, name);
  } catch (_) {
    var error = new Error(message);
    error.name = name;
    return error;
  }
}

/**
 * @param {any} value
 * @returns {string} the name of its class, of any realm
 */
function classOf(value) {
  return Object.prototype.toString.call(value).slice(8, -1);
}

/**
 * Read the constructor's second argument, `(DOMString or sequence<DOMString>)`, and throw for what
 * it refuses (WebSockets Standard, constructor steps 8 and 9).
 *
 * @param {any} protocols
 * @returns {string[]}
 */
function toProtocols(protocols) {
  if (protocols === undefined) protocols = [];
  var isObject = typeof protocols === 'object' && protocols;
  if (isObject && protocols[Symbol.iterator]) protocols = scope.Array.from(protocols);
  /** @type {string[]} */
  var list = [].concat(protocols).map(String);
  list.forEach(function (protocol, index) {
    // A token, RFC 9110 section 5.6.2.
    if (!/^[\w!#$%&'*+\-.^`|~]+$/.test(protocol) || list.indexOf(protocol) < index) {
      throw exception('SyntaxError', 'invalid: ' + protocol);
    }
  });
  return list;
}

/**
 * @param {any} bytes
 * @param {string} binaryType
 * @returns {any} what the page gets
 */
function toData(bytes, binaryType) {
  var buffer = bytes.buffer;
  // A part of a larger buffer is copied.
  if (buffer && buffer.byteLength !== bytes.length) buffer = new Uint8Array(bytes).buffer;
  try {
    if (binaryType === 'blob') return new scope.Blob([buffer]);
  } catch (error) {
    // PhantomJS 1.9.8 has the name and no constructor; what `typeof` says is not to be relied on.
  }
  return buffer || bytes;
}

/**
 * Make the class.
 *
 * @param {(url: string) => Target | null} resolve null where the URL is invalid
 * @param {any} Native the engine's class, if it has one
 * @returns {any}
 */
export function createWebSocketClass(resolve, Native) {
  /**
   * @this {any}
   * @param {any} url
   * @param {any} [protocols]
   */
  function WebSocket(url, protocols) {
    if (!(this instanceof WebSocket)) throw new TypeError("use 'new'");
    if (!arguments.length) throw new TypeError('1 argument required');
    url = wellFormed(String(url));
    var target = resolve(url);
    if (Native && !(target && target.isOurs_)) {
      return new Native(url, protocols === undefined ? [] : protocols);
    }
    // Steps 1 to 7 are those of `resolve`.
    if (!target) throw exception('SyntaxError', 'invalid: ' + url);
    var list = toProtocols(protocols);
    var socket = createTarget(this, WebSocket);
    /** @type {State} */
    var state = {
      socket_: socket,
      target_: target,
      url: target.url_,
      readyState: CONNECTING,
      protocol: '',
      extensions: '',
      binaryType: 'blob',
      lateBytes_: 0,
      handlers_: {},
    };
    Object.defineProperties(socket, { state_: { value: state } });
    connect(state, list, Native);
    return socket;
  }

  var prototype = (WebSocket.prototype = createPrototype(WebSocket));
  define(prototype, 'constructor', WebSocket);
  if (Symbol.toStringTag) define(prototype, Symbol.toStringTag, 'WebSocket');
  describe(prototype);
  STATES.forEach(function (name, value) {
    var constant = { value: value, enumerable: true };
    Object.defineProperty(WebSocket, name, constant);
    Object.defineProperty(prototype, name, constant);
  });
  if (Native && Symbol.hasInstance) {
    // What was passed through to the native class is a WebSocket too.
    var hasInstance = /** @type {any} */ (Function.prototype)[Symbol.hasInstance];
    /** @this {any} */
    var isInstance = function (/** @type {any} */ value) {
      return hasInstance.call(this, value) || (this === WebSocket && value instanceof Native);
    };
    define(WebSocket, Symbol.hasInstance, isInstance);
  }
  return WebSocket;
}

/**
 * @param {any} socket
 * @returns {State}
 */
function stateOf(socket) {
  if (!socket || !socket.state_) throw new TypeError('Illegal invocation');
  return socket.state_;
}

/**
 * Define the interface's members.
 *
 * @param {any} prototype
 */
function describe(prototype) {
  ['url', 'readyState', 'bufferedAmount', 'extensions', 'protocol', 'binaryType'].forEach(
    function (name) {
      /** @this {any} */
      function get() {
        /** @type {any} */
        var state = stateOf(this);
        return name === 'bufferedAmount' ? bufferedAmount(state) : state[name];
      }

      /**
       * @this {any}
       * @param {any} value
       */
      function setBinaryType(value) {
        var state = stateOf(this);
        // A value that the enumeration does not have is ignored (Web IDL).
        if (value !== 'blob' && value !== 'arraybuffer') return;
        state.binaryType = value;
        if (state.plain_) state.plain_.binaryType = value;
      }

      defineAttribute(prototype, name, get, name === 'binaryType' ? setBinaryType : undefined);
    }
  );
  ['open', 'error', 'close', 'message'].forEach(function (type) {
    defineHandler(prototype, type, function (socket) {
      return stateOf(socket).handlers_;
    });
  });

  /**
   * @this {any}
   * @param {any} data
   */
  prototype.send = function send(data) {
    var state = stateOf(this);
    if (!arguments.length) throw new TypeError('1 argument required');
    sendData(state, data);
  };

  /**
   * @this {any}
   * @param {any} [code]
   * @param {any} [reason]
   */
  prototype.close = function close(code, reason) {
    closeSocket(stateOf(this), code, reason);
  };
}

/**
 * @param {State} state
 * @returns {number}
 */
function bufferedAmount(state) {
  if (state.plain_) return state.plain_.bufferedAmount;
  return state.lateBytes_ + /** @type {Session} */ (state.session_).connection_.buffered_;
}

/**
 * @param {State} state
 * @param {any} data
 */
function sendData(state, data) {
  var isBlob = /^(Blob|File)$/.test(classOf(data));
  var buffer = classOf(data) === 'ArrayBuffer' ? data : data && data.buffer;
  var isBinary = isBlob || classOf(buffer) === 'ArrayBuffer';
  if (!isBinary) data = wellFormed(String(data));
  if (state.readyState === CONNECTING) throw exception('InvalidStateError', 'still connecting');
  if (state.plain_) return state.plain_.send(data);
  var size = isBinary ? data.byteLength : measure(data, 0, Infinity).size_;
  if (isBlob) size = data.size;
  if (state.readyState !== OPEN) {
    state.lateBytes_ += size;
    return;
  }
  var session = /** @type {Session} */ (state.session_);
  if (isBinary && !isBlob) {
    // Copied: the page may write over its own bytes as soon as this returns.
    data = new Uint8Array(new Uint8Array(buffer, data.byteOffset || 0, size));
  }
  // A Blob keeps its place among the messages, and close() waits for it.
  var type = isBinary ? BINARY : TEXT;
  var message = session.connection_.send_(type, isBlob ? null : data, size);
  if (isBlob) {
    // Node has no FileReader, old engines have nothing else.
    var reader = data.arrayBuffer ? null : new scope.FileReader();
    var take = function (/** @type {any} */ buffer) {
      message.data_ = new Uint8Array(reader ? reader.result : buffer);
      session.flush_();
    };
    if (reader) {
      reader.onload = take;
      reader.readAsArrayBuffer(data);
    } else data.arrayBuffer().then(take);
  }
  session.flush_();
}

/**
 * The steps of close() (WebSockets Standard, section 3.1).
 *
 * @param {State} state
 * @param {any} code
 * @param {any} reason
 */
function closeSocket(state, code, reason) {
  var hasCode = code !== undefined;
  // [Clamp] unsigned short; what is beyond its range is refused by step 1 in any case.
  if (hasCode) code = Math.round(Number(code));
  reason = reason === undefined ? '' : wellFormed(String(reason));
  // Step 1.
  if (hasCode && code !== 1000 && !(code >= 3000 && code <= 4999)) {
    throw exception('InvalidAccessError', 'invalid: ' + code);
  }
  // Step 2.
  if (measure(reason, 0, 124).size_ > 123) {
    throw exception('SyntaxError', 'invalid: ' + reason);
  }
  // Step 3.
  if (state.readyState > OPEN) return;
  state.readyState = CLOSING;
  var data = hasCode ? [code].concat(reason || []) : [];
  if (state.plain_) state.plain_.close.apply(state.plain_, data);
  else /** @type {Session} */ (state.session_).close_(data);
}

/**
 * @param {State} state
 * @param {string[]} protocols
 * @param {any} Native
 */
function connect(state, protocols, Native) {
  var target = state.target_;
  var socket = state.socket_;

  /**
   * @param {string} protocol
   * @param {string} extensions
   */
  function opened(protocol, extensions) {
    if (state.readyState !== CONNECTING) return;
    state.readyState = state.wasOpen_ = OPEN;
    state.protocol = protocol;
    state.extensions = extensions;
    dispatch(socket, 'open', 'Event', {});
  }

  /**
   * @param {any} data
   * @param {boolean} isBinary whether it is bytes
   */
  function deliver(data, isBinary) {
    if (state.readyState !== OPEN) return;
    if (isBinary) data = toData(data, state.binaryType);
    dispatch(socket, 'message', 'MessageEvent', { data: data, origin: target.origin_ });
  }

  /**
   * @param {number} code
   * @param {string} reason
   * @param {boolean} wasClean
   */
  function closed(code, reason, wasClean) {
    state.readyState = CLOSED;
    // A connection that is lost later on is not one that was failed: no error (WHATWG WebSockets 4).
    if (!state.wasOpen_) dispatch(socket, 'error', 'Event', {});
    var init = { code: code, reason: reason, wasClean: wasClean };
    dispatch(socket, 'close', 'CloseEvent', init);
  }

  /**
   * @param {string} name
   * @param {string} previous
   * @param {string} reason
   */
  function changed(name, previous, reason) {
    dispatch(socket, 'emulation:transport', 'CustomEvent', {
      detail: { transport: name, previous: previous, reason: reason },
      transport: name,
    });
  }

  /** Go on with a plain native WebSocket. */
  function usePlain() {
    var plain = (state.plain_ = new Native(target.httpURL_.replace('http', 'ws'), protocols));
    plain.binaryType = state.binaryType;
    plain.onopen = function () {
      target.onplain_();
      opened(plain.protocol, plain.extensions);
    };
    plain.onmessage = function (/** @type {MessageEvent} */ event) {
      deliver(event.data, false);
    };
    plain.onclose = function (/** @type {CloseEvent} */ event) {
      closed(event.code, event.reason, event.wasClean);
    };
  }

  state.session_ = createSession(target.httpURL_, protocols, Native, target.getCarrier_(), {
    onopen_: opened,
    onmessage_: deliver,
    onclose_: closed,
    ontransport_: changed,
    onplain_: usePlain,
  });
}
