import { createClient } from 'graphql-ws';
import { WebSocket } from 'websocket-emulation';

export const client = createClient({ url: 'wss://www.example.com/', webSocketImpl: WebSocket });
