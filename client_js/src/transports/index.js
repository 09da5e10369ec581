import { hasBinary, hasByteStream, hasTextStream } from '../request.js';
import { scope } from '../scope.js';

/**
 * One way to carry frames down over HTTP: its attach is a POST with this verb, whose answer is read
 * as it comes (`isStream_`) or whole.
 *
 * @typedef {object} Transport
 * @property {string} verb_
 * @property {boolean} isBinary_ the form of its bodies
 * @property {boolean} isStream_
 * @property {unknown} isSupported_ a feature test, never the user agent
 */

/** @type {Record<string, Transport>} */
export var transports = {
  stream: { verb_: 'stream', isBinary_: true, isStream_: true, isSupported_: hasByteStream },
  sse: { verb_: 'ticket', isBinary_: false, isStream_: false, isSupported_: scope.EventSource },
  'xhr-stream': {
    verb_: 'stream',
    isBinary_: false,
    isStream_: true,
    isSupported_: hasTextStream,
  },
  poll: { verb_: 'poll', isBinary_: hasBinary, isStream_: false, isSupported_: true },
};

/** The order of preference, where the page has none. */
export var ORDER = ['websocket'].concat(Object.keys(transports));
