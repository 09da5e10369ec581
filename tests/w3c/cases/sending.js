/** WebSockets Standard, section 3.1: send(), binaryType and bufferedAmount. */
'use strict';

function bytesOf(data) {
  check(data instanceof ArrayBuffer, `${show(data)} is no ArrayBuffer`);
  return [...new Uint8Array(data)];
}

function everyByte() {
  return Uint8Array.from({ length: 256 }, (_, value) => value);
}

const TYPED_ARRAYS = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
];

test('an argument is required', async () => {
  throwsTypeError(() => create('/echo').send());
  const socket = await open('/echo');
  throwsTypeError(() => socket.send());
});

test('nothing is sent while connecting', () => {
  const socket = create('/echo');
  for (const data of ['x', '', new ArrayBuffer(1), new Uint8Array(1), new Blob(['x']), null]) {
    throwsDOMException('InvalidStateError', () => socket.send(data));
  }
  equal(socket.bufferedAmount, 0);
});

test('what cannot be converted throws that first', () => {
  throwsTypeError(() => create('/echo').send(Symbol('x')));
  class Refusal extends Error {}
  const data = {
    toString() {
      throw new Refusal();
    },
  };
  check(thrownBy(() => create('/echo').send(data)) instanceof Refusal, 'the exception');
});

test('send returns nothing', async () => {
  const socket = await open('/echo');
  equal(socket.send('x'), undefined);
  equal(socket.send(new Blob(['x'])), undefined);
});

for (const [what, given, expected] of [
  ['a text', 'hello', 'hello'],
  ['the empty text', '', ''],
  ['U+0000', '\0', '\0'],
  ['U+0000 and what follows', '\0[1]', '\0[1]'],
  ['line ends', '\r\n\n\r\u2028\u2029', '\r\n\n\r\u2028\u2029'],
  ['characters of every length', 'aé€\u{1f600}\u{10ffff}', 'aé€\u{1f600}\u{10ffff}'],
  ['a byte order mark', '\ufeffx', '\ufeffx'],
  ['noncharacters', '\ufffe\uffff\ufdd0', '\ufffe\uffff\ufdd0'],
  ['a lone high surrogate', 'a\ud800b', 'a\ufffdb'],
  ['a lone low surrogate', 'a\udc00b', 'a\ufffdb'],
  ['surrogates in the wrong order', '\udc00\ud800', '\ufffd\ufffd'],
  ['two high surrogates and a low one', '\ud83d\ud83d\ude00', '\ufffd\u{1f600}'],
  ['a high surrogate at the end', 'a\ud83d', 'a\ufffd'],
  ['JSON', '["c",1000]', '["c",1000]'],
  ['null', null, 'null'],
  ['undefined', undefined, 'undefined'],
  ['a number', 1.5, '1.5'],
  ['minus zero', -0, '0'],
  ['a bigint', 12n, '12'],
  ['a boolean', false, 'false'],
  ['an object', {}, '[object Object]'],
  ['an object with toString and valueOf', { toString: () => 's', valueOf: () => 'v' }, 's'],
  ['an array', [1, [2, 3]], '1,2,3'],
  ['a String object', new String('object'), 'object'],
  ['a function', Object.assign(() => {}, { toString: () => 'f' }), 'f'],
  ['an object with a buffer', { buffer: new ArrayBuffer(2) }, '[object Object]'],
  ['an object that says it is bytes', { [Symbol.toStringTag]: 'X' }, '[object X]'],
]) {
  test(`send: ${what}`, async () => {
    equal(await echo(await open('/echo'), given), expected);
  });
}

testEach(
  'a text at the border of a length of a frame',
  [125, 126, 127, 65535, 65536, 65537],
  async (length) => {
    const text = 'x'.repeat(length);
    const socket = await open('/echo');
    check((await echo(socket, text)) === text, 'it is another text');
    check((await echo(socket, new TextEncoder().encode(text))).byteLength === length, 'the bytes');
  }
);

test('1 MiB of text and of bytes', async () => {
  const socket = await open('/echo');
  const text = 'aé€\u{1f600}'.repeat(100000);
  check((await echo(socket, text)) === text, 'it is another text');
  const bytes = new Uint8Array(1 << 20).map((_, index) => index % 251);
  const back = new Uint8Array(await echo(socket, bytes));
  check(
    back.length === bytes.length && back.every((byte, index) => byte === index % 251),
    'they are other bytes'
  );
});

test('an ArrayBuffer', async () => {
  same(bytesOf(await echo(await open('/echo'), everyByte().buffer)), [...everyByte()]);
});

test('an empty ArrayBuffer, an empty view, an empty Blob', async () => {
  const socket = await open('/echo');
  for (const empty of [
    new ArrayBuffer(0),
    new Uint8Array(0),
    new Blob([]),
    new DataView(new ArrayBuffer(3), 3),
  ]) {
    same(bytesOf(await echo(socket, empty)), []);
  }
});

