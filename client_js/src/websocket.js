import { hasTypedArrays, measure, wellFormed } from './bytes.js';
import { BINARY, TEXT } from './codec.js';
import { createPrototype, createTarget, define, defineHandler, dispatch } from './event-target.js';
import { scope } from './scope.js';
import { createSession } from './session.js';
import { queueTask } from './tasks.js';

/** @typedef {import('./session.js').Session} Session */

/**
 * Where a URL leads.
 *
 * @typedef {object} Target
 * @property {string} url_ serialized, as `url` shows it
 * @property {string} origin_ of the URL, as events show it
 * @property {string} httpURL_ with its query, to which the requests go
 * @property {boolean} isOurs_ whether it is emulated where there is a native class
 * @property {() => any} getCarrier_
 * @property {() => void} onplain_ told when a plain native WebSocket was the right one
 */

/**
 * The state of one WebSocket.
 *
 * @typedef {object} State
 * @property {any} socket_
 * @property {Target} target_
 * @property {number} readyState_
 * @property {string} protocol_
 * @property {string} extensions_
 * @property {string} binaryType_
 * @property {number} lateBytes_ given to send() after the close
 * @property {Session} session_
 * @property {any} plain_ the native WebSocket that took the session's place
 * @property {Record<string, any>} handlers_
 */

var CONNECTING = 0;
var OPEN = 1;
var CLOSING = 2;
var CLOSED = 3;

var STATES = ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'];
var CODES = { SyntaxError: 12, InvalidStateError: 11, InvalidAccessError: 15 };

/**
 * @param {keyof typeof CODES} name
 * @param {string} message
 * @returns {any} a DOMException, or an Error that looks like one
 */
function exception(name, message) {
  try {
    return new scope.DOMException(message, name);
  } catch (_) {
    /** @type {any} */
    var error = new Error(message);
    error.name = name;
    error.code = CODES[name];
    return error;
  }
}

/**
 * @param {any} value
 * @param {string} name
 * @returns {boolean} whether it is of the class, of any realm
 */
function is(value, name) {
  return Object.prototype.toString.call(value) === '[object ' + name + ']';
}

/**
 * Read the constructor's second argument: `(DOMString or sequence<DOMString>)`.
 *
 * @param {any} protocols
 * @returns {string[]}
 */
function toList(protocols) {
  if (protocols === undefined) return [];
  if (typeof protocols !== 'object' || !protocols) return [String(protocols)];
  var list = protocols;
  if (!is(protocols, 'Array')) {
    var iterator = scope.Symbol && protocols[scope.Symbol.iterator];
    if (!iterator) return [String(protocols)];
    list = [];
    var steps = iterator.call(protocols);
    for (var step = steps.next(); !step.done; step = steps.next()) list.push(step.value);
  }
  return list.map(String);
}

/**
 * Throw for what the constructor refuses (WebSockets Standard, constructor steps 8 and 9).
 *
 * @param {string[]} protocols
 */
