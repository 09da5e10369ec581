// The endpoints that the scenarios talk to, as `tests/apps/starlette_app.py` has them, on `ws`.
"use strict";

const crypto = require("crypto");
const http = require("http");
const { WebSocketServer } = require("ws");

const starts = [];
const disconnects = [];

const endpoints = {
  "/echo": (socket) => socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary })),
  "/burst": (socket, query) => {
    for (let number = 1; number <= Number(query.get("n")); number++) socket.send(String(number));
    socket.close(4000, "that was all");
  },
  "/sink": sink,
  "/close": (socket, query) => socket.close(Number(query.get("code")), query.get("reason") || ""),
  "/crash": (socket) => socket.terminate(),
  "/return": (socket) => socket.terminate(),
  "/subprotocol": () => {},
  "/accept-headers": () => {},
  "/never-receives": (socket) => {
    let number = 0;
    const timer = setInterval(() => socket.send(String(++number)), 50);
    socket.on("close", () => clearInterval(timer));
  },
  "/slow": (socket) =>
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary })),
  "/numbered": numbered,
  "/headers": describe,
  "/every-byte": (socket) => socket.send(Buffer.from(Array.from({ length: 256 }, (_, i) => i))),
};

const refusals = { "/refuse": 403, "/nowhere": 403, "/deny": 401, "/early-crash": 500 };

function sink(socket) {
  const counts = { texts: 0, binaries: 0, bytes: 0 };
  const digest = crypto.createHash("sha256");
  socket.on("message", (data, isBinary) => {
    if (!isBinary && data.toString() === "report") {
      socket.send(JSON.stringify({ ...counts, sha256: digest.digest("hex") }));
      return;
    }
    counts[isBinary ? "binaries" : "texts"] += 1;
    counts.bytes += data.length;
    digest.update(data);
  });
}

function numbered(socket, query) {
  const last = Number(query.get("n"));
  let expected = 1;
  socket.on("message", (data) => {
    if (data.toString() !== String(expected)) {
      socket.close(4001, `${data.toString().slice(0, 20)} came for ${expected}`);
    } else if (expected++ === last) {
      socket.close(4000, "complete");
    }
  });
  for (let number = 1; number <= last; number++) socket.send(String(number));
}

function describe(socket, query, request) {
  const [path, search] = request.url.split("?");
  const { cookie = "", "sec-websocket-protocol": offered } = request.headers;
  const scope = {
    type: "websocket",
    scheme: "ws",
    root_path: "",
    path: decodeURIComponent(path),
    raw_path: path,
    query_string: search,
    client: [request.headers["x-forwarded-for"].split(", ")[0], 0],
    headers: Object.entries(request.headers),
    cookies: Object.fromEntries(cookie.split("; ").map((pair) => pair.split("="))),
    subprotocols: offered ? offered.split(/, ?/) : [],
  };
  socket.send(JSON.stringify(scope));
}

const sockets = new WebSocketServer({
  noServer: true,
  clientTracking: false,
  perMessageDeflate: false,
  maxPayload: 16 * 1024 * 1024,
  handleProtocols: (offered, request) => {
    const { path, query } = split(request);
    if (path === "/subprotocol") return query.get("choose") || false;
    return path === "/echo" && offered.has("chat.v2") ? "chat.v2" : false;
  },
});
sockets.on("headers", (headers, request) => {
  if (split(request).path !== "/accept-headers") return;
  headers.push("Set-Cookie: taste=sweet; Path=/", "Set-Cookie: size=small; Path=/");
  headers.push("X-Flavour: vanilla");
});

function split(request) {
  const [path, query = ""] = request.url.split("?");
  return { path, query: new URLSearchParams(query) };
}

const server = http.createServer((request, response) => {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(request.url === "/starts" ? starts : disconnects));
});

server.on("upgrade", (request, stream, head) => {
  const { path, query } = split(request);
  const endpoint = endpoints[path.replace(/^(\/headers)\/.*/, "$1")];
  const identity = { path, query: request.url.split("?")[1] || "" };
  starts.push(identity);
  if (refusals[path]) {
    const reason = http.STATUS_CODES[refusals[path]];
    const cookie = path === "/deny" ? "Set-Cookie: denied=yes; Path=/\r\n" : "";
    stream.end(`HTTP/1.1 ${refusals[path]} ${reason}\r\n${cookie}Connection: close\r\n\r\n`);
    return;
  }
  const open = () =>
    sockets.handleUpgrade(request, stream, head, (socket) => {
      let received = 0;
      socket.on("message", () => (received += 1));
      socket.on("error", () => {});
      socket.on("close", (code, reason) =>
        disconnects.push({ ...identity, code, reason: reason.toString(), received })
      );
      endpoint(socket, query, request);
    });
  setTimeout(open, 1000 * Number(query.get("accept") || 0));
});

server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
