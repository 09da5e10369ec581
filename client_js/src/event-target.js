import { scope } from './scope.js';
import { stateOf } from './state.js';
import { queueTask } from './tasks.js';

/** @typedef {{type_: string, callback_: any, isOnce_: boolean}} Listener */

var Base = scope.EventTarget;
// Taken when this is loaded: a page may put others in their places.
export var Event = scope.Event || Object;
export var MessageEvent = scope.MessageEvent || Event;
export var CloseEvent = scope.CloseEvent || Event;
export var CustomEvent = scope.CustomEvent || Event;

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
 * The methods of an EventTarget (DOM, section 2.7): those that the engine had when this was loaded, for a
 * page may put others in their places; else as engines know them that cannot construct one.
 *
 * @type {Record<string, any>}
 */
export var methods = isNative
  ? scope.Object.assign({}, Base.prototype)
  : {
      /**
       * @this {any}
       * @param {string} type
       * @param {any} callback
       * @param {any} [options]
       */
      addEventListener: function (type, callback, options) {
        var isOnce = Object(options).once;
        var state = stateOf(this);
        if (!callback || !state.listeners_.every(isOther(type, callback))) return;
        state.listeners_.push({ type_: type, callback_: callback, isOnce_: isOnce });
      },

      /**
       * @this {any}
       * @param {string} type
       * @param {any} callback
       */
      removeEventListener: function (type, callback) {
        var state = stateOf(this);
        state.listeners_ = state.listeners_.filter(isOther(type, callback));
      },

      /**
       * @this {any}
       * @param {any} event
       */
      dispatchEvent: function (event) {
        var target = this;
        var state = stateOf(target);
        define(event, 'target', target);
        define(event, 'currentTarget', target);
        state.listeners_.forEach(function (listener) {
          var callback = listener.callback_;
          // Another one may have removed it.
          if (listener.type_ !== event.type || state.listeners_.indexOf(listener) < 0) return;
          if (listener.isOnce_) methods.removeEventListener.call(target, event.type, callback);
          try {
            if (typeof callback === 'function') invoke(callback, target, event);
            else callback.handleEvent(event);
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
function isOther(type, callback) {
  return function (listener) {
    return listener.type_ !== type || listener.callback_ !== callback;
  };
}

/**
 * Call a function of the page, which may have a `call` of its own.
 *
 * @param {any} callback
 * @param {any} target its `this`
 * @param {any} [event]
 * @returns {any}
 */
export function invoke(callback, target, event) {
  return Object.call.call(callback, target, event);
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
  if (isNative) setPrototype(constructor, Base);
  else for (var name in methods) prototype[name] = methods[name];
  return prototype;
}

/** An engine of ES5 may have none. */
export var setPrototype = scope.Object.setPrototypeOf;

/**
 * Make an event target.
 *
 * @param {any} prototype
 * @returns {any}
 */
export function createTarget(prototype) {
  return isNative ? setPrototype(new Base(), prototype) : Object.create(prototype);
}

/**
 * @param {any} target
 * @param {string} type
 * @param {any} Interface of the event, or what the engine has in its place: what stands in `init` is
 *   there all the same
 * @param {Record<string, any>} init
 */
export function dispatch(target, type, Interface, init) {
  /** @type {any} */
  var event = isNative ? new Interface(type, init) : Object.create(Interface.prototype);
  init.type = type;
  // Who can construct an EventTarget has this interface: to look costs more than to dispatch.
  for (var key in isNative && type === 'message' ? {} : init) {
    if (!isNative || event[key] === undefined) define(event, key, init[key]);
  }
  methods.dispatchEvent.call(target, event);
}
