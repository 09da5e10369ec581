import { scope } from './scope.js';

// Not that of a zone (zone.js): with a timer that ticks for ever it would never be stable.
var start = scope.__zone_symbol__setTimeout || scope.setTimeout;
var stop = scope.clearTimeout;

/** @type {(() => void)[]} */
var tasks = [];

// Not in Node, which it would keep from ending.
var channel = !scope.setImmediate && scope.MessageChannel && new scope.MessageChannel();
if (channel) channel.port1.onmessage = run;

function run() {
  var task = tasks.shift();
  // An exception reaches the engine, as from any task; the next one has a task of its own.
  if (task) task();
}

/**
 * Run a function in a task of its own, after those that were given before. Timers are the last
 * resort: a thousand chained ones take seconds.
 *
 * @param {() => void} task
 */
export function queueTask(task) {
  tasks.push(task);
  if (channel) channel.port2.postMessage(0);
  // IE 10 has that, too.
  else (scope.setImmediate || start)(run, 0);
}

/**
 * Run a function in the task that an event has to itself, behind those that wait.
 *
 * @param {() => void} task
 */
export function runTask(task) {
  if (tasks.length) queueTask(task);
  else task();
}

/**
 * @param {number} seconds
 * @param {() => void} task
 * @returns {() => void} cancels
 */
export function after(seconds, task) {
  var timer = start(task, seconds * 1000);
  return function () {
    stop(timer);
  };
}

/** A clock that should not be set back, where there is one. */
export var clock = scope.performance && scope.performance.now ? scope.performance : Date;

/** @returns {number} seconds */
export function now() {
  return clock.now() / 1000;
}
