import { scope } from './scope.js';

/**
 * Whether the engine's own EventTarget can be a part of our objects; it then brings everything,
 * from `signal` to the path of an event. Else there is a small one of ours.
 */
var isNative = (function () {
  try {
    return scope.Reflect.construct(scope.EventTarget, [], Object);
  } catch (error) {
    return false;
  }
})();

/**
 * The methods of an EventTarget, as engines without a constructor for it know them.
 *
 * @type {Record<string, any>}
 */
var methods = {
  /**
   * @this {any}
   * @param {string} type
   * @param {any} listener
   */
  addEventListener: function (type, listener) {
    this.removeEventListener(type, listener);
    if (listener) this.listeners_.push([type, listener]);
  },

  /**
   * @this {any}
   * @param {string} type
   * @param {any} listener
   */
  removeEventListener: function (type, listener) {
    this.listeners_ = this.listeners_.filter(function (/** @type {any[]} */ entry) {
      return entry[0] !== type || entry[1] !== listener;
    });
  },

  /**
   * @this {any}
   * @param {any} event
   */
  dispatchEvent: function (event) {
    var target = this;
    define(event, 'target', target);
    target.listeners_.forEach(function (/** @type {any[]} */ entry) {
      var listener = entry[1];
      if (entry[0] !== event.type) return;
      if (listener.handleEvent) listener.handleEvent(event);
      else listener.call(target, event);
    });
  },
};

/**
 * Define a plain property; what stands in the prototype may have no setter.
 *
 * @param {any} object
 * @param {string} name
 * @param {any} value
 */
export function define(object, name, value) {
  Object.defineProperty(object, name, { value: value, configurable: true, writable: true });
}

/**
 * @param {any} constructor made to inherit from EventTarget, by which Node knows its objects
 * @returns {any} its prototype, with the methods of an EventTarget
 */
export function createPrototype(constructor) {
  var Base = scope.EventTarget;
  if (isNative) scope.Object.setPrototypeOf(constructor, Base);
  var prototype = Object.create(Base ? Base.prototype : Object.prototype);
  for (var name in methods) {
    if (!isNative) define(prototype, name, methods[name]);
  }
  return prototype;
}

/**
 * Make an object an event target.
 *
 * @param {any} object
 * @param {any} constructor
 * @returns {any} the target, of the same prototype
 */
export function createTarget(object, constructor) {
  if (!isNative) {
    Object.defineProperties(object, { listeners_: { value: [], writable: true } });
    return object;
  }
  var target = scope.Reflect.construct(scope.EventTarget, [], constructor);
  // A subclass has a prototype of its own.
  return scope.Object.setPrototypeOf(target, Object.getPrototypeOf(object));
}

/**
 * @param {any} target
 * @param {string} type
 * @param {string} name of the event's interface; where the engine has none, what stands in `init`
 *   is there all the same
 * @param {Record<string, any>} init
 */
export function dispatch(target, type, name, init) {
  var Interface = scope[name];
  var isThere = typeof Interface === 'function';
  /** @type {any} */
  var event;
  if (isNative) {
    event = isThere ? new Interface(type, init) : new scope.Event(type);
  } else {
    event = Object.create((Interface || scope.Event || Object).prototype);
    init.type = type;
  }
  for (var key in init) {
    if (!isNative || event[key] === undefined) define(event, key, init[key]);
  }
  target.dispatchEvent(event);
}

/**
 * Define an attribute of an interface.
 *
 * @param {any} prototype
 * @param {string} name
 * @param {(this: any) => any} get
 * @param {(this: any, value: any) => void} [set]
 */
export function defineAttribute(prototype, name, get, set) {
  Object.defineProperty(prototype, name, {
    enumerable: true,
    configurable: true,
    get: get,
    set: set,
  });
}

/**
 * Define `on…` (HTML, section 8.1.8.1): a listener whose place is that of the first assignment.
 *
 * @param {any} prototype
 * @param {string} type
 * @param {(target: any) => Record<string, any>} handlersOf throws for a target that is not ours
 */
export function defineHandler(prototype, type, handlersOf) {
  /** @this {any} */
  function get() {
    var entry = handlersOf(this)[type];
    return entry ? entry.value_ : null;
  }

  /**
   * @this {any}
   * @param {any} value
   */
  function set(value) {
    var handlers = handlersOf(this);
    var entry = handlers[type];
    // Anything but an object or a function stands for null.
    if (Object(value) !== value) {
      if (entry) this.removeEventListener(type, entry.listener_);
      delete handlers[type];
      return;
    }
    if (!entry) {
      /** @this {any} */
      var listener = function (/** @type {any} */ event) {
        if (typeof entry.value_ === 'function') entry.value_.call(this, event);
      };
      entry = handlers[type] = { listener_: listener };
      this.addEventListener(type, listener);
    }
    entry.value_ = value;
  }

  defineAttribute(prototype, 'on' + type, get, set);
}
