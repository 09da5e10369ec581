// The built shim in a context of its own, against a server that is just enough: over polling, in
// the JSON form, as the oldest engines have it. Everything else runs in real browsers.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import vm from 'node:vm';
import { toJSON } from '../src/codec.js';

const built = new URL('../../emulation/static/emulation.js', import.meta.url);
const code = readFileSync(built, 'utf8');

/** What came after ECMAScript 5, or was not everywhere even then. */
const NEWER = `
  [['Array', 'from of'], ['Object', 'assign is entries values fromEntries setPrototypeOf'],
   ['Number', 'isInteger isFinite isNaN isSafeInteger parseInt parseFloat'],
   ['Math', 'trunc sign log2 log10 hypot fround clz32 imul cbrt expm1'],
   ['Array.prototype', 'find findIndex findLast fill includes flat flatMap keys values entries at copyWithin'],
   ['String.prototype', 'includes startsWith endsWith repeat padStart padEnd codePointAt normalize at matchAll replaceAll isWellFormed toWellFormed'],
   ['Function.prototype', 'bind'], ['Date.prototype', 'toTemporalInstant'],
  ].forEach(function (entry) {
    var object = eval(entry[0]);
    entry[1].split(' ').forEach(function (name) { delete object[name]; });
  });
  Object.getOwnPropertyNames(this).forEach(function (name) {
    if (/^(Symbol|Promise|Map|Set|Weak.*|Proxy|Reflect|BigInt.*|.*Array|ArrayBuffer|SharedArrayBuffer|DataView|Atomics|globalThis|Intl|Iterator|WebAssembly|FinalizationRegistry|AggregateError)$/.test(name) && name !== 'Array') {
      delete this[name];
    }
  }, this);
`;

const PARAMETERS = {
  ...{ heartbeat: 15, poll: 20, resume: 30, bytes: 1048576, frames: 64 },
  ...{ message: 65536, upload: 65536, transports: ['websocket', 'poll'] },
};

/** A server with one socket's application: it echoes, and answers a close. */
function createServer() {
  const socket = { down: [], acked: 0, taken: 0, requests: [] };
  let parked = null;

  function answer(key, number, frames) {
    const line = toJSON([['head', 1, key, number], ...frames]) + '\n';
    return line + JSON.stringify([['end', line.length]]) + '\n';
  }

  function pushDown() {
    if (!parked || socket.down.length === socket.acked) return;
    const { key, number, respond } = parked;
    parked = null;
    const first = socket.acked + 1;
    const frames = socket.down.slice(socket.acked);
    respond(200, answer(key, number, [['section', 1, socket.taken, first], ...frames]));
  }

  /** Take the sections of a body. */
  function take(frames) {
    let number = 0;
    for (const frame of frames) {
      if (frame[0] === 'section') {
        socket.acked = Math.max(socket.acked, frame[2]);
        number = frame[3];
      } else if (typeof frame === 'string' || frame[0].length === 1) {
        if (number++ !== socket.taken + 1) continue;
        socket.taken++;
        socket.down.push(frame);
      }
    }
  }

  socket.post = (url, body, respond) => {
    const [, verb, key] = /emulation=(\w+)\.([\w-]{22})$/.exec(url);
    const frames = body.trim().split('\n').flatMap(JSON.parse);
    const [, , secret, number] = frames[0];
    socket.requests.push([verb, url, frames]);
    const own = socket.answer?.(verb, url);
    if (own) return respond(own[0], answer(key, number, own[1]));
    if (verb === 'open') {
      if (frames[1][0] === 'cancel') return respond(200, answer(key, number, [['gone', 1]]));
      const protocol = frames[1][3][0] ?? '';
      const decision = url.includes('refuse')
        ? [['refused', 1, 403]]
        : [['opened', 1, protocol, PARAMETERS]];
      respond(200, answer(key, number, [['secret', 's'.repeat(32), 'node'], ...decision]));
      return;
    }
    assert.equal(secret, 's'.repeat(32));
    take(frames);
    if (verb === 'send') {
      respond(
        200,
        answer(key, number, [
          ['written', 0, 0],
          ['section', 1, socket.taken, 0],
        ])
      );
    } else {
      parked = { key, number, respond };
    }
    pushDown();
  };
  return socket;
}

