const { createWebSocketClass, version } = require('websocket-emulation');

const [url, transport] = process.argv.slice(2);
import('./echo.mjs').then(async ({ run }) => {
  const WebSocket = createWebSocketClass({ transports: transport });
  const results = [await run(WebSocket, url, ['chat.v2'])];
  console.log(JSON.stringify({ version, own: '/WebSocket', results }));
});
