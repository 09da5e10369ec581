import { scope } from './scope.js';
import { queueTask } from './tasks.js';

/** @typedef {{type_: string, callback_: any, isOnce_: boolean}} Listener */

var Base = scope.EventTarget;
var Event = scope.Event || Object;

/** From which the prototype of an interface inherits. */
export var parent = (Base || Object).prototype;

/**
 * Whether the engine's own EventTarget can be a part of our objects; it then brings everything,
 * from `signal` to the path of an event. Else there is a small one of ours.
 */
var isNative = (function () {
  try {
    return new Base();
  } catch (error) {
    return false;
  }
})();

/**
 * The methods of an EventTarget (DOM, section 2.7), as engines know them that cannot construct one.
 *
 * @type {Record<string, any>}
 */
export var methods = isNative
  ? Base.prototype
  : {
      /**
       * @this {any}
       * @param {string} type
       * @param {any} callback
       * @param {any} [options]
       */
      addEventListener: function (type, callback, options) {
        var isOnce = Object(options).once;
        if (!callback || this.listeners_.some(isListener(type, callback))) return;
        this.listeners_.push({ type_: type, callback_: callback, isOnce_: isOnce });
      },

      /**
       * @this {any}
       * @param {string} type
       * @param {any} callback
       */
      removeEventListener: function (type, callback) {
        var is = isListener(type, callback);
        this.listeners_ = this.listeners_.filter(function (/** @type {Listener} */ listener) {
          return !is(listener);
        });
      },

      /**
       * @this {any}
       * @param {any} event
       */
      dispatchEvent: function (event) {
        var target = this;
        define(event, 'target', target);
        define(event, 'currentTarget', target);
        target.listeners_.forEach(function (/** @type {Listener} */ listener) {
          var callback = listener.callback_;
          // Another one may have removed it.
          if (listener.type_ !== event.type || target.listeners_.indexOf(listener) < 0) return;
          if (listener.isOnce_) methods.removeEventListener.call(target, event.type, callback);
          try {
            if (callback.handleEvent) callback.handleEvent(event);
            else callback.call(target, event);
          } catch (error) {
            // It reaches the engine, and keeps nobody else from the event.
            queueTask(function () {
              throw error;
            });
          }
        });
        return !event.defaultPrevented;
      },
    };

/**
 * @param {string} type
 * @param {any} callback
 * @returns {(listener: Listener) => boolean}
 */
function isListener(type, callback) {
  return function (listener) {
    return listener.type_ === type && listener.callback_ === callback;
  };
}

/**
 * Define a plain property; what stands in the prototype may have no setter.
 *
 * @param {any} object
 * @param {any} name
 * @param {any} value
 */
export function define(object, name, value) {
  Object.defineProperty(object, name, { value: value, configurable: true, writable: true });
}

/**
 * @param {any} constructor made to inherit from EventTarget, by which Node knows its objects
 * @param {any} prototype made to have the methods of an EventTarget
 * @returns {any} the prototype
 */
export function inherit(constructor, prototype) {
  if (isNative) scope.Object.setPrototypeOf(constructor, Base);
  else for (var name in methods) define(prototype, name, methods[name]);
  return prototype;
}

/**
 * Make an object an event target.
 *
 * @param {any} object
 * @returns {any} the target, of the same prototype
 */
export function createTarget(object) {
  if (!isNative) {
    Object.defineProperties(object, { listeners_: { value: [], writable: true } });
    return object;
  }
  return scope.Object.setPrototypeOf(new Base(), Object.getPrototypeOf(object));
}

/**
 * @param {any} target
 * @param {string} type
 * @param {string} name of the event's interface; where the engine has none, what stands in `init`
 *   is there all the same
 * @param {Record<string, any>} init
 */
export function dispatch(target, type, name, init) {
  var Interface = scope[name] || Event;
  /** @type {any} */
  var event = isNative ? new Interface(type, init) : Object.create(Interface.prototype);
  if (!isNative) init.type = type;
  // Who can construct an EventTarget has this interface: to look costs more than to dispatch.
  for (var key in isNative && type === 'message' ? {} : init) {
    if (!isNative || event[key] === undefined) define(event, key, init[key]);
  }
  methods.dispatchEvent.call(target, event);
}