/** Load the shim in a page of http://example.com/app/, whose server this is. */
function createPage(server, { first = '', settings = {}, Native, log, before } = {}) {
  class XMLHttpRequest {
    constructor() {
      this.readyState = 0;
      this.onprogress = null;
    }

    open(method, url) {
      assert.equal(method, 'POST');
      this.url = url;
    }

    setRequestHeader() {}

    getResponseHeader() {
      return null;
    }

    send(body) {
      setImmediate(() =>
        server.post(this.url, body, (status, text) =>
          setImmediate(() => {
            if (this.isAborted) return;
            Object.assign(this, { readyState: 4, status, responseText: text });
            this.onreadystatechange();
          })
        )
      );
    }

    abort() {
      this.isAborted = true;
    }
  }

  const script = { src: 'http://example.com/app/emulation.js', getAttribute: () => null };
  const anchor = () => {
    let href = '';
    return {
      get href() {
        return href;
      },
      set href(value) {
        // As old engines do it, without the URL class.
        href = new URL(value, 'http://example.com/app/page').href;
      },
    };
  };
  const timers = new Set();
  const page = {
    XMLHttpRequest,
    setTimeout: (task, ms) => {
      const timer = setTimeout(task, ms);
      timers.add(timer);
      return timer;
    },
    clearTimeout,
    setInterval: (task, ms) => {
      const timer = setInterval(task, ms);
      timers.add(timer);
      return timer;
    },
    clearInterval,
    console: log ? { log } : console,
    document: { querySelector: () => script, createElement: anchor },
    location: { href: 'http://example.com/app/page' },
    WebSocketEmulation: settings,
    WebSocket: Native,
    leave: () => timers.forEach(clearTimeout),
  };
  page.self = page;
  if (before) before(page);
  vm.createContext(page);
  vm.runInContext(first, page);
  vm.runInContext(code, page);
  return page;
}

/** A native class whose first upgrades fail, so many; then the server is there, if it is ours. */
function createNative(failures) {
  return class Native {
    static failures = failures;
    static urls = [];
    static sent = [];

    constructor(url) {
      const isOurs = /emulation=ws/.test(url);
      Native.urls.push(url);
      Native.last = this;
      setImmediate(() => {
        if (isOurs && Native.failures-- > 0) return this.onclose({ code: 1006 });
        this.onopen({});
        if (!isOurs) return;
        for (const frame of [
          ['secret', 's'.repeat(32), 'node'],
          ['opened', 0, '', PARAMETERS],
        ]) {
          this.onmessage({ data: '\0' + JSON.stringify(frame) });
        }
      });
    }

    send(data) {
      Native.sent.push(data);
    }

    close() {}
  };
}