function checkProtocols(protocols) {
  protocols.forEach(function (protocol, index) {
    // A token, RFC 9110 section 5.6.2.
    if (!/^[\w!#$%&'*+\-.^`|~]+$/.test(protocol) || protocols.indexOf(protocol) !== index) {
      throw exception('SyntaxError', "The subprotocol '" + protocol + "' is invalid or repeated.");
    }
  });
}

/**
 * @param {any} bytes
 * @param {string} binaryType
 * @returns {any}
 */
function toData(bytes, binaryType) {
  if (!hasTypedArrays) return bytes;
  var buffer = /** @type {any} */ (bytes).buffer;
  // A part of a larger buffer is copied.
  if (buffer.byteLength !== bytes.length) buffer = new Uint8Array(bytes).buffer;
  if (binaryType === 'blob' && typeof scope.Blob === 'function') return new scope.Blob([buffer]);
  return buffer;
}

/**
 * @param {any} blob
 * @param {(bytes: Uint8Array) => void} done
 */
function readBlob(blob, done) {
  var reader = new scope.FileReader();
  reader.onload = function () {
    done(new Uint8Array(reader.result));
  };
  reader.readAsArrayBuffer(blob);
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
    if (!(this instanceof WebSocket)) {
      throw new TypeError("Please use the 'new' operator: WebSocket is a constructor.");
    }
    if (!arguments.length) throw new TypeError('WebSocket: 1 argument required.');
    url = wellFormed(String(url));
    var target = resolve(url);
    if (Native && !(target && target.isOurs_)) {
      return protocols === undefined ? new Native(url) : new Native(url, protocols);
    }
    // Steps 1 to 7 are those of `resolve`.
    if (!target) throw exception('SyntaxError', "The URL '" + url + "' is invalid.");
    var list = toList(protocols);
    checkProtocols(list);
    var socket = createTarget(this, WebSocket);
    /** @type {State} */
    var state = {
      socket_: socket,
      target_: target,
      readyState_: CONNECTING,
      protocol_: '',
      extensions_: '',
      binaryType_: 'blob',
      lateBytes_: 0,
      session_: /** @type {any} */ (null),
      plain_: null,
      handlers_: {},
    };
    Object.defineProperty(socket, '_state', { value: state });
    // Step 12: in parallel.
    queueTask(function () {
      if (state.readyState_ === CONNECTING) connect(state, list, Native);
    });
    return socket;
  }

  var prototype = createPrototype();
  WebSocket.prototype = prototype;
  define(prototype, 'constructor', WebSocket);
  describe(prototype);
  STATES.forEach(function (name, value) {
    var constant = { value: value, enumerable: true };
    Object.defineProperty(WebSocket, name, constant);
    Object.defineProperty(prototype, name, constant);
  });
  if (scope.Symbol && scope.Symbol.toStringTag) {
    define(prototype, scope.Symbol.toStringTag, 'WebSocket');
  }
  if (Native && scope.Symbol && scope.Symbol.hasInstance) {
    // What was passed through to the native class is a WebSocket too.
    var hasInstance = /** @type {any} */ (Function.prototype)[scope.Symbol.hasInstance];
    Object.defineProperty(WebSocket, scope.Symbol.hasInstance, {
      /** @this {any} */
      value: function (/** @type {any} */ value) {
        return hasInstance.call(this, value) || (this === WebSocket && value instanceof Native);
      },
    });
  }
  return WebSocket;
}

/**
 * @param {any} socket
 * @returns {State}
 */
function stateOf(socket) {
  if (!socket || !socket._state) throw new TypeError('Illegal invocation');
  return socket._state;
}

/**
 * Define the interface's members.
 *
 * @param {any} prototype
 */
