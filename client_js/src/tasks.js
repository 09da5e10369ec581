import { scope } from './scope.js';

// Not that of a zone (zone.js): with a timer that ticks for ever it would never be stable.
var start = scope.__zone_symbol__setTimeout || scope.setTimeout;
var stop = scope.clearTimeout;

/** @type {(() => void)[]} */
var tasks = [];

// Not in Node, which it would keep from ending.
var channel = !scope.setImmediate && scope.MessageChannel && new scope.MessageChannel();
if (channel) {
  channel.port1.onmessage = run;
  // The engine makes a microtask checkpoint between two listeners.
  channel.port1.addEventListener('message', function () {
    if (isNext) run();
  });
}

/** @type {boolean | undefined} Whether the first of the tasks belongs to the one that runs. */
var isNext;

function run() {
  isNext = false;
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
  post();
}

/**
 * Run a function behind a microtask checkpoint, in the same task where that can be.
 *
 * @param {() => void} task
 */
export function queueNext(task) {
  isNext = true;
  tasks.unshift(task);
  post();
}

/** Ask for a task in which the first one runs. */
function post() {
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

/**
 * Run a function in a task of its own. In a hidden page a timer of no seconds takes one, and later a
 * minute.
 *
 * @param {any} seconds to wait before, if any
 * @param {() => void} task
 */
export function afterOrNow(seconds, task) {
  if (seconds) after(seconds, task);
  else queueTask(task);
}

/** A clock that should not be set back, where there is one. */
export var clock = Object(scope.performance).now ? scope.performance : Date;

// A page may put another in its place.
var read = clock.now;

/** @returns {number} seconds */
export function now() {
  return read.call(clock) / 1000;
}
