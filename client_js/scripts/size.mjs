// Prints what each module adds to the built shim, and fails when the whole is too large.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { decode } from '@jridgewell/sourcemap-codec';
import { sizeOf } from './gzip.mjs';

const LIMIT = 10 * 1024;

const file = resolve(import.meta.dirname, '../../emulation/static/emulation.js');
const code = readFileSync(file, 'utf8');
const map = JSON.parse(readFileSync(file + '.map', 'utf8'));
const gzipped = sizeOf(code);

/** Count the minified bytes that come from each source. */
function bytesBySource() {
  const bytes = new Map(map.sources.map((name) => [name, 0]));
  const lines = code.split('\n');
  decode(map.mappings).forEach((segments, line) => {
    segments.forEach((segment, i) => {
      if (segment.length === 1) return;
      const end = i + 1 < segments.length ? segments[i + 1][0] : lines[line].length;
      const name = map.sources[segment[1]];
      bytes.set(name, bytes.get(name) + end - segment[0]);
    });
  });
  return [...bytes].sort((a, b) => b[1] - a[1]);
}

const row = (name, minified, gz) =>
  console.log(name.padEnd(36) + String(minified).padStart(9) + String(gz).padStart(9));

row('module', 'minified', 'gzipped');
for (const [name, bytes] of bytesBySource()) {
  // gzip does not work by modules: each gets its share of the whole.
  row(name, bytes, Math.round((gzipped * bytes) / code.length));
}
row('total', code.length, gzipped);
if (gzipped > LIMIT) {
  console.error(`The shim has ${gzipped} bytes gzipped; the limit is ${LIMIT}.`);
  process.exitCode = 1;
}
