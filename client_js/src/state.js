import { scope } from './scope.js';

/** Keeps the sockets' states; engines without it have them in a property. */
var states = scope.WeakMap && new scope.WeakMap();

/**
 * @param {any} socket
 * @param {import('./websocket.js').State} state
 */
export function setState(socket, state) {
  if (states) states.set(socket, state);
  else Object.defineProperties(socket, { state_: { value: state } });
}

/**
 * @param {any} socket
 * @returns {import('./websocket.js').State | undefined}
 */
export function find(socket) {
  return states ? states.get(socket) : socket && socket.state_;
}

/**
 * @returns {never}
 */
export function illegal() {
  throw new TypeError('WebSocket');
}

/**
 * @param {any} socket
 * @returns {import('./websocket.js').State}
 */
export function stateOf(socket) {
  return find(socket) || illegal();
}
