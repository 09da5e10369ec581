import { scope } from './scope.js';

/**
 * Whether the engine's own EventTarget can be a part of our objects; it then brings everything,
 * from `signal` to the path of an event. Else there is a small one of ours.
 */
var isNative = (function () {
  try {
    return !!(scope.Reflect.construct && new scope.EventTarget() && new scope.Event('x'));
  } catch (error) {
    return false;
  }
})();

/**
 * The methods of an EventTarget, as far as engines without a constructor for it know them.
 */
var methods = {
  /**
   * @this {any}
   * @param {string} type
   * @param {any} listener
   * @param {any} [options]
   */
  addEventListener: function (type, listener, options) {
    var isKnown = this._listeners.some(function (/** @type {any} */ entry) {
      return entry.type_ === type && entry.listener_ === listener;
    });
    var isOnce = options && options.once;
    if (listener && !isKnown) {
      this._listeners.push({ type_: type, listener_: listener, isOnce_: isOnce });
    }
  },

  /**
   * @this {any}
   * @param {string} type
   * @param {any} listener
   */
  removeEventListener: function (type, listener) {
    this._listeners = this._listeners.filter(function (/** @type {any} */ entry) {
      return entry.type_ !== type || entry.listener_ !== listener;
    });
  },

  /**
   * @this {any}
   * @param {any} event
   * @returns {boolean}
   */
  dispatchEvent: function (event) {
    var target = this;
    define(event, 'target', target);
    define(event, 'currentTarget', target);
    target._listeners.forEach(function (/** @type {any} */ entry) {
      if (entry.type_ !== event.type || target._listeners.indexOf(entry) < 0) return;
      var listener = entry.listener_;
      if (entry.isOnce_) target.removeEventListener(entry.type_, listener);
      try {
        if (listener.handleEvent) listener.handleEvent(event);
        else listener.call(target, event);
      } catch (error) {
        // Reported as any exception in a listener, and no reason to stop.
        setTimeout(function () {
          throw error;
        }, 0);
      }
    });
    return true;
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

/** @returns {any} a prototype with the methods of an EventTarget */
export function createPrototype() {
  var Base = scope.EventTarget;
  var prototype = Object.create(Base ? Base.prototype : Object.prototype);
  for (var name in methods) {
    if (!isNative) define(prototype, name, /** @type {any} */ (methods)[name]);
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
    define(object, '_listeners', []);
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
 * Define `on…` (HTML, section 8.1.8.1): a listener whose place is that of the first assignment.
 *
 * @param {any} prototype
 * @param {string} type
 * @param {(target: any) => Record<string, any>} handlersOf throws for a target that is not ours
 */
export function defineHandler(prototype, type, handlersOf) {
  Object.defineProperty(prototype, 'on' + type, {
    enumerable: true,
    configurable: true,
    /** @this {any} */
    get: function () {
      var entry = handlersOf(this)[type];
      return entry ? entry.value : null;
    },
    /**
     * @this {any}
     * @param {any} value
     */
    set: function (value) {
      var handlers = handlersOf(this);
      var entry = handlers[type];
      var isObject = (typeof value === 'object' && value) || typeof value === 'function';
      if (!isObject) {
        if (entry) this.removeEventListener(type, entry.listener);
        delete handlers[type];
      } else if (entry) {
        entry.value = value;
      } else {
        entry = handlers[type] = {
          value: value,
          /** @this {any} */
          listener: function (/** @type {any} */ event) {
            if (typeof entry.value === 'function') entry.value.call(this, event);
          },
        };
        this.addEventListener(type, entry.listener);
      }
    },
  });
}
