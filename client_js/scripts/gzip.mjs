import { gzipSync } from 'node:zlib';
import { gzip } from 'pako';

/**
 * The bytes of a text that is gzipped: Node's own zlib is not quite that of servers, which pako is.
 *
 * @param {string} text
 */
export const sizeOf = (text) =>
  Math.max(gzipSync(text, { level: 9 }).length, gzip(text, { level: 9 }).length);
