// node node.mjs URL GRAPHQL_URL TRANSPORT TOKEN: libraries that are given the class of the module.
import { createClient } from 'graphql-ws';
import { WebSocket as PartySocketWebSocket } from 'partysocket';
import ReconnectingWebSocket from 'reconnecting-websocket';
import { createWebSocketClass } from 'websocket-emulation';

const [url, graphqlURL, transports, token] = process.argv.slice(2);
const WebSocket = createWebSocketClass({ transports });
const overWS = (text) => text.replace('http', 'ws');

function reconnect(Library) {
  const options = { WebSocket, minReconnectionDelay: 50, connectionTimeout: 20000 };
  const socket = new Library(`${overWS(url)}/flaky?token=${token}`, [], options);
  const log = [];
  socket.send('first');
  return new Promise((resolve) => {
    socket.onclose = ({ code }) => {
      log.push(code);
      socket.send('second');
    };
    socket.onmessage = ({ data }) => {
      log.push(data);
      if (data === 'first') socket.send('close');
      else {
        socket.onclose = null;
        socket.close();
        resolve(log);
      }
    };
  });
}

async function subscribe() {
  const client = createClient({
    url: `${overWS(graphqlURL)}/graphql?token=${token}`,
    webSocketImpl: WebSocket,
  });
  const numbers = [];
  const results = client.iterate({ query: 'subscription { count(target: 50) }' });
  for await (const { data } of results) numbers.push(data.count);
  await client.dispose();
  return numbers;
}

console.log(
  JSON.stringify({
    'reconnecting-websocket': await reconnect(ReconnectingWebSocket),
    partysocket: await reconnect(PartySocketWebSocket),
    'graphql-ws': await subscribe(),
  })
);
