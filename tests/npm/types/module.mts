import {
  WebSocket as Ours,
  createWebSocketClass,
  install,
  native,
  version,
  type Settings,
} from 'websocket-emulation';
import 'websocket-emulation/emulation.js';

type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

const isClass: Same<typeof Ours, typeof WebSocket> = true;
const isSocket: Same<Ours, WebSocket> = true;
const constructor: typeof WebSocket = Ours;
const socket: WebSocket = new Ours('wss://www.example.com/', ['chat']);
const own: Ours = new WebSocket('wss://www.example.com/');

class Derived extends Ours {
  readonly number: number = Ours.OPEN + socket.readyState;
}

socket.binaryType = 'arraybuffer';
socket.onmessage = (event) => event.data;
socket.addEventListener('close', ({ code, reason, wasClean }) => [code, reason, wasClean]);
socket.addEventListener('emulation:transport', ({ detail }) => {
  const transport: 'websocket' | 'stream' | 'sse' | 'xhr-stream' | 'poll' = detail.transport;
  return [transport, detail.previous, detail.reason];
});

const settings: Settings = { origins: ['wss://a.example=https://b.example'], transports: 'poll' };
install(settings);
install({ origins: { 'wss://a.example': 'https://b.example' }, transports: ['sse'], debug: true });
const another: typeof WebSocket = createWebSocketClass();
const engine: typeof WebSocket | undefined = native;
const text: string = version;

// @ts-expect-error There is no such transport.
install({ transports: ['pigeon'] });
// @ts-expect-error A code is a number.
socket.close('1000');
// @ts-expect-error It is an interface with readonly attributes.
socket.readyState = 1;

self.WebSocketEmulation = { debug: true };
export { isClass, isSocket, constructor, own, Derived, another, engine, text };
