/** WebSockets Standard, section 3.1: close(); section 4: the close event. */
'use strict';

/** What the application was told of a socket's end. */
async function disconnectOf(token) {
  for (;;) {
    const all = await (await fetch('/disconnects')).json();
    const found = all.find(({ query }) => query === token);
    if (found) return [found.code, found.reason || ''];
    await task();
  }
}

/** What comes when the connection ends without a close frame. */
const LOST = ['close'];

function draw() {
  return Math.random().toString(36).slice(2);
}

function told({ code, reason, wasClean }) {
  return [code, reason, wasClean];
}

for (const [args, expected] of [
  [[], [1005, '']],
  [[undefined], [1005, '']],
  [
    [undefined, undefined],
    [1005, ''],
  ],
  [
    [undefined, ''],
    [1005, ''],
  ],
  [[1000], [1000, '']],
  [
    [1000, undefined],
    [1000, ''],
  ],
  [
    [1000, 'reason'],
    [1000, 'reason'],
  ],
  [
    [1000, null],
    [1000, 'null'],
  ],
  [
    [1000, ''],
    [1000, ''],
  ],
  [
    [1000, 1.5],
    [1000, '1.5'],
  ],
  [[3000], [3000, '']],
  [
    [3000, 'reason'],
    [3000, 'reason'],
  ],
  [
    [4999, 'ü€\u{1f600}'],
    [4999, 'ü€\u{1f600}'],
  ],
  [
    [3000, '\ud83d'],
    [3000, '\ufffd'],
  ],
  [
    [3000, 'x'.repeat(123)],
    [3000, 'x'.repeat(123)],
  ],
  [
    [3000, 'ü'.repeat(61)],
    [3000, 'ü'.repeat(61)],
  ],
  [['3000'], [3000, '']],
  [[' 1000 '], [1000, '']],
  [[[3000]], [3000, '']],
  [[new Number(3001)], [3001, '']],
  [[{ valueOf: () => 3002 }], [3002, '']],
  [[999.5], [1000, '']],
  [[1000.5], [1000, '']],
  [[1000.4], [1000, '']],
  [[2999.5], [3000, '']],
  [[3000.5], [3000, '']],
  [[3001.5], [3002, '']],
]) {
  test(`close(${args.map(show).join(', ').slice(0, 50)})`, async () => {
    const token = draw();
    const socket = await open(`/echo?${token}`);
    const event = close(socket, ...args);
    equal(socket.readyState, WebSocket.CLOSING);
    same(told(await event), [...expected, true]);
    equal(socket.readyState, WebSocket.CLOSED);
    same(await disconnectOf(token), expected);
  });
}

/** Codes that are refused, in every state. */
const REFUSED = [
  ...[0, 1, 500, 999, 1001, 1002, 1004, 1005, 1006, 1015, 2000, 2999, 5000, 65535, 65536],
  ...[66536, 68536, -1, -64536, 1000.6, 2999.4, 4999.5, NaN, Infinity, -Infinity],
  ...[null, false, true, '', 'text', '1000px', {}, [], [1000, 1]],
];

test('close(): codes that are refused', async () => {
  const connecting = create('/echo');
  const socket = await open('/echo');
  const closed = await open('/echo');
  await close(closed);
  for (const one of [connecting, socket, closed]) {
    const { readyState } = one;
    for (const code of REFUSED) {
      try {
        throwsDOMException('InvalidAccessError', () => one.close(code));
        throwsDOMException('InvalidAccessError', () => one.close(code, 'x'.repeat(200)));
      } catch (error) {
        throw new Error(`${show(code)}: ${error.message}`);
      }
    }
    check(one.readyState === readyState || readyState === 0, 'it closes');
  }
  equal(await echo(socket, 'x'), 'x');
});

testEach(
  'close(): a reason that is too long',
  ['x'.repeat(124), 'ü'.repeat(62), '€'.repeat(42)],
  async (reason) => {
    const socket = create('/echo');
    throwsDOMException('SyntaxError', () => socket.close(1000, reason));
    throwsDOMException('SyntaxError', () => socket.close(4999, reason));
    await next(socket, 'open');
    throwsDOMException('SyntaxError', () => socket.close(1000, reason));
    equal(socket.readyState, 1);
    await close(socket);
    throwsDOMException('SyntaxError', () => socket.close(1000, reason));
  }
);

test('close(): what cannot be converted', () => {
  const socket = create('/echo');
  throwsTypeError(() => socket.close(Symbol('x')));
  throwsTypeError(() => socket.close(1000n));
  throwsTypeError(() => socket.close(1000, Symbol('x')));
  const calls = [];
  const code = { valueOf: () => calls.push('code') };
  const reason = { toString: () => String(calls.push('reason')) };
  throwsDOMException('InvalidAccessError', () => socket.close(code, reason));
  same(calls, ['code', 'reason']);
  equal(socket.readyState, 0);
});

test('close() returns nothing', async () => {
  const socket = await open('/echo');
  equal(socket.close(), undefined);
  equal(socket.close(), undefined);
});

test('a reason that is too long, without a code', () => {
  const socket = create('/echo');
  throwsDOMException('SyntaxError', () => socket.close(undefined, 'x'.repeat(124)));
});

test('a reason without a code', async () => {
  const { code, wasClean } = await close(await open('/echo'), undefined, 'reason');
  // The standard says 1000, and the engines leave the frame empty.
  check(code === 1000 || code === 1005, `the code is ${code}`);
  equal(wasClean, true);
});

