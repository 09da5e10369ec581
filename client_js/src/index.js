// The module of the package for npm. It installs nothing when it is imported.
import { create, install as installAt } from './emulation.js';
import { scope } from './scope.js';

var page = scope.WebSocketEmulation || {};

/** The engine's own class, undefined where it has none. */
export var native = page.install ? page.native : scope.WebSocket;

/** The version of the package. */
export var version = '__VERSION__';

/** The class; each of its sockets is emulated. */
export var WebSocket = create({}, native, '');

/**
 * Make a class with settings of its own.
 *
 * @param {object} [settings] `origins`, `transports` and `debug`
 * @returns {any}
 */
export function createWebSocketClass(settings) {
  return create(settings || {}, native, '');
}

/**
 * Put the class in the place of the engine's, for sockets to the page's origin and to `origins`. A
 * page in which it stands already, by the script or by a module, stays as it is.
 *
 * @param {object} [settings] as for `createWebSocketClass`
 */
export function install(settings) {
  if (!(scope.WebSocketEmulation || {}).install) installAt(settings || {});
}
