/** What Web IDL makes of the interface: objects, properties, functions, brands. */
'use strict';

const CONSTANTS = ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'];
const READONLY = ['url', 'readyState', 'bufferedAmount', 'extensions', 'protocol'];
const HANDLERS = ['onopen', 'onerror', 'onclose', 'onmessage'];
const WRITABLE = ['binaryType', ...HANDLERS];
const OPERATIONS = { close: 0, send: 1 };
const ALIENS = [undefined, null, 1, {}, new EventTarget()];

function descriptorOf(object, name) {
  const found = Object.getOwnPropertyDescriptor(object, name);
  check(found, `there is no ${String(name)}`);
  return found;
}

function hasFlags(descriptor, writable, enumerable, configurable) {
  same(
    [descriptor.writable, descriptor.enumerable, descriptor.configurable],
    [writable, enumerable, configurable],
    'writable, enumerable, configurable'
  );
}

function hasSignature(found, name, length) {
  equal(typeof found, 'function', 'the type');
  equal(found.name, name, 'the name');
  equal(found.length, length, 'the length');
  hasFlags(descriptorOf(found, 'name'), false, false, true);
  hasFlags(descriptorOf(found, 'length'), false, false, true);
}

test('the interface object is a property of the global object', () => {
  hasFlags(descriptorOf(self, 'WebSocket'), true, false, true);
});

test('the interface object is a function of one argument', () => {
  hasSignature(WebSocket, 'WebSocket', 1);
});

test('the interface object inherits from EventTarget', () => {
  equal(Object.getPrototypeOf(WebSocket), EventTarget);
});

test('the prototype of the interface object is constant', () => {
  hasFlags(descriptorOf(WebSocket, 'prototype'), false, false, false);
});

test('the prototype inherits from that of EventTarget', () => {
  equal(Object.getPrototypeOf(WebSocket.prototype), EventTarget.prototype);
});

test('the prototype has the constructor', () => {
  const descriptor = descriptorOf(WebSocket.prototype, 'constructor');
  equal(descriptor.value, WebSocket);
  hasFlags(descriptor, true, false, true);
});

test('the prototype has the tag', () => {
  const descriptor = descriptorOf(WebSocket.prototype, Symbol.toStringTag);
  equal(descriptor.value, 'WebSocket');
  hasFlags(descriptor, false, false, true);
});

test('Object.prototype.toString tells the interface', () => {
  const tagOf = (value) => Object.prototype.toString.call(value);
  equal(tagOf(WebSocket.prototype), '[object WebSocket]');
  equal(tagOf(create('/echo')), '[object WebSocket]');
  equal(String(create('/echo')), '[object WebSocket]');
});

test('the prototype has the members of the interface and no others', () => {
  const names = [...CONSTANTS, ...READONLY, ...WRITABLE, ...Object.keys(OPERATIONS)];
  same(Object.keys(WebSocket.prototype).sort(), [...names].sort());
  const all = [...names, 'constructor', Symbol.toStringTag].map(String).sort();
  same(Reflect.ownKeys(WebSocket.prototype).map(String).sort(), all);
});

test('functions show no source', () => {
  const functions = Reflect.ownKeys(WebSocket.prototype)
    .map((name) => Object.values(descriptorOf(WebSocket.prototype, name)))
    .flat()
    .filter((value) => typeof value === 'function');
  equal(functions.length, 1 + READONLY.length + 2 * WRITABLE.length + 2);
  for (const one of functions) {
    check(/^function.*\[native code\]/s.test(Function.prototype.toString.call(one)), one.name);
  }
});

test('what can be enumerated of the interface object are the constants', () => {
  same(Object.keys(WebSocket), CONSTANTS);
  same(Object.getOwnPropertySymbols(WebSocket), []);
});

