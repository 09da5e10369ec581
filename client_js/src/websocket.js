import { Bytes, measure, wellFormed } from './bytes.js';
import { BINARY, TEXT } from './codec.js';
import {
  CloseEvent,
  CustomEvent,
  Event,
  MessageEvent,
  createTarget,
  define,
  dispatch,
  inherit,
  invoke,
  methods,
  parent,
  setPrototype,
} from './event-target.js';
import { scope } from './scope.js';
import { createSession } from './session.js';
import { find, illegal, setState, stateOf } from './state.js';
import { queueNext } from './tasks.js';

/** @typedef {import('./session.js').Session} Session */

/**
 * Where a URL leads.
 *
 * @typedef {object} Target
 * @property {string} url_ serialized, as `url` shows it
 * @property {string} origin_ of the URL, as events show it
 * @property {string} httpURL_ with its query, to which the requests go
 * @property {unknown} isOurs_ whether it is emulated where there is a native class
 * @property {() => import('./session.js').Carrier} getCarrier_
 * @property {() => void} onplain_ told when a plain native WebSocket was the right one
 */

/**
 * The state of one WebSocket.
 *
 * @typedef {object} State
 * @property {Target} target_
 * @property {number} readyState_
 * @property {string} protocol_
 * @property {string} binaryType_
 * @property {number} lateBytes_ given to send() after the close
 * @property {Record<string, any>} handlers_ by the types of their events
 * @property {import('./event-target.js').Listener[]} listeners_ those of an EventTarget of ours
 * @property {(event: any) => void} listener_ calls the handlers
 * @property {number} [wasOpen_]
 * @property {Session} [session_]
 * @property {any} [plain_] the native WebSocket that took the session's place
 */

var CONNECTING = 0;
var OPEN = 1;
var CLOSING = 2;
var CLOSED = 3;

var Symbol = scope.Symbol || {};

/**
 * @param {string} name
 * @param {any} value that is invalid
 * @returns {any} a DOMException, or an Error of its name
 */
