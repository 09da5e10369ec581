// What each library exists for. `WebSocket` is the page's: ours, or the engine's as the control.
import mqtt from 'mqtt';
import PartySocket from 'partysocket';
import ReconnectingWebSocket from 'reconnecting-websocket';
import { Client } from 'rpc-websockets';

const base = location.origin.replace('http', 'ws');
const once = (target, type) => new Promise((resolve) => target.addEventListener(type, resolve));

/** Wait for an event of a library that has Node's emitters. */
const on = (emitter, type) => new Promise((resolve) => emitter.once(type, (...args) => resolve(args)));

/** Connect, and say when the server's part is over; afterwards it must be there again. */
self.reconnecting = function (Library, token) {
  const socket = new Library(`${base}/flaky?token=${token}`, [], {
    ...{ WebSocket: self.WebSocket, minReconnectionDelay: 50, maxReconnectionDelay: 200 },
    connectionTimeout: 20000,
  });
  const log = [];
  socket.addEventListener('open', () => log.push('open'));
  socket.addEventListener('close', (event) => log.push(event.code));
  socket.addEventListener('message', (event) => log.push(event.data));
  return { socket, log };
};

/** Send a text and wait until it comes back. */
self.echo = async function ({ socket, log }, text) {
  socket.send(text);
  while (!log.includes(text)) await once(socket, 'message');
  return log;
};

const reconnects = (Library) =>
  async function (token) {
    const connection = self.reconnecting(Library, token);
    const { socket } = connection;
    await self.echo(connection, 'first');
    socket.send('close');
    await once(socket, 'close');
    // Kept by the library until the next connection is there.
    await self.echo(connection, 'second');
    socket.send('crash');
    await once(socket, 'close');
    const log = await self.echo(connection, 'third');
    socket.close();
    return log;
  };

self.Libraries = { ReconnectingWebSocket, PartySocketWebSocket: PartySocket.WebSocket };

self.scenarios = {
  reconnecting_websocket: reconnects(ReconnectingWebSocket),

  /** Two members of a room; one is thrown out, and comes back. */
  async partysocket(token) {
    const join = () =>
      new PartySocket({
        ...{ host: location.host, room: token, query: { token }, WebSocket: self.WebSocket },
        ...{ minReconnectionDelay: 50, maxReconnectionDelay: 200, connectionTimeout: 20000 },
      });
    const [ann, bob] = [join(), join()];
    await Promise.all([once(ann, 'open'), once(bob, 'open')]);
    const heard = [];
    bob.addEventListener('message', (event) => heard.push(event.data));
    ann.send('hello');
    while (heard.length < 1) await once(bob, 'message');
    ann.send('kick');
    const { code, reason } = await once(ann, 'close');
    ann.send('back again');
    while (heard.length < 2) await once(bob, 'message');
    ann.close();
    bob.close();
    return { code, reason, heard };
  },

  async rpc_websockets(token) {
    const client = new Client(`${base}/rpc?token=${token}`, { reconnect: false });
    await on(client, 'open');
    const sums = await Promise.all([1, 2, 3].map((n) => client.call('sum', [n, n, n])));
    const failure = await client.call('nothing').catch((error) => error.code);
    const ticks = [];
    const ticked = new Promise((resolve) =>
      client.on('tick', (n) => ticks.push(n) === 5 && resolve())
    );
    await client.subscribe('tick');
    await ticked;
    client.close(1000);
    await on(client, 'close');
    return { sums, failure, ticks };
  },

  /** Publish with quality of service 0 and 1, retained, large, and a will. */
  async mqtt(token) {
    const connect = (options) =>
      mqtt.connectAsync(`${base}/mqtt`, { protocolVersion: 4, reconnectPeriod: 0, ...options });
    const client = await connect({});
    const heard = [];
    let told = () => {};
    client.on('message', (topic, payload) => {
      heard.push([topic.slice(token.length), payload.length > 99 ? payload.length : `${payload}`]);
      told();
    });
    const hears = async (count) => {
      while (heard.length < count) await new Promise((resolve) => (told = resolve));
    };
    await client.publishAsync(`${token}/kept`, 'retained', { qos: 1, retain: true });
    await client.subscribeAsync(`${token}/#`, { qos: 1 });
    await hears(1);
    for (const qos of [0, 1]) await client.publishAsync(`${token}/qos${qos}`, 'words', { qos });
    await client.publishAsync(`${token}/large`, 'x'.repeat(200000), { qos: 1 });
    await hears(4);
    const will = { topic: `${token}/will`, payload: 'gone', qos: 1 };
    const other = await connect({ will });
    // Without the packet DISCONNECT the broker makes the will known.
    other.stream.destroy();
    await hears(5);
    await client.endAsync();
    return heard;
  },
};
