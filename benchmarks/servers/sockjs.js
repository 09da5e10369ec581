// sockjs of npm.
"use strict";
const http = require("http");
const sockjs = require("sockjs");

const server = http.createServer();
const heartbeat_delay = 1000 * (process.env.HEARTBEAT || 25);
const echo = sockjs.createServer({ prefix: "/echo", log: () => {}, heartbeat_delay });
const everybody = new Set();

echo.on("connection", (socket) => {
  if (!socket) return;
  everybody.add(socket);
  socket.on("close", () => everybody.delete(socket));
  socket.on("data", (data) => {
    const times = data[0] === "B" ? Number(data.slice(1)) : 1;
    if (data[0] === "F") for (const other of everybody) other.write(data);
    else for (let i = 0; i < times; i++) socket.write(data);
  });
});
echo.installHandlers(server);
server.listen(Number(process.argv[2]), "127.0.0.1", 4096);
