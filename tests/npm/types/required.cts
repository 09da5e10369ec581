import emulation = require('websocket-emulation');

const constructor: typeof WebSocket = emulation.WebSocket;
const socket: WebSocket = new emulation.WebSocket('wss://www.example.com/');
emulation.install({ transports: ['poll'] });
socket.addEventListener('emulation:transport', (event) => event.detail.reason);

export = constructor;