testEach(
  'a view of a part',
  TYPED_ARRAYS.map((Class) => Class.name),
  async (name) => {
    const Class = TYPED_ARRAYS.find((one) => one.name === name);
    const { buffer } = everyByte();
    const socket = await open('/echo');
    const unit = Class.BYTES_PER_ELEMENT || 1;
    same(bytesOf(await echo(socket, new Class(buffer, 16, 4))), [
      ...everyByte().slice(16, 16 + 4 * unit),
    ]);
    same(bytesOf(await echo(socket, new Class(buffer, 240))), [...everyByte().slice(240)]);
  }
);

testInDocument('bytes of another realm', async () => {
  const frame = document.createElement('iframe');
  document.body.append(frame);
  const other = frame.contentWindow;
  const socket = await open('/echo');
  same(bytesOf(await echo(socket, new other.Uint8Array([1, 2]))), [1, 2]);
  same(bytesOf(await echo(socket, new other.Uint8Array([3]).buffer)), [3]);
  same(bytesOf(await echo(socket, new other.Blob(['a']))), [97]);
  frame.remove();
});

test('a subclass of bytes', async () => {
  class Bytes extends Uint8Array {}
  same(bytesOf(await echo(await open('/echo'), new Bytes([1, 2, 3]))), [1, 2, 3]);
});

test('a buffer that was transferred is empty', async () => {
  const view = new Uint8Array([1, 2]);
  const { buffer } = view;
  structuredClone(buffer, { transfer: [buffer] });
  const socket = await open('/echo');
  same(bytesOf(await echo(socket, buffer)), []);
  same(bytesOf(await echo(socket, view)), []);
});

test('shared bytes', async () => {
  const shared = new WebAssembly.Memory({
    initial: 1,
    maximum: 1,
    shared: true,
  }).buffer;
  const socket = await open('/echo');
  throwsTypeError(() => socket.send(new Uint8Array(shared)));
  throwsTypeError(() => socket.send(shared));
  throwsTypeError(() => create('/echo').send(shared));
});

test('bytes of a buffer that can be resized', async () => {
  const buffer = new ArrayBuffer(4, { maxByteLength: 8 });
  const socket = await open('/echo');
  throwsTypeError(() => socket.send(buffer));
  throwsTypeError(() => socket.send(new Uint8Array(buffer)));
});

test('what the page changes later is not sent', async () => {
  const bytes = new Uint8Array([1, 2, 3]);
  const socket = await open('/echo');
  const message = next(socket, 'message');
  socket.send(bytes);
  bytes.fill(9);
  same(bytesOf((await message).data), [1, 2, 3]);
});

testEach('a Blob', ['Blob', 'File'], async (name) => {
  const socket = await open('/echo');
  const parts = [everyByte(), 'text'];
  const blob = name === 'Blob' ? new Blob(parts, { type: 'text/html' }) : new File(parts, 'name');
  equal((await echo(socket, blob)).byteLength, 260);
  same(bytesOf(await echo(socket, blob.slice(2, 5))), [2, 3, 4]);
});

test('Blobs keep their place among other messages', async () => {
  const socket = await open('/echo');
  const seen = [];
  socket.onmessage = ({ data }) => {
    seen.push(typeof data === 'string' ? data : new TextDecoder().decode(data));
  };
  socket.send('1');
  socket.send(new Blob(['2'.repeat(300000)]));
  socket.send('3');
  socket.send(new Blob(['4']));
  socket.send(new TextEncoder().encode('5'));
  while (seen.length < 5) await task();
  same(
    seen.map((text) => text[0]),
    ['1', '2', '3', '4', '5']
  );
  equal(seen[1].length, 300000);
});

test('close() waits for a Blob', async () => {
  const socket = await open('/tell');
  const token = `blob ${Math.random()}`;
  socket.send(new Blob([token]));
  equal((await close(socket, 1000)).code, 1000);
  equal(await (await fetch(`/told/${encodeURIComponent(token)}`)).json(), true);
});

// --- What comes ----------------------------------------------------------------------------------

test('binaryType', async () => {
  const socket = create('/echo');
  equal(socket.binaryType, 'blob');
  socket.binaryType = 'arraybuffer';
  equal(socket.binaryType, 'arraybuffer');
  for (const value of ['', 'notBlobOrArrayBuffer', 'Blob', ' blob', null, undefined, 0, {}]) {
    socket.binaryType = value;
    equal(socket.binaryType, 'arraybuffer', `after ${show(value)}`);
  }
  socket.binaryType = { toString: () => 'blob' };
  equal(socket.binaryType, 'blob');
  throwsTypeError(() => (socket.binaryType = Symbol('x')));
  await close(socket);
  socket.binaryType = 'arraybuffer';
  equal(socket.binaryType, 'arraybuffer');
});

test('bytes come as a Blob', async () => {
  const socket = await open('/echo');
  socket.binaryType = 'blob';
  for (const bytes of [everyByte(), new Uint8Array(0)]) {
    const blob = await echo(socket, bytes);
    equal(Object.getPrototypeOf(blob), Blob.prototype);
    same([blob.size, blob.type], [bytes.length, '']);
    same(bytesOf(await blob.arrayBuffer()), [...bytes]);
  }
});

