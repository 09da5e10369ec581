/** WebSockets Standard, section 3.1: the constructor; and Web IDL's conversions before it. */
'use strict';

const { host } = location;

test('an argument is required', () => throwsTypeError(() => new WebSocket()));

testEach(
  'a URL that cannot be parsed, or of another scheme',
  [
    'ws://',
    'ws:',
    'ws://example.com:99999/',
    'ws://[::1/',
    'mailto:example@example.org',
    'about:blank',
    'ftp://example.com/',
    'data:text/plain,x',
    'javascript:void 0',
    `blob:http://${host}/1`,
    `file://${host}/echo`,
  ],
  (url) => throwsDOMException('SyntaxError', () => new WebSocket(url))
);

testEach(
  'a URL with a fragment',
  [`ws://${host}/echo#here`, `ws://${host}/echo#`, '/echo#here', '#', `http://${host}/#x`],
  (url) => throwsDOMException('SyntaxError', () => new WebSocket(url))
);

for (const [given, expected] of [
  [`ws://${host}`, `ws://${host}/`],
  [`ws://${host}/echo`, `ws://${host}/echo`],
  [`http://${host}/echo`, `ws://${host}/echo`],
  [`https://${host}/echo`, `wss://${host}/echo`],
  [`wss://${host}/echo`, `wss://${host}/echo`],
  [`WS://${host}/echo`, `ws://${host}/echo`],
  [`HTTP://${host}/echo`, `ws://${host}/echo`],
  [`  ws://${host}/echo\n`, `ws://${host}/echo`],
  [`ws:\n//${host}/e\tcho`, `ws://${host}/echo`],
  [`ws:${host}/echo`, `ws://${host}/echo`],
  [`ws:\\\\${host}\\echo`, `ws://${host}/echo`],
  [`ws://${host}/a/../b/./c`, `ws://${host}/b/c`],
  [`ws://${host}/a b`, `ws://${host}/a%20b`],
  [`ws://${host}/a%20b`, `ws://${host}/a%20b`],
  [`ws://${host}/å?å`, `ws://${host}/%C3%A5?%C3%A5`],
  [`ws://${host}/\0x`, `ws://${host}/%00x`],
  [`ws://${host}/?\ud800`, `ws://${host}/?%EF%BF%BD`],
  [`ws://${host}/echo?`, `ws://${host}/echo?`],
  [`ws://${host}?a=b&c`, `ws://${host}/?a=b&c`],
  [`ws://${host}/echo?a='"<>`, `ws://${host}/echo?a=%27%22%3C%3E`],
  [`ws://me:secret@${host}/echo`, `ws://me:secret@${host}/echo`],
  ['ws://LOCALHOST:80/x', 'ws://localhost/x'],
  ['wss://localhost:443/x', 'wss://localhost/x'],
  ['http://localhost:80/x', 'ws://localhost/x'],
  ['https://localhost:443/x', 'wss://localhost/x'],
  ['ws://127.1:2/', 'ws://127.0.0.1:2/'],
  ['/echo', `ws://${host}/echo`],
  ['echo', `ws://${host}/echo`],
  ['./a/../echo', `ws://${host}/echo`],
  ['//localhost:2/echo', 'ws://localhost:2/echo'],
  ['\\echo', `ws://${host}/echo`],
  ['', `ws://${host}${location.pathname}${location.search}`],
  ['?x', `ws://${host}${location.pathname}?x`],
  [null, `ws://${host}/null`],
  [undefined, `ws://${host}/undefined`],
  [1.5, `ws://${host}/1.5`],
  [{ toString: () => '/echo' }, `ws://${host}/echo`],
  [['/echo'], `ws://${host}/echo`],
  [new URL('/echo?x', location.href), `ws://${host}/echo?x`],
]) {
  test(`url: ${show(given)}`, () => {
    const socket = create(given);
    equal(socket.url, expected);
    equal(socket.readyState, 0);
    socket.close();
    equal(socket.url, expected);
  });
}