testEach('a constant', CONSTANTS, (name) => {
  for (const object of [WebSocket, WebSocket.prototype]) {
    const descriptor = descriptorOf(object, name);
    equal(descriptor.value, CONSTANTS.indexOf(name));
    hasFlags(descriptor, false, true, false);
    equal(delete { __proto__: object }[name], true);
    throwsTypeError(() => (object[name] = 7));
    throwsTypeError(() => delete object[name]);
  }
  equal(create('/echo')[name], CONSTANTS.indexOf(name));
});

testEach('an attribute', [...READONLY, ...WRITABLE], (name) => {
  const { get, set, enumerable, configurable } = descriptorOf(WebSocket.prototype, name);
  same([enumerable, configurable], [true, true], 'enumerable, configurable');
  hasSignature(get, `get ${name}`, 0);
  if (WRITABLE.includes(name)) hasSignature(set, `set ${name}`, 1);
  else equal(set, undefined);
});

testEach('a read-only attribute cannot be set', READONLY, (name) => {
  const socket = create('/echo');
  const before = socket[name];
  throwsTypeError(() => (socket[name] = 'other'));
  equal(Reflect.set(socket, name, 'other'), false);
  equal(socket[name], before);
  equal(delete socket[name], true);
  equal(socket[name], before);
});

testEach('an operation', Object.keys(OPERATIONS), (name) => {
  const descriptor = descriptorOf(WebSocket.prototype, name);
  hasFlags(descriptor, true, true, true);
  hasSignature(descriptor.value, name, OPERATIONS[name]);
});

testEach('an operation is no constructor', Object.keys(OPERATIONS), (name) => {
  const socket = create('/echo');
  equal('prototype' in socket[name], false);
  throwsTypeError(() => new socket[name](1000));
  throwsTypeError(() => Reflect.construct(Object, [], socket[name]));
  throwsTypeError(() => class extends socket[name] {});
});

testEach('an operation is of the prototype', Object.keys(OPERATIONS), (name) => {
  const socket = create('/echo');
  const original = socket[name];
  equal(delete socket[name], true);
  equal(socket[name], original);
  socket[name] = 5;
  equal(socket[name], 5);
  delete socket[name];
  equal(socket[name], original);
});

testEach('the getter of another object throws', [...READONLY, ...WRITABLE], (name) => {
  const { get } = descriptorOf(WebSocket.prototype, name);
  for (const alien of ALIENS) throwsTypeError(() => get.call(alien));
  throwsTypeError(() => WebSocket.prototype[name]);
});

testEach('the setter of another object throws', WRITABLE, (name) => {
  const { set } = descriptorOf(WebSocket.prototype, name);
  for (const alien of ALIENS) throwsTypeError(() => set.call(alien, null));
  throwsTypeError(() => (WebSocket.prototype[name] = null));
});

testEach('an operation of another object throws', Object.keys(OPERATIONS), (name) => {
  const operation = WebSocket.prototype[name];
  for (const alien of [...ALIENS, WebSocket.prototype]) {
    throwsTypeError(() => operation.call(alien, 1000));
  }
});

test('what inherits from a socket is none, nor is a proxy of one', () => {
  const socket = create('/echo');
  throwsTypeError(() => Object.create(socket).readyState);
  throwsTypeError(() => new Proxy(socket, {}).readyState);
  throwsTypeError(() => Object.create(WebSocket.prototype).readyState);
});

test('a socket has no property of its own', () => {
  const socket = create('/echo');
  same(Reflect.ownKeys(socket).map(String), []);
  socket.onopen = () => {};
  socket.addEventListener('open', () => {});
  same(Reflect.ownKeys(socket).map(String), []);
});

test('all members can be enumerated on a socket', () => {
  const names = [];
  for (const name in create('/echo')) names.push(name);
  for (const name of [...CONSTANTS, ...READONLY, ...WRITABLE, 'send', 'close', 'dispatchEvent']) {
    check(names.includes(name), `there is no ${name} among ${names}`);
  }
});

test('a socket is a WebSocket and an EventTarget', () => {
  const socket = create('/echo');
  check(socket instanceof WebSocket, 'it is no WebSocket');
  check(socket instanceof EventTarget, 'it is no EventTarget');
  equal(Object.getPrototypeOf(socket), WebSocket.prototype);
  equal(socket.constructor, WebSocket);
  check(!({} instanceof WebSocket), '{} is a WebSocket');
});

