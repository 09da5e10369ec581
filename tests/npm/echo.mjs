// What each kind of consumer does with the class: all kinds of messages, echoed, and a close.
export async function run(WebSocket, url, protocols) {
  const socket = new WebSocket(url, protocols);
  const events = [];
  let told = () => {};
  let transport = '';
  const next = () => new Promise((resolve) => (told = resolve));
  socket.binaryType = 'arraybuffer';
  socket.addEventListener('emulation:transport', (event) => (transport = event.detail.transport));
  socket.onopen = () => {
    socket.send('hello 😀');
    socket.send(new Uint8Array([0, 127, 128, 255]));
    socket.send(new Blob(['blob']));
  };
  socket.onmessage = ({ data }) => {
    events.push(typeof data === 'string' ? data : [...new Uint8Array(data)]);
    if (events.length === 3) socket.close(4000, 'done');
  };
  socket.onclose = ({ code, reason, wasClean }) => told({ code, reason, wasClean });
  const close = await next();
  return { events, close, transport, protocol: socket.protocol };
}