testInDocument('a relative URL is resolved against the base of the document', () => {
  const element = document.createElement('base');
  element.href = '/directory/file';
  document.head.append(element);
  try {
    equal(create('echo').url, `ws://${host}/directory/echo`);
  } finally {
    element.remove();
  }
});

testInDocument('the query is in UTF-8, whatever the encoding of the document', async () => {
  const frame = document.createElement('iframe');
  frame.src = self.WebSocketEmulation.version ? '/latin?shim' : '/latin';
  document.body.append(frame);
  await next(frame, 'load');
  try {
    equal(frame.contentDocument.characterSet, 'windows-1252');
    const socket = new frame.contentWindow.WebSocket(`ws://${host}/?\u00e5`);
    equal(socket.url, `ws://${host}/?%C3%A5`);
    socket.close();
    equal((await next(socket, 'close')).code, 1006);
  } finally {
    frame.remove();
  }
});

test('a symbol is no URL', () => throwsTypeError(() => new WebSocket(Symbol('x'))));

test('both arguments are converted, in their order, before anything else', () => {
  const calls = [];
  const url = { toString: () => `ftp://${calls.push('url')}/` };
  const protocol = { toString: () => `a ${calls.push('protocol')}` };
  throwsDOMException('SyntaxError', () => new WebSocket(url, [protocol]));
  same(calls, ['url', 'protocol']);
  class Refusal extends Error {}
  const throwing = {
    toString() {
      throw new Refusal();
    },
  };
  check(thrownBy(() => new WebSocket(throwing)) instanceof Refusal, 'the exception of the URL');
  check(thrownBy(() => new WebSocket('ftp://x/', throwing)) instanceof Refusal, 'of the protocol');
});