test('a socket cannot be cloned', () => {
  equal(thrownBy(() => structuredClone(create('/echo'))).name, 'DataCloneError');
});

test('a socket may have properties of its own and may be frozen', async () => {
  const socket = create('/echo');
  socket.note = 'mine';
  socket.onopen = () => {};
  Object.freeze(socket);
  await next(socket, 'open');
  equal(socket.readyState, 1);
  socket.onmessage = () => {};
  equal(await echo(socket, 'x'), 'x');
});

test('a subclass', async () => {
  class Chat extends WebSocket {
    #greeting = 'hello';

    constructor(path) {
      super(path, 'chat.v2');
      this.heard = [];
    }

    greet() {
      this.send(this.#greeting);
    }

    get url() {
      return `chat of ${super.url}`;
    }

    addEventListener() {
      throw new Error('a handler needs no such method');
    }

    dispatchEvent() {
      throw new Error('an event needs no such method');
    }
  }
  const chat = new Chat('/echo');
  sockets.push(chat);
  check(chat instanceof Chat && chat instanceof WebSocket, 'the classes');
  equal(chat.constructor, Chat);
  equal(Object.getPrototypeOf(chat), Chat.prototype);
  equal(chat.url, `chat of ${base}/echo`);
  equal(Chat.OPEN, 1);
  same(Object.keys(chat), ['heard']);
  await new Promise((resolve) => (chat.onopen = resolve));
  equal(chat.protocol, 'chat.v2');
  chat.greet();
  equal((await new Promise((resolve) => (chat.onmessage = resolve))).data, 'hello');
});

test('a subclass keeps its members for URLs of others', async () => {
  class Distant extends WebSocket {
    distance() {
      return 'far';
    }
  }
  const distant = new Distant('ws://localhost:2/');
  sockets.push(distant);
  equal(distant.distance(), 'far');
  check(distant instanceof Distant && distant instanceof WebSocket, 'the classes');
  equal(distant.url, 'ws://localhost:2/');
  equal(distant.readyState, 0);
  equal((await next(distant, 'close')).code, 1006);
});

test('Reflect.construct', () => {
  class Other extends WebSocket {}
  const socket = Reflect.construct(WebSocket, [`${base}/echo`], Other);
  sockets.push(socket);
  equal(Object.getPrototypeOf(socket), Other.prototype);
  equal(socket.url, `${base}/echo`);
});

testEach('any prototype', ['/echo', 'ws://localhost:2/'], (url) => {
  const socket = Reflect.construct(WebSocket, [url], Array);
  equal(Object.getPrototypeOf(socket), Array.prototype);
  equal(descriptorOf(WebSocket.prototype, 'url').get.call(socket), new URL(url, base).href);
  WebSocket.prototype.close.call(socket);
});

test('a socket of another URL is of the same class', () => {
  const socket = new WebSocket('ws://localhost:2/');
  sockets.push(socket);
  equal(Object.getPrototypeOf(socket), WebSocket.prototype);
  equal(socket.constructor, WebSocket);
  same(Reflect.ownKeys(socket).map(String), []);
});

test('the interface object is no constructor by itself', () => {
  throwsTypeError(() => WebSocket(`${base}/echo`));
  throwsTypeError(() => WebSocket.call(undefined, `${base}/echo`));
  throwsTypeError(() => WebSocket.call({}, `${base}/echo`));
  throwsTypeError(() => WebSocket.call(create('/echo'), `${base}/echo`));
});

test('a Proxy of the class has its instances', () => {
  const Observed = new Proxy(WebSocket, {});
  for (const url of [`${base}/echo`, 'ws://localhost:2/']) {
    const socket = new Observed(url);
    sockets.push(socket);
    check(socket instanceof Observed && socket instanceof WebSocket, url);
  }
});
