// engine.io of npm.
"use strict";
const http = require("http");
const engine = require("engine.io");

const server = http.createServer();
const pingInterval = 1000 * (process.env.HEARTBEAT || 25);
const io = engine.attach(server, {
  maxHttpBufferSize: 1 << 26,
  httpCompression: false,
  pingInterval,
});
const everybody = new Set();

io.on("connection", (socket) => {
  everybody.add(socket);
  socket.on("close", () => everybody.delete(socket));
  socket.on("message", (data) => {
    const times = data[0] === "B" ? Number(data.slice(1)) : 1;
    if (data[0] === "F") for (const other of everybody) other.send(data);
    else for (let i = 0; i < times; i++) socket.send(data);
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1", 4096);
