import { scope } from './scope.js';
import { queueTask } from './tasks.js';

/** @typedef {{type_: string, callback_: any, isCapture_: boolean, isOnce_: boolean}} Listener */

var Base = scope.EventTarget;

/**
 * Whether the engine's own EventTarget can be a part of our objects; it then brings everything,
 * from `signal` to the path of an event. Else there is a small one of ours.
 */
var isNative = (function () {
  try {
    return scope.Reflect.construct(Base, [], Object);
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
        var listener = toListener(type, callback, options);
        if (callback && this.listeners_.every(isOther(listener))) this.listeners_.push(listener);
      },

      /**
       * @this {any}
       * @param {string} type
       * @param {any} callback
       * @param {any} [options]
       */
      removeEventListener: function (type, callback, options) {
        remove(this, toListener(type, callback, options));
      },

      /**
       * @this {any}
       * @param {any} event
       */
      dispatchEvent: function (event) {
        var target = this;
        var isStopped = false;
        define(event, 'target', target);
        define(event, 'currentTarget', target);
        define(event, 'stopImmediatePropagation', function () {
          isStopped = true;
        });
        target.listeners_.forEach(function (/** @type {Listener} */ listener) {
          var isThere = target.listeners_.indexOf(listener) >= 0;
          if (isStopped || !isThere || listener.type_ !== event.type) return;
          if (listener.isOnce_) remove(target, listener);
          var callback = listener.callback_;
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
 * @param {any} options
 * @returns {Listener}
 */
function toListener(type, callback, options) {
  var isObject = options && options !== true;
  return {
    type_: type,
    callback_: callback,
    isCapture_: !!(isObject ? options.capture : options),
    isOnce_: isObject && options.once,
  };
}

/**
 * @param {Listener} a
 * @returns {(b: Listener) => boolean}
 */
function isOther(a) {
  return function (b) {
    return a.type_ !== b.type_ || a.callback_ !== b.callback_ || a.isCapture_ !== b.isCapture_;
  };
}

/**
 * @param {any} target
 * @param {Listener} listener
 */
function remove(target, listener) {
  target.listeners_ = target.listeners_.filter(isOther(listener));
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
 * @returns {any} its prototype, with the methods of an EventTarget
 */
export function createPrototype(constructor) {
  var prototype = Object.create(Base ? Base.prototype : Object.prototype);
  if (isNative) scope.Object.setPrototypeOf(constructor, Base);
  else for (var name in methods) define(prototype, name, methods[name]);
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
  var target = scope.Reflect.construct(Base, [], constructor);
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
  methods.dispatchEvent.call(target, event);
}
