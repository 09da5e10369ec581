// The page of the application: an ordinary user of `WebSocket`. What it sees, it tells the frame
// that shows it.

const ORDERS_PER_SECOND = 10;
const member = new URLSearchParams(location.search).get("member");
const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const socket = new WebSocket(`${scheme}//${location.host}/live/${member}`);

const ledger = { received: 0, highest: 0, duplicated: 0, reordered: 0, missing: new Set() };
const departures = new Map();
let orders = 0;
let timer = 0;

/** Book the arrival of a numbered message. */
function enter(number) {
  ledger.received += 1;
  if (number > ledger.highest) {
    for (let gap = ledger.highest + 1; gap < number; gap += 1) ledger.missing.add(gap);
    ledger.highest = number;
  } else if (ledger.missing.delete(number)) {
    ledger.reordered += 1;
  } else {
    ledger.duplicated += 1;
  }
}

function totals() {
  const { received, duplicated, reordered, missing } = ledger;
  return { received, lost: missing.size, duplicated, reordered };
}

function order() {
  orders += 1;
  departures.set(orders, performance.now());
  socket.send(JSON.stringify({ type: "order", number: orders }));
  tell("sent", { orders });
}

function say(text) {
  socket.send(JSON.stringify({ type: "say", text }));
}

/** Return the milliseconds since an order left. */
function roundTrip(number) {
  const departure = departures.get(number);
  departures.delete(number);
  return performance.now() - departure;
}

function tell(what, detail) {
  parent.postMessage({ what, detail }, "*");
}

addEventListener("message", ({ source, data }) => {
  if (source === parent) say(data.say);
});

socket.onopen = () => {
  tell("open", {});
  timer = setInterval(order, 1000 / ORDERS_PER_SECOND);
};

socket.onmessage = (event) => {
  const message = JSON.parse(event.data);
  enter(message.number);
  if (message.type === "receipt") message.roundTrip = roundTrip(message.order);
  tell("message", { message, totals: totals() });
};

socket.onclose = (event) => {
  clearInterval(timer);
  const { code, reason, wasClean } = event;
  tell("close", { code, reason, wasClean, unanswered: departures.size });
};

socket.addEventListener("emulation:transport", (event) => tell("transport", event.detail));
