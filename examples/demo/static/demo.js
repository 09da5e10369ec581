// Shows six pages of the application side by side. Each runs in a frame of its own and reports by
// messages; here they are counted and drawn.

const TRANSPORTS = {
  websocket: "a native WebSocket, replaced when it breaks",
  stream: "one streamed answer, read in binary with fetch",
  sse: "server-sent events, read with EventSource",
  "xhr-stream": "one growing answer, read with XMLHttpRequest",
  poll: "long-polling: an answer for each request",
  automatic: "the best that the network lets through",
};
// Two names of this machine are two hosts to a browser.
const LOOPBACK = { "127.0.0.1": "localhost", localhost: "127.0.0.1" };
const GOES_DOWN = 1012; // "service restart", of the registry of close codes
const COUNTED = ["received", "lost", "duplicated", "reordered"];
const NOTHING = { received: 0, lost: 0, duplicated: 0, reordered: 0 };
const BUCKET = 250;
const BUCKETS = 120;
const LINES_SHOWN = 12;
const EVENTS_SHOWN = 8;
const VISITOR = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) =>
  byte.toString(16).padStart(2, "0")
).join("");

const byId = (id) => document.getElementById(id);

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  Object.assign(made, attributes);
  made.append(...children);
  return made;
}

function milliseconds(time) {
  return time < 10 ? `${time.toFixed(1)} ms` : `${Math.round(time)} ms`;
}

/** Ask the network; where the server has gone the answer is null, and the page says so. */
async function ask(url, request) {
  try {
    const response = await fetch(url, request);
    return await response.json();
  } catch (error) {
    byId("status").textContent = `The server does not answer: ${error.message}`;
    return null;
  }
}

function sum(one, other) {
  return Object.fromEntries(COUNTED.map((what) => [what, one[what] + other[what]]));
}

