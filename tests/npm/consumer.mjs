import { WebSocket, createWebSocketClass, install, native, version } from 'websocket-emulation';
import { run } from './echo.mjs';

const [url, transport] = process.argv.slice(2);
const before = globalThis.WebSocket;
const results = [];
results.push(await run(createWebSocketClass({ transports: transport }), url, ['chat.v2']));
if (native !== before || globalThis.WebSocket !== before) throw new Error('it was installed');
install({ transports: transport, origins: url });
results.push(await run(globalThis.WebSocket, url, ['chat.v2']));
console.log(JSON.stringify({ version, own: `/${WebSocket.name}`, results }));
