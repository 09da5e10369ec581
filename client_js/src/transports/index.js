import { poll } from './poll.js';
import { sse } from './sse.js';
import { stream } from './stream.js';
import { xhrStream } from './xhr-stream.js';

/**
 * One way to carry frames down over HTTP.
 *
 * @typedef {object} Transport
 * @property {string} verb of its attach
 * @property {boolean} binary whether its bodies have the binary form
 * @property {() => any} isSupported a feature test, never the user agent
 * @property {(job: Job, sink: Sink) => () => void} open begins; returns the function that aborts
 *
 * @typedef {object} Job
 * @property {ArrayBuffer | string} body of the attach
 * @property {number} pollTime in seconds
 * @property {(verb?: string, ticket?: string) => string} url
 * @property {(done: (ticket: string) => void) => () => void} ticket
 *
 * What a transport tells, until it is aborted.
 *
 * @typedef {object} Sink
 * @property {(chunk: any) => void} ondata new bytes or characters, in order, in any cutting
 * @property {(retryAfter: string | null) => void} onend once
 */

/** The transports over HTTP.
 *
 * @type {Record<string, Transport>}
 */
export var transports = {
  stream: stream,
  sse: sse,
  'xhr-stream': xhrStream,
  poll: poll,
};

/** The order of preference, where the page has none. */
export var ORDER = ['websocket', 'stream', 'sse', 'xhr-stream', 'poll'];