function countOf(number, what) {
  return `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;
}

/** One page of the application and what is shown of it. */
class Panel {
  constructor(transport) {
    this.transport = transport;
    this.member = `${transport}.${VISITOR}`;
    this.root = byId("panel").content.cloneNode(true).firstElementChild;
    this.root.id = `panel-${transport}`;
    this.root.style.setProperty("--hue", `var(--${transport})`);
    this.find("h2").textContent = transport;
    this.find(".how").textContent = TRANSPORTS[transport];
    this.find(".cut").onclick = () => (this.isClosed ? this.start() : this.cut());
    this.quotes = new Map();
    this.down = this.up = NOTHING;
    this.before = { down: NOTHING, up: NOTHING };
    this.history = Array.from({ length: BUCKETS }, () => ({ received: 0, trip: 0, isCut: false }));
    this.bucket = { received: 0, trip: 0, isCut: false };
    this.cuts = 0;
    this.cutAt = 0;
    this.said = [];
    if (transport === "automatic") this.showObstacles();
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  /** Load the page of the application in a frame, and listen to what it tells. */
  start(more = {}) {
    const query = new URLSearchParams({ transport: this.transport, member: this.member, ...more });
    this.before = { down: this.total("down"), up: this.total("up") };
    this.down = this.up = NOTHING;
    this.frame?.remove();
    const page = new URL(`client.html?${query}`, location.href);
    // The panels of forced transports hold the connections that a browser has to one host.
    if (this.transport === "automatic") page.hostname = LOOPBACK[page.hostname] ?? page.hostname;
    this.frame = element("iframe", { src: page.href, title: this.transport });
    this.isClosed = false;
    this.carrier = "";
    this.show("connecting");
    this.offer("Cut");
    this.root.append(this.frame);
  }

  /** Take what the page of the application tells. */
  hear({ what, detail }) {
    if (what === "open") this.opened();
    if (what === "message") this.received(detail);
    if (what === "transport") this.moved(detail);
    if (what === "close") this.closed(detail);
  }

  opened() {
    this.show("open", this.carrier || "open");
    this.log("opened");
  }

  /** The socket goes on over this transport; what was under way is sent again. */
  moved({ transport }) {
    this.log(`over ${transport}`);
    if (this.transport !== "automatic") return;
    this.carrier = `over ${transport}`;
    this.show(this.root.dataset.state, this.carrier);
  }

  received({ message, totals }) {
    this.bucket.received += 1;
    this.down = totals;
    if (this.cutAt) {
      this.log(`goes on ${milliseconds(performance.now() - this.cutAt)} after the cut`);
      this.cutAt = 0;
    }
    if (message.type === "quote") this.quote(message);
    if (message.type === "line") hear(this, message);
    if (message.type === "receipt") {
      this.up = message;
      this.bucket.trip = Math.max(this.bucket.trip, message.roundTrip);
      this.trip = message.roundTrip;
    }
  }

  /**
   * What had no receipt when the socket closed may be lost: it counts as lost, but where the server has
   * said that it goes down, and answers no more.
   */
  closed({ code, reason, wasClean, unanswered }) {
    if (code !== GOES_DOWN) this.up = { ...this.up, lost: this.up.lost + unanswered };
    this.isClosed = true;
    this.show("closed", `closed, ${code}`);
    this.offer("Restart");
    if (unanswered) this.log(`${countOf(unanswered, "order")} without receipt`);
    this.log(`closed: ${code}${reason && ` “${reason}”`}${wasClean ? "" : ", not clean"}`);
  }

  /** Return what was counted in one direction, earlier pages of this panel included. */
  total(direction) {
    return sum(this.before[direction], this[direction]);
  }

  quote({ symbol, price, up }) {
    if (!this.quotes.has(symbol)) {
      const shown = element("b");
      const item = element("li", {}, symbol, shown);
      this.quotes.set(symbol, { item, shown });
      item.style.order = symbol.charCodeAt(0);
      this.find(".quotes").append(item);
    }
    const { item, shown } = this.quotes.get(symbol);
    shown.textContent = price.toFixed(2);
    item.classList.toggle("is-up", up);
  }

  say(text) {
    this.said.push(performance.now());
    this.frame.contentWindow.postMessage({ say: text }, "*");
  }

  cut() {
    return this.order(`/network/${this.member}/cut`, { method: "POST" });
  }

  /** Have the network do something that cuts, and show it. */
  async order(url, request) {
    const since = performance.now();
    const answer = await ask(url, request);
    if (!answer) return;
    this.showCut(answer.cut);
    this.cutAt = since;
  }

  showCut(connections) {
    this.cuts += connections;
    this.bucket.isCut = true;
    this.log(connections ? `${countOf(connections, "connection")} cut` : "nothing to cut just now");
    this.root.classList.remove("is-cut");
    requestAnimationFrame(() => this.root.classList.add("is-cut"));
  }

  showObstacles() {
    const obstacles = this.find(".obstacles");
    obstacles.hidden = false;
    obstacles.onchange = async () => {
      const [websockets, streams] = obstacles.querySelectorAll("select");
      await this.order(`/network/${this.member}`, {
        method: "PUT",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ websockets: websockets.value, streams: streams.value }),
      });
      if (websockets.value === "pass" && streams.value === "pass") this.startAfresh();
    };
  }

  /** Load the page anew, as one that remembers nothing of this network. */
  startAfresh() {
    this.log("a new page, which remembers nothing");
    this.start({ afresh: "" });
  }

  offer(words) {
    this.find(".cut").textContent = words;
    this.find(".cut").setAttribute("aria-label", `${words} ${this.transport}`);
  }

  show(state, words = state) {
    this.root.dataset.state = state;
    this.find(".state").textContent = words;
  }

  log(words) {
    const now = new Date();
    const time = element("time", { dateTime: now.toISOString() }, now.toTimeString().slice(0, 8));
    const events = this.find(".events");
    events.prepend(element("li", {}, time, words));
    while (events.children.length > EVENTS_SHOWN) events.lastChild.remove();
    byId("status").textContent = `${this.transport}: ${words}`;
  }

  /** Close the bucket of the last quarter of a second and show the figures. */
  tick() {
    this.history.push(this.bucket);
    this.history.shift();
    this.bucket = { received: 0, trip: 0, isCut: false };
    const lastSecond = this.history.slice(-1000 / BUCKET);
    this.find(".rate").textContent = lastSecond.reduce((sum, { received }) => sum + received, 0);
    if (this.trip !== undefined) this.find(".trip").textContent = milliseconds(this.trip);
    for (const direction of ["down", "up"]) {
      const total = this.total(direction);
      for (const what of COUNTED) {
        const cell = this.find(`.${direction} .${what}`);
        cell.textContent = total[what].toLocaleString("en");
        cell.classList.toggle("is-wrong", what !== "received" && total[what] > 0);
      }
    }
  }

  draw() {
    const hue = getComputedStyle(this.root).getPropertyValue("--hue");
    const most = Math.max(12, ...this.history.map(({ received }) => received));
    drawStrip(this.find(".rates"), this.history, hue, ({ received }) => received / most);
    drawStrip(this.find(".trips"), this.history, hue, ({ trip }) => heightOfTrip(trip), {
      "10 ms": heightOfTrip(10),
      "100 ms": heightOfTrip(100),
      "1 s": heightOfTrip(1000),
    });
  }
}

/** Place milliseconds on a scale of powers of ten, from 1 ms to 10 s. */
function heightOfTrip(trip) {
  return trip ? 0.03 + (0.97 * Math.log10(Math.min(10000, Math.max(1, trip)))) / 4 : 0;
}

/** Draw a history as an area with its outline, over rules, and every cut as a line through it. */
function drawStrip(canvas, history, hue, height, rules = {}) {
  const colours = getComputedStyle(document.documentElement);
  const { clientWidth: width, clientHeight: tall } = canvas;
  const context = sharp(canvas, width, tall);
  const y = (share) => tall - share * (tall - 3);
  context.fillStyle = colours.getPropertyValue("--line");
  for (const share of Object.values(rules)) context.fillRect(0, Math.round(y(share)), width, 1);
  const step = width / (history.length - 1);
  context.beginPath();
  history.forEach((bucket, index) => context.lineTo(index * step, y(height(bucket))));
  context.strokeStyle = context.fillStyle = hue;
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.stroke();
  context.lineTo(width, tall);
  context.lineTo(0, tall);
  context.globalAlpha = 0.16;
  context.fill();
  context.globalAlpha = 0.8;
  context.fillStyle = colours.getPropertyValue("--bad");
  history.forEach(({ isCut }, index) => {
    if (isCut) context.fillRect(index * step - 0.5, 0, 1, tall);
  });
  context.globalAlpha = 1;
  context.font = `9px ${colours.fontFamily}`;
  context.lineWidth = 3;
  context.strokeStyle = colours.getPropertyValue("--card");
  context.fillStyle = colours.getPropertyValue("--muted");
  for (const [label, share] of Object.entries(rules)) {
    context.strokeText(label, 0, y(share) - 2);
    context.fillText(label, 0, y(share) - 2);
  }
}

/** Return a cleared context with as many dots as the screen has. */
function sharp(canvas, width, height) {
  canvas.width = Math.round(width * devicePixelRatio);
  canvas.height = Math.round(height * devicePixelRatio);
  const context = canvas.getContext("2d");
  context.scale(devicePixelRatio, devicePixelRatio);
  return context;
}

const panels = Object.keys(TRANSPORTS).map((transport) => new Panel(transport));
const lines = new Map();

/** Show that a panel has received what somebody said. */
function hear(panel, { line, from, text }) {
  const now = performance.now();
  if (!lines.has(line)) {
    const speaker = panels.find(({ member }) => member === from);
    lines.set(line, { since: speaker?.said.shift() ?? now, chips: showLine(from, text) });
    if (lines.size > LINES_SHOWN) lines.delete(lines.keys().next().value);
  }
  const { since, chips } = lines.get(line);
  const chip = chips.get(panel);
  chip.textContent = `${panel.transport} ${milliseconds(now - since)}`;
  chip.classList.add("has-arrived");
}

function showLine(from, text) {
  const transport = from.split(".")[0];
  const chips = new Map(panels.map((panel) => [panel, element("span", {}, panel.transport)]));
  for (const [panel, chip] of chips) chip.style.setProperty("--hue", `var(--${panel.transport})`);
  const name = element("span", { className: "from" }, transport);
  name.style.setProperty("--hue", `var(--${transport in TRANSPORTS ? transport : "automatic"})`);
  byId("lines").prepend(
    element(
      "li",
      {},
      element("span", { className: "text" }, name, text),
      element("span", { className: "heard" }, ...chips.values())
    )
  );
  while (byId("lines").children.length > LINES_SHOWN) byId("lines").lastChild.remove();
  return chips;
}

function showScore() {
  const total = panels.flatMap((panel) => [panel.total("down"), panel.total("up")]).reduce(sum);
  byId("delivered").textContent = total.received.toLocaleString("en");
  byId("cuts").textContent = panels.reduce((cuts, panel) => cuts + panel.cuts, 0);
  for (const what of ["lost", "duplicated", "reordered"]) {
    byId(what).textContent = total[what];
    byId(what).parentElement.classList.toggle("is-wrong", total[what] > 0);
  }
}

/** Ask the network what it has seen: the server's own view of the transports. */
async function showWires() {
  const query = new URLSearchParams(panels.map(({ member }) => ["member", member]));
  const links = (await ask(`/network/?${query}`)) ?? {};
  for (const panel of panels) {
    const link = links[panel.member];
    if (!link) continue;
    const requests = Object.entries(link.requests).map(([kind, count]) => `${count} ${kind}`);
    panel.find(".wire").textContent =
      `On the wire: ${requests.join(", ")}; ${link.connections} in use`;
  }
}

addEventListener("message", ({ source, data }) => {
  panels.find(({ frame }) => frame?.contentWindow === source)?.hear(data);
});
byId("over").append(...panels.map(({ transport }) => element("option", {}, transport)));
byId("say").onsubmit = (event) => {
  event.preventDefault();
  const words = byId("words").value.trim();
  if (!words) return;
  panels.find(({ transport }) => transport === byId("over").value).say(words);
  byId("words").value = "";
};
byId("cut-all").onclick = () => Promise.all(panels.map((panel) => panel.cut()));
byId("panels").append(...panels.map(({ root }) => root));

/** Start all pages, and show them from now on; until the tab closes. */
function run() {
  clearTimeout(notice);
  byId("elsewhere").hidden = true;
  panels.forEach((panel) => panel.start());
  setInterval(() => {
    panels.forEach((panel) => panel.tick());
    showScore();
    panels.forEach((panel) => panel.draw());
  }, BUCKET);
  setInterval(showWires, 1000);
  let victim = 0;
  setInterval(() => {
    if (!byId("storm").checked) return;
    panels[victim].cut();
    victim = (victim + 1) % panels.length;
  }, 1000);
  return new Promise(() => {});
}

// A browser has six HTTP/1.1 connections to a host, for all its tabs, and the four forced panels
// that are no WebSockets hold one each. Browsers without locks start at once.
const notice = setTimeout(() => (byId("elsewhere").hidden = false), 500);
if (navigator.locks) navigator.locks.request("demo", run);
else run();