/** Wait for one event of a target, 5 seconds at most. */
function next(target, type) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${type} came`)), 5000);
    target['on' + type] = (event) => {
      clearTimeout(timer);
      resolve(event);
    };
  });
}

for (const isOld of [false, true]) {
  test(`a socket opens, echoes and closes ${isOld ? 'in an engine of ECMAScript 5' : ''}`, async (t) => {
    const page = createPage(createServer(), { first: isOld ? NEWER : '' });
    t.after(page.leave);
    const socket = new page.WebSocket('/app/chat?room=1', ['chat.v2']);
    assert.equal(socket.url, 'ws://example.com/app/chat?room=1');
    assert.equal(socket.readyState, page.WebSocket.CONNECTING);
    assert.throws(() => socket.send('too early'), { name: 'InvalidStateError' });
    await next(socket, 'open');
    assert.equal(socket.protocol, 'chat.v2');
    assert.equal(socket.readyState, socket.OPEN);
    for (const text of ['hello', '', '\0[1]', 'žluťoučký 😀', '\ud800', 'x'.repeat(40000)]) {
      socket.send(text);
      const event = await next(socket, 'message');
      assert.equal(event.data, text === '\ud800' ? '\ufffd' : text);
      assert.equal(event.target, socket);
    }
    socket.close(4000, 'bye');
    assert.equal(socket.readyState, socket.CLOSING);
    const { code: closeCode, reason, wasClean } = await next(socket, 'close');
    assert.deepEqual([closeCode, reason, wasClean], [4000, 'bye', true]);
    assert.equal(socket.readyState, socket.CLOSED);
    socket.send('late');
    assert.equal(socket.bufferedAmount, 4);
  });
}

test('no timer runs in a zone, which would never be stable', async (t) => {
  let count = 0;
  const before = (page) => {
    page.__zone_symbol__setTimeout = page.setTimeout;
    page.setTimeout = () => count++;
  };
  const page = createPage(createServer(), { before });
  t.after(page.leave);
  const socket = new page.WebSocket('/app/chat');
  await next(socket, 'open');
  socket.send('a');
  await next(socket, 'message');
  assert.equal(count, 0);
});

/** @returns what notes in `waits` for how long a page sets its timers, and gives it tasks without any */
function noting(waits) {
  return (page) => {
    const { setTimeout } = page;
    page.setTimeout = (task, ms) => waits.push(ms) && setTimeout(task, ms);
    page.setImmediate = setImmediate;
  };
}

test('a native socket that is lost is tried again without a timer', async (t) => {
  const waits = [];
  const Native = createNative(0);
  const settings = { transports: ['websocket'] };
  const page = createPage(createServer(), { Native, settings, before: noting(waits) });
  t.after(page.leave);
  await next(new page.WebSocket('/app/chat'), 'open');
  Native.last.onclose({ code: 1006 });
  const isAgain = () => Native.urls.length === 2;
  for (let turns = 0; turns < 10 && !isAgain(); turns++) await new Promise(setImmediate);
  assert.ok(isAgain());
  assert.ok(!waits.includes(0), `timers of ${waits}`);
});

test('no timer of no seconds is waited for, which takes a second or a minute in a hidden page', async (t) => {
  const waits = [];
  const page = createPage(createServer(), { before: noting(waits) });
  t.after(page.leave);
  const socket = new page.WebSocket('/app/chat');
  await next(socket, 'open');
  socket.send('a');
  await next(socket, 'message');
  assert.ok(!waits.includes(0), `timers of ${waits}`);
});

test('a clock that jumps when a page replaces it ends no socket', async (t) => {
  const before = (page) => (page.performance = { now: () => performance.now() });
  const page = createPage(createServer(), { before });
  t.after(page.leave);
  const socket = new page.WebSocket('/app/chat');
  await next(socket, 'open');
  page.performance.now = () => performance.now() + 3600_000;
  socket.onclose = () => assert.fail('it was closed');
  // The shim looks once a second what has become of its requests.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  socket.send('a');
  assert.equal((await next(socket, 'message')).data, 'a');
});

test('arrays may have a toJSON of the page, as Prototype.js before 1.7 gives them', async (t) => {
  const first = "Array.prototype.toJSON = function () { return 'an array'; };";
  const page = createPage(createServer(), { first });
  t.after(page.leave);
  const socket = new page.WebSocket('/app/chat', ['chat.v2']);
  await next(socket, 'open');
  assert.equal(socket.protocol, 'chat.v2');
  socket.send('a');
  assert.equal((await next(socket, 'message')).data, 'a');
  socket.close(4000, 'bye');
  assert.equal((await next(socket, 'close')).reason, 'bye');
});

test('the requests of a carrier go to the path, without the query of its first socket', async (t) => {
  const server = createServer();
  const page = createPage(server);
  t.after(page.leave);
  const socket = new page.WebSocket('ws://example.com/app/chat?token=1');
  await next(socket, 'open');
  socket.send('a');
  await next(socket, 'message');
  const urls = server.requests.map(([verb, url]) => [verb, url.replace(/emulation=.*/, '')]);
  assert.deepEqual(urls[0], ['open', 'http://example.com/app/chat?token=1&']);
  assert.ok(urls.length > 2);
  for (const [, url] of urls.slice(1)) assert.equal(url, 'http://example.com/app/chat?');
});

test('what is sent in one task goes in one upload', async (t) => {
  const server = createServer();
  const page = createPage(server);
  t.after(page.leave);
  const socket = new page.WebSocket('ws://example.com/app/chat');
  await next(socket, 'open');
  for (let i = 0; i < 50; i++) socket.send('m' + i);
  assert.equal(socket.bufferedAmount, 190 - 50);
  await next(socket, 'message');
  const uploads = server.requests.filter(([verb]) => verb === 'send');
  assert.equal(uploads[0][2].filter((frame) => typeof frame === 'string').length, 50);
});

test('an upload of which nothing was taken is repeated after a pause', async (t) => {
  const server = createServer();
  const page = createPage(server);
  t.after(page.leave);
  const socket = new page.WebSocket('/app/chat');
  await next(socket, 'open');
  const times = [];
  server.answer = (verb) => verb === 'send' && times.push(performance.now()) < 4 && [200, []];
  socket.send('a');
  assert.equal((await next(socket, 'message')).data, 'a');
  assert.ok(times.length >= 4);
  // A timer may be early by a millisecond.
  for (const i of [1, 2, 3]) assert.ok(times[i] - times[i - 1] > 190);
});

test('a Blob that cannot be read fails the connection', async (t) => {
  const page = createPage(createServer());
  t.after(page.leave);
  const socket = new page.WebSocket('/app/chat');
  await next(socket, 'open');
  const events = [];
  socket.onerror = () => events.push('error');
  socket.send({
    [Symbol.toStringTag]: 'Blob',
    size: 3,
    arrayBuffer: () => Promise.reject(new Error('it has gone')),
  });
  socket.send('behind it');
  const { code: closeCode, wasClean } = await next(socket, 'close');
  assert.deepEqual([events, closeCode, wasClean], [['error'], 1006, false]);
});

test('a refusal is an error and a close', async (t) => {
  const page = createPage(createServer());
  t.after(page.leave);
  const socket = new page.WebSocket('ws://example.com/app/refuse');
  const events = [];
  socket.onerror = () => events.push('error');
  const { code: closeCode, wasClean } = await next(socket, 'close');
  assert.deepEqual([events, closeCode, wasClean], [['error'], 1006, false]);
});

test('a 404 that speaks of one socket ends that one alone', async (t) => {
  const server = createServer();
  const page = createPage(server);
  t.after(page.leave);
  const socket = new page.WebSocket('/app/chat');
  await next(socket, 'open');
  const gone = [
    ['error', 404, 'this nonce is spent'],
    ['gone', 2],
  ];
  server.answer = (verb, url) => url.includes('spent') && [404, gone];
  const { code: closeCode } = await next(new page.WebSocket('/app/chat?spent'), 'close');
  assert.equal(closeCode, 1006);
  socket.onclose = () => assert.fail('it closed');
  socket.send('still here');
  assert.equal((await next(socket, 'message')).data, 'still here');
});

test('a socket that is closed at once was never there', async (t) => {
  const page = createPage(createServer());
  t.after(page.leave);
  const socket = new page.WebSocket('ws://example.com/app/chat');
  socket.onopen = () => assert.fail('it opened');
  socket.close();
  assert.equal(socket.readyState, 2);
  assert.equal((await next(socket, 'close')).code, 1006);
});

test('the constructor and close() throw what they should', async (t) => {
  const page = createPage(createServer());
  t.after(page.leave);
  const { WebSocket } = page;
  const syntax = { name: 'SyntaxError' };
  assert.throws(() => WebSocket('ws://example.com/'), { name: 'TypeError' });
  assert.throws(() => new WebSocket(), { name: 'TypeError' });
  for (const url of ['ftp://example.com/', 'ws://example.com/#here', 'ws://example.com/#']) {
    assert.throws(() => new WebSocket(url), syntax, url);
  }
  for (const protocols of ['', 'a b', ['a', 'a'], ['ü']]) {
    assert.throws(() => new WebSocket('/app/chat', protocols), syntax);
  }
  const socket = new WebSocket('/app/chat');
  for (const closeCode of [0, 999, 1001, 1005, 2999, 5000, 'x']) {
    assert.throws(() => socket.close(closeCode), { name: 'InvalidAccessError' });
  }
  assert.throws(() => socket.close(1000, 'ü'.repeat(62)), syntax);
  assert.equal(socket.readyState, 0);
  socket.close(1000, 'ü'.repeat(61));
});

test('the interface is where pages look for it', (t) => {
  const page = createPage(createServer(), { before: (page) => delete page.WebSocket });
  t.after(page.leave);
  const { WebSocket } = page;
  ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'].forEach((name, value) => {
    assert.equal(WebSocket[name], value);
    assert.equal(WebSocket.prototype[name], value);
  });
  const socket = new WebSocket('/app/chat');
  assert.ok(socket instanceof WebSocket);
  assert.equal(socket.extensions, '');
  assert.equal(socket.binaryType, 'blob');
  socket.binaryType = 'nonsense';
  assert.equal(socket.binaryType, 'blob');
  socket.binaryType = 'arraybuffer';
  assert.equal(socket.binaryType, 'arraybuffer');
  socket.onmessage = 'nonsense';
  assert.equal(socket.onmessage, null);
  assert.throws(() => WebSocket.prototype.readyState, { name: 'TypeError' });
  assert.ok(!Object.keys(page).includes('WebSocket'));
  assert.match(page.WebSocketEmulation.version, /^\d+\.\d+\.\d+/);
  socket.close();
});

test('listeners are called in their order, once each, and not after their removal', async (t) => {
  const page = createPage(createServer(), { first: NEWER });
  t.after(page.leave);
  const socket = new page.WebSocket('/app/chat');
  const calls = [];
  const removed = () => calls.push('removed');
  const first = () => calls.push('first');
  socket.addEventListener('open', first);
  socket.addEventListener('open', removed);
  socket.addEventListener('open', { handleEvent: (event) => calls.push(event.type) });
  socket.removeEventListener('open', removed);
  await next(socket, 'open');
  assert.deepEqual(calls, ['first', 'open']);
});

test('a listener of old engines may be there once', async (t) => {
  const page = createPage(createServer(), { first: NEWER });
  t.after(page.leave);
  const calls = [];
  const socket = new page.WebSocket('/app/chat');
  socket.addEventListener('custom', () => calls.push('once'), { once: true });
  socket.addEventListener('custom', () => calls.push('always'));
  for (const type of ['custom', 'custom']) assert.equal(socket.dispatchEvent({ type }), true);
  assert.deepEqual(calls, ['once', 'always', 'always']);
  socket.close();
});

test('a function that listens is called itself, whatever it has, in old engines', async (t) => {
  const page = createPage(createServer(), { first: NEWER });
  t.after(page.leave);
  const socket = new page.WebSocket('/app/chat');
  const calls = [];
  for (const name of ['call', 'apply', 'handleEvent']) {
    const create = (what) =>
      Object.assign((event) => calls.push(what + event.type), { [name]: () => calls.push(name) });
    socket.addEventListener('message', create('listener of '));
    socket.onmessage = create('handler of ');
    socket.dispatchEvent({ type: 'message' });
    assert.deepEqual(calls.sort(), [
      'handler of message',
      ...Array(calls.length - 1).fill('listener of message'),
    ]);
    calls.length = 0;
  }
  assert.throws(() => page.WebSocket.prototype.addEventListener.call({}, 'open', () => {}), {
    name: 'TypeError',
  });
  socket.close();
});

for (const isOld of [false, true]) {
  test(`the members stand in the order of the standard ${isOld ? 'in old engines' : ''}`, (t) => {
    const page = createPage(createServer(), { first: isOld ? NEWER : '' });
    t.after(page.leave);
    const { prototype } = page.WebSocket;
    const members = `url readyState bufferedAmount onopen onerror onclose extensions protocol onmessage
      binaryType close send`;
    assert.deepEqual(Object.keys(prototype).slice(0, 12), members.split(/\s+/));
    for (const [name, length] of Object.entries({ close: 0, send: 1 })) {
      const { value, ...flags } = Object.getOwnPropertyDescriptor(prototype, name);
      assert.deepEqual(flags, { writable: true, enumerable: true, configurable: true });
      assert.equal(value.length, length);
      assert.throws(() => new value(1000), { name: 'TypeError' });
      if (!isOld) assert.equal(value.name, name);
    }
  });
}

test('URLs of others, and above the path of the script, go to the native class', (t) => {
  class Native {
    constructor(...args) {
      this.args = args;
    }

    get url() {
      return `native ${this.args[0]}`;
    }
  }
  // A double as tests have them.
  class Double {
    constructor(...args) {
      this.args = args;
      this.url = `native ${args[0]}`;
    }
  }
  for (const engine of [Native, Double]) {
    const page = createPage(createServer(), {
      Native: engine,
      settings: { transports: 'poll', origins: ['wss://listed.example=https://other.example'] },
    });
    t.after(page.leave);
    const { WebSocket, WebSocketEmulation } = page;
    assert.equal(WebSocketEmulation.native, engine);
    for (const url of [
      'ws://elsewhere.example/',
      'ws://example.com/',
      'ws://example.com/application',
    ]) {
      const socket = new WebSocket(url, 'chat');
      assert.equal(socket.url, `native ${url}`);
      assert.deepEqual(socket.args.flat(), [url, 'chat']);
      assert.equal(socket instanceof WebSocket, engine === Native, url);
    }
    for (const url of [
      'ws://example.com/app',
      'ws://example.com/app/x',
      'wss://listed.example/y',
    ]) {
      const socket = new WebSocket(url);
      assert.ok(socket instanceof WebSocket && socket.url === url, url);
      socket.close();
    }
  }
});

test('a native class that looks for its prototype in its sockets, as in Node 22, carries ours', async (t) => {
  const Native = createNative(0);
  for (const name of ['url', 'binaryType', 'onopen', 'onmessage', 'onerror', 'onclose']) {
    const values = new WeakMap();
    const check = (socket) => assert.ok(socket instanceof Native, name);
    Object.defineProperty(Native.prototype, name, {
      configurable: true,
      get() {
        check(this);
        return values.get(this);
      },
      set(value) {
        check(this);
        values.set(this, value);
      },
    });
  }
  const page = createPage(createServer(), { Native, settings: { transports: 'websocket' } });
  t.after(page.leave);
  const socket = new page.WebSocket('/app/chat');
  await next(socket, 'open');
  assert.ok(socket instanceof Native);
});

test('the origin that stands for another gets the requests, and the page does not see it', async (t) => {
  const server = createServer();
  const page = createPage(server, {
    settings: { origins: { 'ws://a.example': 'http://b.example' } },
  });
  t.after(page.leave);
  const socket = new page.WebSocket('ws://a.example/chat');
  assert.equal(socket.url, 'ws://a.example/chat');
  await next(socket, 'open');
  assert.match(server.requests[0][1], /^http:\/\/b\.example\/chat\?/);
  socket.send('x');
  assert.equal((await next(socket, 'message')).origin, 'ws://a.example');
});

test('what the page puts into every object is no origin', async (t) => {
  const server = createServer();
  const first = `
    Object.prototype.each = function () {};
    WebSocketEmulation = { origins: { 'ws://a.example': 'http://b.example' } };
  `;
  const page = createPage(server, { first });
  t.after(page.leave);
  await next(new page.WebSocket('ws://a.example/chat'), 'open');
  assert.match(server.requests[0][1], /^http:\/\/b\.example\/chat\?/);
});

test('neither the origin of a message nor the console has a user and a password', async (t) => {
  const lines = [];
  const log = (line) => lines.push(line);
  const page = createPage(createServer(), { settings: { debug: true }, log });
  t.after(page.leave);
  const socket = new page.WebSocket('ws://user:secret@example.com/app/chat');
  assert.equal(socket.url, 'ws://user:secret@example.com/app/chat');
  await next(socket, 'open');
  socket.send('x');
  assert.equal((await next(socket, 'message')).origin, 'ws://example.com');
  assert.match(lines.join(), /^emulation: http:\/\/example\.com\/app\/chat: poll, opened;/);
});

test('the console shows no query, not even in a sentence of the engine', async (t) => {
  const lines = [];
  const log = (line) => lines.push(line);
  const settings = { debug: true, transports: ['websocket', 'poll'] };
  class Native {
    constructor(url) {
      throw new Error(`Refused to connect to '${url}': no.`);
    }
  }
  const page = createPage(createServer(), { settings, log, Native });
  t.after(page.leave);
  await next(new page.WebSocket('/app/chat?token=secret'), 'open');
  const said = `no websocket: Refused to connect to 'ws://example.com/app/chat': no.`;
  assert.ok(lines[0].includes(said), lines[0]);
});

test('what goes natively is in parts that an upload could carry', async (t) => {
  const Native = createNative(0);
  const page = createPage(createServer(), { Native, settings: { transports: 'websocket' } });
  t.after(page.leave);
  const socket = new page.WebSocket('/app/chat');
  await next(socket, 'open');
  socket.send('x'.repeat(100000));
  const pieces = Native.sent.filter((data) => data[0] === 'x');
  assert.equal(pieces.join('').length, 100000);
  assert.ok(pieces.every((data) => data.length <= 16384));
});

test('loaded twice it is one', (t) => {
  const page = createPage(createServer());
  t.after(page.leave);
  const { WebSocket } = page;
  vm.runInContext(code, page);
  assert.equal(page.WebSocket, WebSocket);
});