test('bytes come as an ArrayBuffer of this realm', async () => {
  const data = await echo(await open('/echo'), everyByte());
  equal(Object.getPrototypeOf(data), ArrayBuffer.prototype);
  equal(data.byteLength, 256);
  equal(data.resizable, false);
});

test('binaryType is that of the time of the event', async () => {
  const socket = await open('/echo');
  const seen = [];
  socket.onmessage = ({ data }) => {
    seen.push(data instanceof Blob ? 'blob' : 'arraybuffer');
    socket.binaryType = seen.length % 2 ? 'blob' : 'arraybuffer';
  };
  for (let i = 0; i < 4; i++) socket.send(new Uint8Array(3));
  while (seen.length < 4) await task();
  same(seen, ['arraybuffer', 'blob', 'arraybuffer', 'blob']);
});

test('text is text whatever the binaryType', async () => {
  const socket = await open('/echo');
  for (const type of ['blob', 'arraybuffer']) {
    socket.binaryType = type;
    equal(await echo(socket, 'x'), 'x');
  }
});

// --- bufferedAmount ------------------------------------------------------------------------------

for (const [what, data, size] of [
  ['a text', 'hello', 5],
  ['a text of longer characters', 'aé€\u{1f600}', 10],
  ['a lone surrogate', '\ud800', 3],
  ['an ArrayBuffer', new ArrayBuffer(10), 10],
  ['a view', new Uint16Array(new ArrayBuffer(10), 2, 3), 6],
  ['a Blob', new Blob(['12345']), 5],
  ['null', null, 4],
  ['a long text', 'x'.repeat(100000), 100000],
]) {
  test(`bufferedAmount grows at once: ${what}`, async () => {
    const socket = await open('/echo');
    equal(socket.bufferedAmount, 0);
    socket.send(data);
    equal(socket.bufferedAmount, size);
    socket.send(data);
    equal(socket.bufferedAmount, 2 * size);
    await next(socket, 'message');
    while (socket.bufferedAmount) await task();
  });
}

test('bufferedAmount is 0 when the server has answered', async () => {
  const socket = await open('/echo');
  for (let count = 0; count < 20; count++) {
    socket.send('x'.repeat(100));
    await next(socket, 'message');
    equal(socket.bufferedAmount, 0, `after ${count + 1}`);
  }
});

test('bufferedAmount does not fall in a task or in its microtasks', async () => {
  const socket = await open('/echo');
  const bytes = new Uint8Array(100000);
  socket.send(bytes);
  const end = performance.now() + 50;
  while (performance.now() < end) equal(socket.bufferedAmount, bytes.length);
  for (let i = 0; i < 100; i++) await undefined;
  equal(socket.bufferedAmount, bytes.length);
  while (socket.bufferedAmount) await task();
});

test('bufferedAmount grows after close(), and never falls again', async () => {
  const socket = await open('/echo');
  await echo(socket, 'x');
  while (socket.bufferedAmount) await task();
  const closed = close(socket);
  socket.send('12');
  equal(socket.bufferedAmount, 2);
  socket.send(new Blob(['123']));
  socket.send(new ArrayBuffer(4));
  equal(socket.bufferedAmount, 9);
  await closed;
  socket.send(new Uint16Array(2));
  equal(socket.bufferedAmount, 13);
  await task();
  equal(socket.bufferedAmount, 13);
});

test('send() of a socket that never opened', async () => {
  const socket = create('/refuse');
  await next(socket, 'close');
  socket.send('abc');
  equal(socket.bufferedAmount, 3);
  throwsTypeError(() => socket.send());
});

test('bufferedAmount falls when what was sent has left the page', async () => {
  const socket = await open('/echo');
  for (let i = 0; i < 5; i++) {
    await echo(socket, 'x'.repeat(100));
    await new Promise((resolve) => setTimeout(resolve, 10));
    check(socket.bufferedAmount <= 100, `${socket.bufferedAmount} after ${i + 1} echoes`);
  }
});

test('bufferedAmount is 0 in the close event', async () => {
  const socket = await open('/echo');
  socket.send('xyz');
  await close(socket);
  equal(socket.bufferedAmount, 0);
});

test('a view that has a tag of its own is a view', async () => {
  class Tagged extends Uint8Array {
    get [Symbol.toStringTag]() {
      return 'Tagged';
    }
  }
  const socket = await open('/echo');
  socket.binaryType = 'arraybuffer';
  same(bytesOf(await echo(socket, new Tagged([1, 2]))), [1, 2]);
});

test('what only says that it is a Blob does not stop the socket', async () => {
  const socket = await open('/echo');
  try {
    socket.send({ [Symbol.toStringTag]: 'Blob' });
  } catch (error) {
    check(error instanceof TypeError, String(error));
  }
  socket.send('x');
  let data;
  while (data !== 'x') ({ data } = await next(socket, 'message'));
  while (socket.bufferedAmount) await task();
});
