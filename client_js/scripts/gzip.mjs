import { gzipSync } from 'node:zlib';
import { gzip } from 'pako';

/** @param {string} text */
export const zlibSizeOf = (text) => gzipSync(text, { level: 9 }).length;

/**
 * The bytes of a text that is gzipped: Node's own zlib is not quite that of servers, which pako is.
 *
 * @param {string} text
 */
export const sizeOf = (text) => Math.max(zlibSizeOf(text), gzip(text, { level: 9 }).length);
