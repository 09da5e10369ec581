// A classic worker of any kind, and, by worker.mjs, a module: echoes once and tells.
const settings = new URLSearchParams(self.location.search);
if (settings.get('transport') !== 'native') {
  delete self.WebSocket;
  self.WebSocketEmulation = { transports: settings.get('transport') };
}
if (self.importScripts && !settings.has('module')) {
  importScripts('/files/page.js');
  if (settings.get('transport') !== 'native') importScripts('/emulation.js');
}

async function run() {
  const socket = await connect('/echo', settings.get('token'));
  await echo(socket, 'from a worker');
  socket.close(4000);
  return [String(socket), await socket.ended];
}

const answer = (port) =>
  run().then(
    (result) => port.postMessage(result),
    (error) => port.postMessage(String(error))
  );

self.onconnect = ({ ports }) => answer(ports[0]);
self.onmessage = ({ source, data }) => data === 'go' && answer(source || self);
