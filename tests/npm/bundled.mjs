import { WebSocket, native } from 'websocket-emulation';
import { run } from './echo.mjs';

const url = `${location.origin.replace('http', 'ws')}/echo`;
self.result = run(WebSocket, url, ['chat.v2']).then((result) => ({
  ...result,
  isUntouched: native === self.WebSocket && native !== WebSocket,
}));
