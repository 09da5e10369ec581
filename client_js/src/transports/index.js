import { hasBinary, hasTextStream } from '../request.js';
import { scope } from '../scope.js';

/**
 * One way to carry frames down over HTTP.
 *
 * @typedef {object} Transport
 * @property {string} verb_ of its attach
 * @property {any} [isBinary_] the form of what comes down
 * @property {unknown} isSupported_ a feature test, never the user agent
 */

/** @type {Record<string, Transport>} */
export var transports = {
  stream: { verb_: 'stream', isBinary_: true, isSupported_: hasBinary },
  sse: { verb_: 'ticket', isSupported_: scope.EventSource },
  'xhr-stream': { verb_: 'stream', isSupported_: hasTextStream },
  poll: { verb_: 'poll', isBinary_: hasBinary, isSupported_: true },
};

/** The order of preference, where the page has none. */
export var ORDER = ['websocket'].concat(Object.keys(transports));
