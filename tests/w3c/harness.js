/**
 * A small harness: cases run one after another, each with a time of its own, and what failed is
 * told by name.
 */
'use strict';

const CASE_TIME = 8000;

const cases = [];
/** Those of the present case. */
let sockets = [];
let base = '';

/** Add a case; its body may be asynchronous. */
function test(name, body) {
  cases.push({ name, body });
}

/** Add a case that no worker can run. */
function testInDocument(name, body) {
  if (self.document) test(name, body);
}

/** Add one case for each value; the name says which. */
function testEach(name, values, body) {
  for (const value of values) test(`${name}: ${show(value)}`, () => body(value));
}

function show(value) {
  try {
    return typeof value === 'string' ? JSON.stringify(value) : String(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}

function check(condition, what) {
  if (!condition) throw new Error(what);
}

function equal(actual, expected, what = 'value') {
  check(Object.is(actual, expected), `${what} is ${show(actual)}, not ${show(expected)}`);
}

/** Compare what JSON can tell. */
function same(actual, expected, what = 'value') {
  equal(JSON.stringify(actual), JSON.stringify(expected), what);
}

function thrownBy(action) {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

/** Check that an exception is the TypeError of this realm. */
function throwsTypeError(action) {
  const error = thrownBy(action);
  equal(Object.getPrototypeOf(error), TypeError.prototype, `the prototype of ${show(error)}`);
}

const CODES = {
  InvalidStateError: 11,
  SyntaxError: 12,
  InvalidAccessError: 15,
};

/** Check that an exception is a DOMException of the name, with the code of old. */
function throwsDOMException(name, action) {
  const error = thrownBy(action);
  check(error instanceof DOMException, `${show(error)} is no DOMException`);
  equal(error.name, name, 'the name');
  equal(error.code, CODES[name], 'the code');
}

/** Make a socket that ends with its case. */
function create(...args) {
  const socket = new WebSocket(...args);
  sockets.push(socket);
  return socket;
}

/** Resolve with the next event of a type. */
function next(target, type) {
  return new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));
}

async function open(...args) {
  const socket = create(...args);
  socket.binaryType = 'arraybuffer';
  await Promise.race([
    next(socket, 'open'),
    next(socket, 'close').then((event) => {
      throw new Error(`closed by ${event.code} instead of opened`);
    }),
  ]);
  return socket;
}

/** Send something to /echo, and resolve with the data that come back. */
async function echo(socket, data) {
  const message = next(socket, 'message');
  socket.send(data);
  return (await message).data;
}

/** Close a socket, and resolve with its close event. */
function close(socket, ...args) {
  const closed = next(socket, 'close');
  socket.close(...args);
  return closed;
}

/** Note all events of a socket, by their types. */
function record(socket) {
  const types = [];
  for (const type of ['open', 'message', 'error', 'close']) {
    socket.addEventListener(type, () => types.push(type));
  }
  return types;
}

function task() {
  return new Promise((resolve) => setTimeout(resolve));
}

/** Resolve with the exceptions that reach the window while `action` goes on. */
async function uncaught(action) {
  const found = [];
  const note = (event) => {
    event.preventDefault();
    found.push(event.error);
  };
  const { onerror } = self;
  self.onerror = null;
  self.addEventListener('error', note);
  try {
    await action();
    await task();
  } finally {
    self.removeEventListener('error', note);
    self.onerror = onerror;
  }
  return found;
}

async function runCase({ name, body }) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('it took too long')), CASE_TIME);
  });
  try {
    await Promise.race([Promise.resolve().then(body), late]);
    return null;
  } catch (error) {
    return { name, message: error.message };
  } finally {
    clearTimeout(timer);
    for (const socket of sockets) socket.close();
    sockets = [];
  }
}

/** Run all cases in the page that tests/engines has prepared. */
async function runScenario(environment) {
  base = environment.base;
  const failures = [];
  for (const one of cases) {
    const failure = await runCase(one);
    if (failure) failures.push(failure);
  }
  environment.report({
    run: environment.run,
    agent: navigator.userAgent,
    failures,
    lines: environment.lines,
  });
}
