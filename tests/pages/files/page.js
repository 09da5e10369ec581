// What every document and worker of these tests does with a socket.
self.base = self.location.origin.replace('http', 'ws');

self.once = function (target, type) {
  return new Promise(function (resolve) {
    target.addEventListener(type, resolve, { once: true });
  });
};

/** Open a socket; what it says is collected. */
self.connect = async function (path, token) {
  const socket = new WebSocket(`${base}${path}${path.includes('?') ? '&' : '?'}token=${token}`);
  socket.heard = [];
  socket.binaryType = 'arraybuffer';
  socket.addEventListener('message', (event) => socket.heard.push(event.data));
  socket.ended = once(socket, 'close').then((event) => [event.code, event.wasClean]);
  await Promise.race([once(socket, 'open'), socket.ended]);
  return socket;
};

/** Send a text and wait until it comes back. */
self.echo = async function (socket, text) {
  socket.send(text);
  while (!socket.heard.includes(text)) await once(socket, 'message');
  return text;
};