function exception(name, value) {
  try {
    return new scope.DOMException(value, name);
  } catch (_) {
    var error = new Error(value);
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
 * Convert to a DOMString (Web IDL); unlike String() it throws for a symbol.
 *
 * @param {any} value
 * @returns {string}
 */
function toText(value) {
  return ''.concat(value);
}

/**
 * Convert to `(DOMString or sequence<DOMString>)` (Web IDL).
 *
 * @param {any} protocols
 * @returns {string[]}
 */
function toProtocols(protocols) {
  if (protocols === undefined) return [];
  // Read once.
  var iterator = Object(protocols) === protocols ? protocols[Symbol.iterator] : null;
  if (iterator == null) return [].concat(protocols).map(toText);
  /** @type {any} */
  var iterable = {};
  iterable[Symbol.iterator] = function () {
    return invoke(iterator, protocols);
  };
  return scope.Array.from(iterable, toText);
}

/**
 * @param {any} bytes
 * @param {string} binaryType
 * @returns {any} what the page gets
 */
function toData(bytes, binaryType) {
  // They may be a part of a larger buffer.
  var buffer = bytes.buffer && new Bytes(bytes).buffer;
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
 * @param {unknown} isInstalled whether it stands in the place of the engine's, and makes native
 *   sockets for the URLs of others
 * @returns {any}
 */
export function createWebSocketClass(resolve, Native, isInstalled) {
  /** Of the sockets that carry frames, or took a session's place. */
  var Plain = Native;

  /**
   * @param {any} _
   * @param {ArrayLike<any>} parameters
   * @param {any} newTarget
   */
  function construct(_, parameters, newTarget) {
    if (!parameters.length) illegal();
    var url = toText(parameters[0]);
    var protocols = toProtocols(parameters[1]);
    // Steps 1 to 3.
    var target = resolve(url);
    if (!target) throw exception('SyntaxError', url);
    if (Native && !target.isOurs_) {
      var native = new Native(url, protocols);
      return Plain === Native ? native : setPrototype(native, newTarget.prototype);
    }
    // Steps 4 and 5.
    protocols.forEach(function (protocol, index) {
      // A token, RFC 9110 section 5.6.2.
      if (!/^[\w!#-'*+.^`|~-]+$/.test(protocol) || protocols.indexOf(protocol) < index) {
        throw exception('SyntaxError', protocol);
      }
    });
    // Steps 6 to 8.
    return connect(createTarget(newTarget.prototype), target, protocols, Plain);
  }

  /**
   * @this {any}
   * @param {any} url
   */
  var WebSocket = function WebSocket(url) {
    return construct(url, arguments, this.constructor);
  };

  var prototype = inherit(WebSocket, createPrototype());
  Object.defineProperty(WebSocket, 'prototype', { value: prototype, writable: false });
  'CONNECTING OPEN CLOSING CLOSED'.split(' ').forEach(function (name, value) {
    var constant = { value: value, enumerable: true };
    Object.defineProperty(WebSocket, name, constant);
    Object.defineProperty(prototype, name, constant);
  });
  if (scope.Proxy) {
    // A double in a test may have its members in each socket.
    if (Native && 'url' in Native.prototype) {
      Plain = adopt(Native, prototype, isInstalled ? Native.prototype : prototype);
      if (isInstalled) WebSocket = Native;
    }
    // It alone can tell `new` from a call.
    WebSocket = new scope.Proxy(WebSocket, { construct: construct, apply: illegal });
  }
  // The engine's prototype has none before Chromium 50. What is no symbol is put right below.
  Object.defineProperty(WebSocket.prototype, Symbol.toStringTag || 'constructor', {
    value: 'WebSocket',
    configurable: true,
  });
  define(WebSocket.prototype, 'constructor', WebSocket);
  return WebSocket;
}

/**
 * Let a prototype be that of our sockets and of native ones: each member does for one of ours what ours
 * does, and for a native one what the engine's does, whose name, length and source text it has.
 *
 * @param {any} Native
 * @param {any} prototype with our members
 * @param {any} shared the prototype to be; that of `Native`, where there shall be one class for the
 *   page: what it puts into the prototype then reaches every socket
 * @returns {any} makes native sockets with the members that the engine's class had, and no others
 */
function adopt(Native, prototype, shared) {
  // Node looks for its own prototype in the chain.
  var members = Object.create(Native.prototype);
  Object.keys(setPrototype(prototype, Native.prototype)).forEach(function (name) {
    /** @type {any} */
    var ours = Object.getOwnPropertyDescriptor(prototype, name);
    /** @type {any} */
    var theirs =
      Object.getOwnPropertyDescriptor(Native.prototype, name) ||
      Object.getOwnPropertyDescriptor(parent, name) ||
      Object.getOwnPropertyDescriptor(prototype, name);
    Object.defineProperty(members, name, theirs);
    Object.keys(theirs).forEach(function (key) {
      if (typeof theirs[key] !== 'function') return;
      theirs[key] = new scope.Proxy(theirs[key], {
        apply: function (
          /** @type {any} */ member,
          /** @type {any} */ socket,
          /** @type {any} */ parameters
        ) {
          return (find(socket) ? ours[key] : member).apply(socket, parameters);
        },
      });
    });
    Object.defineProperty(shared, name, theirs);
  });
  return function (/** @type {any} */ url, /** @type {any} */ protocols) {
    return setPrototype(new Native(url, protocols), members);
  };
}

/** @returns {any} a prototype, with all members but the constants and the constructor */
function createPrototype() {
  return {
    __proto__: parent,

    get url() {
      return stateOf(this).target_.url_;
    },

    get readyState() {
      // A frame that was removed runs nothing any more.
      return scope.top === null ? CLOSED : stateOf(this).readyState_;
    },

    get bufferedAmount() {
      var state = stateOf(this);
      if (state.plain_) return state.plain_.bufferedAmount;
      var session = /** @type {Session} */ (state.session_);
      session.pass_();
      return state.lateBytes_ + session.connection_.buffered_;
    },

    get onopen() {
      return getHandler(this, 'open');
    },
    set onopen(value) {
      setHandler(this, 'open', value);
    },

    get onerror() {
      return getHandler(this, 'error');
    },
    set onerror(value) {
      setHandler(this, 'error', value);
    },

    get onclose() {
      return getHandler(this, 'close');
    },
    set onclose(value) {
      setHandler(this, 'close', value);
    },

    get extensions() {
      var plain = stateOf(this).plain_;
      return plain ? plain.extensions : '';
    },

    get protocol() {
      return stateOf(this).protocol_;
    },

    get onmessage() {
      return getHandler(this, 'message');
    },
    set onmessage(value) {
      setHandler(this, 'message', value);
    },

    get binaryType() {
      return stateOf(this).binaryType_;
    },
    set binaryType(value) {
      var state = stateOf(this);
      value = toText(value);
      // A value that the enumeration does not have is ignored (Web IDL).
      if (value !== 'blob' && value !== 'arraybuffer') return;
      state.binaryType_ = value;
      if (state.plain_) state.plain_.binaryType = value;
    },

    /**
     * WebSockets Standard, section 3.1. Both arguments are optional: its `length` is 0.
     *
     * @this {any}
     */
    close: function () {
      var state = stateOf(this);
      var code = arguments[0];
      var reason = arguments[1];
      var hasCode = code !== undefined;
      if (hasCode) {
        // [Clamp] unsigned short: a half goes to the even one, as here where numbers have no more digits
        // (beyond 2 ** 52). Step 1 refuses what is out of range.
        code = +code + 5e15 - 5e15;
      }
      reason = wellFormed(reason === undefined ? '' : toText(reason));
      // Step 1.
      if (hasCode && !/^(1000|[34]...)$/.test(code)) {
        throw exception('InvalidAccessError', code);
      }
      // Step 2.
      if (measure(reason, 0, 123).end_ < reason.length) {
        throw exception('SyntaxError', reason);
      }
      // Step 3.
      if (state.readyState_ > OPEN) return undefined;
      state.readyState_ = CLOSING;
      var data = hasCode ? [code, reason] : [];
      return state.plain_
        ? state.plain_.close.apply(state.plain_, data)
        : /** @type {Session} */ (state.session_).close_(data);
    },

    /**
     * WebSockets Standard, section 3.1.
     *
     * @param {any} data
     */
    send: function (data) {
      var state = stateOf(this);
      if (!arguments.length) illegal();
      // Web IDL's conversion to `(BufferSource or Blob or USVString)`.
      var isBlob = /^(Blob|File)$/.test(classOf(data));
      var isView = scope.ArrayBuffer && scope.ArrayBuffer.isView;
      var buffer = (isView ? isView(data) : /.(Array|View)$/.test(classOf(data)))
        ? data.buffer
        : data;
      var isBuffer = /ArrayBuffer$/.test(classOf(buffer));
      if (isBuffer && (classOf(buffer) !== 'ArrayBuffer' || buffer.resizable)) {
        illegal();
      }
      var isBinary = isBlob || isBuffer;
      if (!isBinary) data = wellFormed(toText(data));
      // Step 1.
      if (state.readyState_ === CONNECTING) throw exception('InvalidStateError', 'CONNECTING');
      if (state.plain_) {
        state.plain_.send(data);
        return;
      }
      // Step 2.
      var size = isBinary ? data.byteLength : measure(data, 0, Infinity).size_;
      if (isBlob) size = data.size;
      if (state.readyState_ !== OPEN) {
        state.lateBytes_ += size;
        return;
      }
      var session = /** @type {Session} */ (state.session_);
      if (isBuffer) {
        // Copied: the page may write over its own bytes as soon as this returns. Of a buffer that was
        // transferred there can be no view.
        data = new Bytes(size && new Bytes(buffer, data.byteOffset || 0, size));
      }
      // A Blob keeps its place among the messages, and close() waits for it.
      var type = isBinary ? BINARY : TEXT;
      // First: what only says that it is a Blob throws here, and nothing is queued.
      if (isBlob) {
        readBlob(data, function (/** @type {ArrayBuffer | null} */ bytes) {
          if (!bytes) return session.fail_('Blob', true);
          message.data_ = new Bytes(bytes);
          session.flush_();
        });
      }
      var message = session.connection_.send_(type, isBlob ? null : data, size);
      session.flush_();
    },
  };
}

/**
 * @param {any} socket
 * @param {string} type
 * @returns {any}
 */
function getHandler(socket, type) {
  return stateOf(socket).handlers_[type] || null;
}

/**
 * Set `on…` (HTML, section 8.1.8.1): its place among the listeners is that of the first assignment
 * after null.
 *
 * @param {any} socket
 * @param {string} type
 * @param {any} value anything but an object or a function stands for null
 */
function setHandler(socket, type, value) {
  var state = stateOf(socket);
  var isSet = Object(value) === value;
  state.handlers_[type] = isSet && value;
  // Not the socket's own, which a subclass may have replaced.
  methods[isSet ? 'addEventListener' : 'removeEventListener'].call(socket, type, state.listener_);
}

/**
 * @param {any} blob
 * @param {(bytes?: any) => void} done with nothing where it cannot be read
 */
function readBlob(blob, done) {
  // Node has no FileReader, old engines have nothing else.
  if (blob.arrayBuffer)
    return blob.arrayBuffer().then(done, function () {
      done();
    });
  var reader = new scope.FileReader();
  reader.onloadend = function () {
    done(reader.result);
  };
  reader.readAsArrayBuffer(blob);
}

/**
 * @param {any} socket
 * @param {Target} target
 * @param {string[]} protocols
 * @param {any} Native
 * @returns {any} the socket
 */
function connect(socket, target, protocols, Native) {
  /** @type {State} */
  var state = {
    target_: target,
    readyState_: CONNECTING,
    protocol_: '',
    binaryType_: 'blob',
    lateBytes_: 0,
    handlers_: {},
    listeners_: [],
    listener_: function (event) {
      var handler = state.handlers_[event.type];
      if (typeof handler === 'function' && invoke(handler, socket, event) === false) {
        event.preventDefault();
      }
    },
  };
  setState(socket, state);

  /** @param {string} protocol */
  function opened(protocol) {
    if (state.readyState_ !== CONNECTING) return;
    state.readyState_ = state.wasOpen_ = OPEN;
    state.protocol_ = protocol;
    dispatch(socket, 'open', Event, {});
  }

  /**
   * @param {any} data
   * @param {boolean} [isBinary] whether it is bytes
   */
  function deliver(data, isBinary) {
    if (state.readyState_ !== OPEN) return;
    if (isBinary) data = toData(data, state.binaryType_);
    dispatch(socket, 'message', MessageEvent, { data: data, origin: target.origin_ });
  }

  /**
   * @param {number} code
   * @param {string} reason
   * @param {boolean} wasClean
   * @param {boolean} [isFailed] whether the page failed it; an open one that is lost was not failed
   */
  function closed(code, reason, wasClean, isFailed) {
    function close() {
      var init = { code: code, reason: reason, wasClean: wasClean };
      dispatch(socket, 'close', CloseEvent, init);
    }

    if (state.readyState_ === CLOSED) return;
    // The page closed it while its `open` was on its way, and the server has closed it well.
    if (wasClean && !state.wasOpen_) return closed(1006, '', false);
    state.readyState_ = CLOSED;
    if (!isFailed && state.wasOpen_) return close();
    // They come in one task, with a microtask checkpoint in between.
    queueNext(close);
    dispatch(socket, 'error', Event, {});
  }

  /** @param {import('./session.js').Detail} detail */
  function changed(detail) {
    dispatch(socket, 'emulation:transport', CustomEvent, { detail: detail });
  }

  /**
   * Go on with a plain native WebSocket.
   *
   * @param {boolean} [isNews] whether, if it opens, the next ones shall be plain from the beginning
   */
  function usePlain(isNews) {
    var plain = (state.plain_ = new Native(target.httpURL_.replace('http', 'ws'), protocols));
    plain.binaryType = state.binaryType_;
    plain.onopen = function () {
      if (isNews) target.onplain_();
      opened(plain.protocol);
    };
    plain.onmessage = function (/** @type {MessageEvent} */ event) {
      deliver(event.data);
    };
    plain.onerror = function () {
      // Chromium raises no `close` behind it where the Content Security Policy forbids the socket.
      closed(1006, '', false, true);
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
  return socket;
}