/** Every character that no token may have (RFC 9110 section 5.6.2), and some beyond ASCII. */
const NO_TOKENS = ['', '\u0080', '\u00e9', '\u03a9', '\ud800', '\u{1f600}', 'a b', 'a,b'];
for (let code = 0; code < 128; code++) {
  const character = String.fromCharCode(code);
  if (!/[\w!#$%&'*+\-.^`|~]/.test(character)) NO_TOKENS.push(character);
}

test('protocols that are no tokens', () => {
  for (const text of NO_TOKENS) {
    for (const protocols of [text, [text], ['good', `a${text}` || text, text]]) {
      try {
        throwsDOMException('SyntaxError', () => new WebSocket('/echo', protocols));
      } catch (error) {
        throw new Error(`${show(text)}: ${error.message}`);
      }
    }
  }
});

testEach(
  'protocols that are repeated',
  [
    ['a', 'a'],
    ['a', 'b', 'a'],
    [1, '1'],
  ],
  (protocols) => throwsDOMException('SyntaxError', () => new WebSocket('/echo', protocols))
);

test('a protocol is another one in another case', () => {
  equal(create('/echo', ['chat', 'Chat']).readyState, 0);
});

/** What is asked for when a value is given: the server tells what it was offered. */
for (const [what, given, expected] of [
  ['absent', [], []],
  ['undefined', [undefined], []],
  ['null', [null], ['null']],
  ['an empty array', [[]], []],
  ['a string', ['chat.v2'], ['chat.v2']],
  ['a number', [7], ['7']],
  ['an array', [['a', 'chat.v2']], ['a', 'chat.v2']],
  ['every character of a token', ["azAZ09!#$%&'*+-.^_`|~"], ["azAZ09!#$%&'*+-.^_`|~"]],
  ['a hole in an array', [[, 'b']], ['undefined', 'b']],
  ['null and numbers in an array', [[null, 1, true]], ['null', '1', 'true']],
  ['a set', [new Set(['a', 'b'])], ['a', 'b']],
  ['a String object, which is a sequence', [new String('ab')], ['a', 'b']],
  ['an array-like object, which is none', [{ 0: 'a', length: 1, toString: () => 'b' }], ['b']],
  ['an object', [{ toString: () => 'object' }], ['object']],
  ['a function', [Object.assign(() => {}, { toString: () => 'f' })], ['f']],
  ['an iterator that is null', [{ [Symbol.iterator]: null, toString: () => 'n' }], ['n']],
  [
    'a generator',
    [
      (function* () {
        yield 'a';
        yield { toString: () => 'b' };
      })(),
    ],
    ['a', 'b'],
  ],
]) {
  test(`protocols: ${what}`, async () => {
    const socket = await open('/first', ...given);
    socket.close();
    equal(socket.protocol, expected[0] ?? '');
    const offered = await fetch(`/offered/${encodeURIComponent(expected.join(','))}`);
    equal(await offered.json(), true, 'what the server was offered');
  });
}

testEach('protocols that cannot be converted', [{ [Symbol.iterator]: 1 }, [Symbol('x')]], (value) =>
  throwsTypeError(() => new WebSocket('/echo', value))
);

test('the iterator of the protocols is read once, and called on them', async () => {
  const seen = [];
  const protocols = {
    get [Symbol.iterator]() {
      seen.push('read');
      const iterator = function () {
        seen.push(this === protocols);
        return ['a', 'b'][Symbol.iterator]();
      };
      iterator.call = () => seen.push('own call');
      return iterator;
    },
  };
  equal((await open('/first', protocols)).protocol, 'a');
  same(seen, ['read', true]);
});

test('a symbol is no protocol', () => throwsTypeError(() => new WebSocket('/echo', Symbol('x'))));

test('protocols are looked at before the socket is made', () => {
  throwsDOMException('SyntaxError', () => new WebSocket('/echo', ['a', 'a']));
  throwsDOMException('SyntaxError', () => new WebSocket('ws://localhost:2/', 'a b'));
});

test('other arguments are passed over', () => {
  equal(create('/echo', [], {}, 1).readyState, 0);
});

test('the attributes of a new socket', () => {
  const socket = create('/echo');
  equal(socket.readyState, WebSocket.CONNECTING);
  equal(socket.bufferedAmount, 0);
  equal(socket.extensions, '');
  equal(socket.protocol, '');
  equal(socket.binaryType, 'blob');
  for (const name of HANDLERS) equal(socket[name], null, name);
});

test('a port that is blocked throws nothing', () => {
  equal(create('ws://127.0.0.1:25/').readyState, 0);
});

/** Check that a socket fails; one that opens all the same is told at once. */
async function fails(socket) {
  const types = record(socket);
  const { code, reason, wasClean } = await Promise.race([
    next(socket, 'close'),
    next(socket, 'open').then(() => {
      throw new Error('it opened');
    }),
  ]);
  same([code, reason, wasClean, types], [1006, '', false, ['error', 'close']]);
  equal(socket.readyState, 3);
  equal(socket.protocol, '');
}

test('a server that is not there', () => fails(create('ws://127.0.0.1:2/')));

testEach('a server that refuses', ['/refuse', '/deny', '/nothing'], (path) => fails(create(path)));

testEach('a server that chooses what it was not offered', ['b', '', 'A'], (choice) =>
  fails(create(`/subprotocol?choose=${choice}`, ['a']))
);

test('a server that chooses where nothing was offered', () =>
  fails(create('/subprotocol?choose=a')));

test('the last of three protocols is chosen', async () => {
  equal((await open('/subprotocol?choose=c', ['a', 'b', 'c'])).protocol, 'c');
});

test('what the page changes later is not seen', async () => {
  const protocols = ['chat.v2'];
  const opening = open('/echo', protocols);
  protocols[0] = 'other';
  equal((await opening).protocol, 'chat.v2');
});

test('many are opened at once, in their order', async () => {
  const order = [];
  const opening = Array.from({ length: 10 }, (_, index) =>
    open('/echo').then((socket) => {
      order.push(index);
      return echo(socket, String(index));
    })
  );
  same(await Promise.all(opening), [...opening.keys()].map(String));
  equal(order.length, 10);
});
