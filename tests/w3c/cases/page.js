/** What a document and its network make of a socket: its headers, its cookies, its frames. */
'use strict';

/** What the application is told of the handshake. */
async function handshake(path) {
  const socket = create(path);
  return JSON.parse((await next(socket, 'message')).data);
}

test('the origin is that of the page', async () => {
  const { headers } = await handshake('/headers');
  same(
    headers.filter(([name]) => name === 'origin'),
    [['origin', location.origin]]
  );
});

test('the handshake is that of a WebSocket', async () => {
  const { type, scheme, headers } = await handshake('/headers');
  same([type, scheme], ['websocket', 'ws']);
  const all = Object.fromEntries(headers);
  same([all.upgrade, all['sec-websocket-version']], ['websocket', '13']);
  check(!('sec-websocket-protocol' in all), 'there is a subprotocol');
  equal(all.host, location.host);
});

test('the query is as it was given', async () => {
  const { query_string: query, raw_path: path } = await handshake('/headers/a%20b?x=%C3%A5&y=&&z');
  same([path.split('?')[0], query], ['/headers/a%20b', 'x=%C3%A5&y=&&z']);
});

testInDocument('cookies of the page are sent, and come with the answer', async () => {
  const name = `cookie${Math.random().toString(36).slice(2)}`;
  document.cookie = `${name}=mine; Path=/`;
  try {
    equal((await handshake('/headers')).cookies[name], 'mine');
    document.cookie = 'taste=; Path=/; Max-Age=0';
    await open('/accept-headers');
    check(/taste=sweet/.test(document.cookie), 'there is no cookie of the answer');
    check(/size=small/.test(document.cookie), 'there is no second cookie');
    equal((await handshake('/headers')).cookies.taste, 'sweet');
  } finally {
    document.cookie = `${name}=; Path=/; Max-Age=0`;
  }
});

test('bufferedAmount does not fall while the thread waits for a request', async () => {
  const socket = await open('/echo');
  // In the task of an event of the socket's Firefox holds back what it has to tell of it.
  await task();
  socket.send('x'.repeat(1000));
  const request = new XMLHttpRequest();
  request.open('GET', '/told/nothing', false);
  request.send();
  equal(socket.bufferedAmount, 1000);
  while (socket.bufferedAmount) await task();
});

test('many long messages at once', async () => {
  const socket = await open('/echo');
  const count = 40;
  let bytes = 0;
  let heard = 0;
  socket.onmessage = ({ data }) => {
    heard++;
    bytes += data.byteLength;
  };
  for (let i = 0; i < count; i++) socket.send(new Uint8Array(65536).fill(i));
  equal(socket.bufferedAmount, count * 65536);
  while (heard < count) await next(socket, 'message');
  equal(bytes, count * 65536);
  while (socket.bufferedAmount) await task();
});

test('readyState is OPEN at the first task behind the open event, and not before', async () => {
  const socket = create('/echo');
  const states = [socket.readyState];
  await undefined;
  states.push(socket.readyState);
  await next(socket, 'open');
  states.push(socket.readyState);
  same(states, [0, 0, 1]);
});

/** Make a frame with the class of this page, and call back with it. */
async function withFrame(action) {
  const frame = document.createElement('iframe');
  const shim = self.WebSocketEmulation.version ? '<script src="/emulation.js"></script>' : '';
  frame.srcdoc = `<!doctype html>${shim}`;
  document.body.append(frame);
  await next(frame, 'load');
  try {
    return await action(frame, frame.contentWindow);
  } finally {
    frame.remove();
  }
}

for (const [type, path] of [
  ['open', '/echo'],
  ['message', '/first'],
  ['error', '/refuse'],
  ['close', '/close'],
]) {
  testInDocument(`a frame is removed in the handler of ${type}`, async () => {
    const errors = await uncaught(() =>
      withFrame(async (frame, other) => {
        const socket = new other.WebSocket(`${base}${path}`);
        await new Promise((resolve) => {
          socket[`on${type}`] = () => {
            frame.remove();
            resolve();
          };
        });
        equal(socket.url, `${base}${path}`);
        await task();
        await task();
      })
    );
    equal(errors.length, 0);
  });
}

testInDocument('the socket of a frame that was removed is closed', () =>
  withFrame(async (frame, other) => {
    const socket = new other.WebSocket(`${base}/echo`);
    await next(socket, 'open');
    frame.remove();
    // Firefox says first that it is closing.
    while (socket.readyState !== 3) await task();
  })
);

testInDocument('a relative URL in a frame without a URL of its own', () =>
  withFrame(async (frame, other) => {
    const socket = new other.WebSocket('/echo');
    equal(socket.url, `${base}/echo`);
    await next(socket, 'open');
    socket.close();
  })
);

testInDocument('events of the realm of the class', () =>
  withFrame(async (frame, other) => {
    const socket = new other.WebSocket(`${base}/echo`);
    const event = await next(socket, 'open');
    equal(Object.getPrototypeOf(event), other.Event.prototype);
    socket.binaryType = 'arraybuffer';
    const message = next(socket, 'message');
    socket.send(new Uint8Array(2));
    const { data } = await message;
    equal(Object.getPrototypeOf(await message), other.MessageEvent.prototype);
    equal(Object.getPrototypeOf(data), other.ArrayBuffer.prototype);
    equal(Object.getPrototypeOf(await close(socket)), other.CloseEvent.prototype);
    const error = thrownBy(() => socket.close(1));
    equal(Object.getPrototypeOf(error), other.DOMException.prototype);
  })
);

testInDocument('exceptions of the realm of the class', () =>
  withFrame((frame, other) => {
    for (const [args, name] of [
      [[], 'TypeError'],
      [['ftp://x/'], 'DOMException'],
      [['/echo', 'a b'], 'DOMException'],
    ]) {
      const error = thrownBy(() => new other.WebSocket(...args));
      equal(Object.getPrototypeOf(error), other[name].prototype, `of ${show(args)}`);
    }
  })
);

testInDocument('an event pagehide of the page itself', async () => {
  const socket = await open('/echo');
  self.dispatchEvent(new Event('pagehide'));
  await task();
  equal(await echo(socket, 'x'), 'x');
});

testInDocument('classes and functions that the page replaces', async () => {
  const events = ['Event', 'MessageEvent', 'CloseEvent', 'CustomEvent'];
  const names = [...events, 'setTimeout', 'clearTimeout', 'setInterval', 'fetch'];
  const before = names.map((name) => self[name]);
  for (const name of names) self[name] = () => {};
  try {
    const socket = create('/echo');
    const told = (type) => new Promise((resolve) => (socket[`on${type}`] = resolve));
    await told('open');
    socket.send('x');
    equal((await told('message')).data, 'x');
    socket.close(4000);
    equal((await told('close')).code, 4000);
  } finally {
    names.forEach((name, i) => (self[name] = before[i]));
  }
});

test('methods of EventTarget that the page replaces', async () => {
  const names = ['addEventListener', 'removeEventListener', 'dispatchEvent'];
  const before = names.map((name) => EventTarget.prototype[name]);
  const called = [];
  const socket = create('/echo');
  const told = (type) => new Promise((resolve) => (socket[`on${type}`] = resolve));
  for (const name of names) {
    EventTarget.prototype[name] = function () {
      if (this === socket) called.push(name);
    };
  }
  try {
    await told('open');
    socket.send('x');
    equal((await told('message')).data, 'x');
    socket.onmessage = null;
    socket.close(4000);
    equal((await told('close')).code, 4000);
    same(called, []);
  } finally {
    names.forEach((name, i) => (EventTarget.prototype[name] = before[i]));
  }
});