function describe(prototype) {
  /**
   * @param {string} name
   * @param {(state: State) => any} get
   * @param {(state: State, value: any) => void} [set]
   */
  function attribute(name, get, set) {
    Object.defineProperty(prototype, name, {
      enumerable: true,
      configurable: true,
      /** @this {any} */
      get: function () {
        return get(stateOf(this));
      },
      set:
        set &&
        /** @this {any} */ function (/** @type {any} */ value) {
          set(stateOf(this), value);
        },
    });
  }

  attribute('url', function (state) {
    return state.target_.url_;
  });
  attribute('readyState', function (state) {
    return state.readyState_;
  });
  attribute('protocol', function (state) {
    return state.protocol_;
  });
  attribute('extensions', function (state) {
    return state.extensions_;
  });
  attribute('bufferedAmount', function (state) {
    if (state.plain_) return state.plain_.bufferedAmount;
    return state.lateBytes_ + (state.session_ ? state.session_.connection_.buffered_ : 0);
  });
  attribute(
    'binaryType',
    function (state) {
      return state.binaryType_;
    },
    function (state, value) {
      // A value that the enumeration does not have is ignored (Web IDL).
      if (value !== 'blob' && value !== 'arraybuffer') return;
      state.binaryType_ = value;
      if (state.plain_) state.plain_.binaryType = value;
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
    if (!arguments.length) throw new TypeError('send: 1 argument required.');
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
 * @param {any} data
 */
function sendData(state, data) {
  var isBlob = is(data, 'Blob') || is(data, 'File');
  var isBuffer = is(data, 'ArrayBuffer');
  var isBinary = isBlob || isBuffer || !!(data && is(data.buffer, 'ArrayBuffer'));
  if (!isBinary) data = wellFormed(String(data));
  if (state.readyState_ === CONNECTING) {
    throw exception('InvalidStateError', 'send: the WebSocket is still CONNECTING.');
  }
  if (state.plain_) return state.plain_.send(data);
  var size = isBinary ? (isBlob ? data.size : data.byteLength) : measure(data, 0, Infinity).size_;
  if (state.readyState_ !== OPEN) {
    state.lateBytes_ += size;
    return;
  }
  var session = state.session_;
  var connection = session.connection_;
  if (isBlob) {
    // It keeps its place among the messages, and close() waits for it.
    var message = connection.send_(BINARY, null, size);
    readBlob(data, function (bytes) {
      message.data_ = bytes;
      session.flush_();
    });
    return;
  }
  if (isBinary) {
    var view = isBuffer
      ? new Uint8Array(data)
      : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    // The page may write over its own bytes as soon as this returns.
    data = new Uint8Array(view);
  }
  connection.send_(isBinary ? BINARY : TEXT, data, size);
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
  // [Clamp] unsigned short
  if (code !== undefined) code = Math.min(Math.max(Math.round(Number(code)) || 0, 0), 65535);
  reason = reason === undefined ? '' : wellFormed(String(reason));
  // Step 1.
  if (code !== undefined && code !== 1000 && (code < 3000 || code > 4999)) {
    throw exception('InvalidAccessError', 'close: the code is neither 1000 nor 3000 to 4999.');
  }
  // Step 2.
  if (measure(reason, 0, 124).size_ > 123) {
    throw exception('SyntaxError', 'close: the reason is longer than 123 bytes.');
  }
  // Step 3.
  if (state.readyState_ >= CLOSING) return;
  var wasOpen = state.readyState_ === OPEN;
  state.readyState_ = CLOSING;
  if (state.plain_) {
    if (code === undefined) state.plain_.close();
    else state.plain_.close(code, reason);
  } else if (state.session_) {
    state.session_.close_(code === undefined ? [] : reason ? [code, reason] : [code]);
  } else if (!wasOpen) {
    // Closed in the task that made it: nothing was begun.
    closed(state, 1006, '', false);
  }
}

/**
 * Tell the page that the connection is closed.
 *
 * @param {State} state
 * @param {number} code
 * @param {string} reason
 * @param {boolean} wasClean
 */
function closed(state, code, reason, wasClean) {
  queueTask(function () {
    state.readyState_ = CLOSED;
    if (!wasClean) dispatch(state.socket_, 'error', 'Event', {});
    dispatch(state.socket_, 'close', 'CloseEvent', {
      code: code,
      reason: reason,
      wasClean: wasClean,
    });
  });
}

/**
 * @param {State} state
 * @param {any} data
 */
function deliver(state, data) {
  if (state.readyState_ !== OPEN) return;
  dispatch(state.socket_, 'message', 'MessageEvent', { data: data, origin: state.target_.origin_ });
}

/**
 * @param {State} state
 * @param {string} protocol
 * @param {string} extensions
 */
function opened(state, protocol, extensions) {
  if (state.readyState_ !== CONNECTING) return;
  state.readyState_ = OPEN;
  state.protocol_ = protocol;
  state.extensions_ = extensions;
  dispatch(state.socket_, 'open', 'Event', {});
}

/**
 * @param {State} state
 * @param {string} transport
 * @param {string} previous
 * @param {string} reason
 */
function changed(state, transport, previous, reason) {
  if (state.readyState_ === CLOSED) return;
  var detail = { transport: transport, previous: previous, reason: reason };
  dispatch(state.socket_, 'emulation:transport', 'CustomEvent', {
    detail: detail,
    transport: transport,
  });
}

/**
 * @param {State} state
 * @param {string[]} protocols
 * @param {any} Native
 */
function connect(state, protocols, Native) {
  var target = state.target_;
  state.session_ = createSession(target.httpURL_, protocols, Native, target.getCarrier_, {
    onopen_: function (protocol) {
      queueTask(function () {
        opened(state, protocol, '');
      });
    },
    onmessage_: function (data, isBinary) {
      queueTask(function () {
        deliver(state, isBinary ? toData(data, state.binaryType_) : data);
      });
    },
    onclose_: function (code, reason, wasClean) {
      closed(state, code, reason, wasClean);
    },
    ontransport_: function (name, previous, reason) {
      queueTask(function () {
        changed(state, name, previous, reason);
      });
    },
    onplain_: function () {
      usePlain(state, protocols, Native);
    },
  });
}

/**
 * Go on with a plain native WebSocket.
 *
 * @param {State} state
 * @param {string[]} protocols
 * @param {any} Native
 */
function usePlain(state, protocols, Native) {
  var plain = new Native(state.target_.httpURL_.replace('http', 'ws'), protocols);
  state.plain_ = plain;
  plain.binaryType = state.binaryType_;
  plain.onopen = function () {
    state.target_.onplain_();
    changed(state, 'websocket', '', 'nothing of ours answers');
    opened(state, plain.protocol, plain.extensions);
  };
  plain.onmessage = function (/** @type {MessageEvent} */ event) {
    deliver(state, event.data);
  };
  plain.onclose = function (/** @type {CloseEvent} */ event) {
    closed(state, event.code, event.reason, event.wasClean);
  };
}
