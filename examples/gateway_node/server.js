// A chat on `ws` that knows nothing of any emulation. It serves its page too.
"use strict";

const fs = require("fs");
const http = require("http");
const path = require("path");
const { WebSocketServer, WebSocket } = require("ws");

const page = fs.readFileSync(path.join(__dirname, "index.html"));

const server = http.createServer((request, response) => {
  response.setHeader("Content-Type", "text/html; charset=utf-8");
  response.end(page);
});

const sockets = new WebSocketServer({ server });

sockets.on("connection", (socket) => {
  socket.on("error", console.error);
  socket.on("message", (data) => {
    for (const other of sockets.clients) {
      if (other.readyState === WebSocket.OPEN) other.send(data.toString());
    }
  });
});

server.listen(Number(process.env.PORT || 9000), process.env.HOST || "127.0.0.1", () => {
  console.log(`Open http://127.0.0.1:${server.address().port}/`);
});