test('close() while connecting', async () => {
  const socket = create('/echo');
  const types = record(socket);
  equal(socket.close(3000, 'never heard'), undefined);
  equal(socket.readyState, WebSocket.CLOSING);
  same(types, [], 'events at once');
  await undefined;
  same(types, [], 'events in a microtask');
  equal(socket.readyState, WebSocket.CLOSING);
  same(told(await next(socket, 'close')), [1006, '', false]);
  same(types, ['error', 'close']);
  equal(socket.readyState, WebSocket.CLOSED);
  equal(socket.protocol, '');
});

test('close() while connecting, twice', async () => {
  const socket = create('/echo');
  const types = record(socket);
  socket.close();
  socket.close(1000);
  equal(socket.readyState, WebSocket.CLOSING);
  await next(socket, 'close');
  await task();
  same(types, ['error', 'close']);
});

test('send() after close() while connecting', async () => {
  const socket = create('/echo');
  socket.close();
  socket.send('abc');
  equal(socket.bufferedAmount, 3);
  await next(socket, 'close');
  equal(socket.bufferedAmount, 3);
});

test('close() while connecting to a server that does not answer', async () => {
  const socket = create('/never');
  setTimeout(() => socket.close(), 50);
  same(told(await next(socket, 'close')), [1006, '', false]);
});

test('the close event is not dispatched at once', async () => {
  const socket = await open('/echo');
  const types = record(socket);
  const closed = close(socket);
  same(types, []);
  await undefined;
  same(types, []);
  equal(socket.readyState, WebSocket.CLOSING);
  await closed;
});

test('the first close() counts', async () => {
  const socket = await open('/echo');
  const closed = close(socket, 3000, 'first');
  socket.close(3001, 'second');
  same(told(await closed), [3000, 'first', true]);
  socket.close(3002);
  equal(socket.readyState, WebSocket.CLOSED);
});

test('close() in the handlers of events', async () => {
  const socket = create('/echo');
  const types = record(socket);
  socket.onopen = () => socket.close(3000);
  socket.onclose = () => socket.close(3001);
  equal((await next(socket, 'close')).code, 3000);
  await task();
  same(types, ['open', 'close']);
});

test('close() in the handler of a message', async () => {
  const socket = await open('/echo');
  const types = record(socket);
  socket.onmessage = () => socket.close(3000);
  for (const text of ['1', '2', '3']) socket.send(text);
  equal((await next(socket, 'close')).code, 3000);
  same(types, ['message', 'close']);
});

test('what comes after close() is dropped', async () => {
  const socket = await open('/echo');
  const types = record(socket);
  for (let i = 0; i < 10; i++) socket.send('x');
  same(told(await close(socket, 1000)), [1000, '', true]);
  same(types, ['close']);
});

test('what was sent before close() is heard', async () => {
  const token = draw();
  const socket = await open('/tell');
  for (let i = 0; i < 100; i++) socket.send(`${token} ${i}`);
  same(told(await close(socket, 1000)), [1000, '', true]);
  equal(await (await fetch(`/told/${token} 99`)).json(), true);
});

for (const [query, expected] of [
  ['', [1000, '']],
  ['?code=1001', [1001, '']],
  ['?code=1011&reason=internal', [1011, 'internal']],
  ['?code=3000&reason=ü€', [3000, 'ü€']],
  ['?code=4999', [4999, '']],
]) {
  test(`the server closes: ${query}`, async () => {
    const socket = create(`/close${query}`);
    const types = record(socket);
    same(told(await next(socket, 'close')), [...expected, true]);
    equal(socket.readyState, WebSocket.CLOSED);
    same(types, ['open', 'close']);
  });
}

test('the server closes behind its messages', async () => {
  const socket = create('/burst?n=50');
  const seen = [];
  socket.onmessage = ({ data, target }) => seen.push(data, target.readyState);
  same(told(await next(socket, 'close')), [4000, 'that was all', true]);
  equal(seen.length, 100);
  equal(seen[98], '50');
});

test('close() behind the close of the server', async () => {
  const socket = create('/close?code=4000');
  await next(socket, 'close');
  equal(socket.close(3000), undefined);
  const types = record(socket);
  await task();
  same(types, []);
});

test('the connection is lost', async () => {
  const socket = await open('/leave');
  const types = record(socket);
  socket.send('go');
  same(told(await next(socket, 'close')), [1006, '', false]);
  same(types, LOST);
  equal(socket.readyState, WebSocket.CLOSED);
  const before = socket.bufferedAmount;
  socket.send('abc');
  equal(socket.bufferedAmount, before + 3);
});

test('the attributes of a socket that is closed', async () => {
  const socket = await open('/echo', 'chat.v2');
  const { url, extensions } = socket;
  await close(socket);
  equal(socket.url, url);
  equal(socket.protocol, 'chat.v2');
  equal(socket.extensions, extensions);
  equal(socket.binaryType, 'arraybuffer');
});

test('what is closed before it is open fails, whatever was on its way', async () => {
  for (let count = 0; count < 8; count++) {
    const socket = create('/first?close=4001');
    let isFailed = false;
    socket.onerror = () => (isFailed = true);
    const end = next(socket, 'close');
    const late = performance.now() + count;
    while (performance.now() < late) await task();
    if (socket.readyState === 0) socket.close();
    same(told(await end), isFailed ? [1006, '', false] : [4001, '', true]);
  }
});
