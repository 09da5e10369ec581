/// <reference lib="dom" />

/** What of a page's sockets is emulated, and how. */
export interface Settings {
  /**
   * Origins whose sockets are emulated beside those of the page: a list, or a text with commas
   * between. `"wss://a=https://b"`, or an object `{ "wss://a": "https://b" }`, sends the requests of
   * sockets to `a` to the server `b`; the page sees `a`.
   */
  origins?: string | (string | Record<string, string>)[] | Record<string, string>;
  /** The transports that may be used, the best first; all by default. */
  transports?: string | Transport[];
  /** Whether the console is told which transport is used, and why. It may be changed at any time. */
  debug?: boolean;
}

export type Transport = 'websocket' | 'stream' | 'sse' | 'xhr-stream' | 'poll';

/** What a socket's event `emulation:transport` tells: by which transport it goes on. */
export interface TransportDetail {
  transport: Transport;
  /** The transport before; empty for the first. */
  previous: Transport | '';
  reason: string;
}

/** The W3C WebSocket; each socket of this class is emulated. */
export declare const WebSocket: typeof globalThis.WebSocket;
export type WebSocket = globalThis.WebSocket;

/** The engine's own class, if it has one. */
export declare const native: typeof globalThis.WebSocket | undefined;

/** The version of this package. */
export declare const version: string;

/** Make a class with settings of its own; each of its sockets is emulated. */
export declare function createWebSocketClass(settings?: Settings): typeof globalThis.WebSocket;

/**
 * Put the class in the place of the global one, which from then on emulates the sockets to the
 * page's origin and to `origins`, and passes all others to the engine's own. What stands there
 * already, by the script or by an earlier call, stays.
 */
export declare function install(settings?: Settings): void;

/** What the page finds as `WebSocketEmulation` when the class is installed. */
export interface Installation extends Settings {
  readonly version: string;
  /** The engine's own class, if it has one. */
  readonly native: typeof globalThis.WebSocket | undefined;
  /** Put the class in its place again. */
  install(): void;
}

declare global {
  /** The settings, before the script is loaded; what is installed, after. */
  var WebSocketEmulation: Settings | Installation | undefined;

  interface WebSocketEventMap {
    'emulation:transport': CustomEvent<TransportDetail>;
  }
}
