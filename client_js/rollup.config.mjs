import { readFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { minify } from 'terser';

const here = import.meta.dirname;
const outDir = resolve(here, process.env.OUT_DIR || '../emulation/static');
const { version } = JSON.parse(readFileSync(resolve(here, 'package.json'), 'utf8'));

/** Put the package's version where the source says "__VERSION__". */
function insertVersion() {
  return {
    name: 'insert-version',
    transform: (code) => ({ code: code.replaceAll('__VERSION__', version), map: null }),
  };
}

/** Minify; names ending in an underscore are private to the shim and may be shortened. */
function minifyChunk() {
  return {
    name: 'minify',
    renderChunk: (code) =>
      minify(code, {
        ecma: 5,
        // A page may read it.
        keep_fnames: /^WebSocket$/,
        // What gzip likes best, found by trying.
        compress: {
          passes: 3,
          unsafe_arrows: false,
          inline: 1,
          conditionals: false,
          pure_getters: true,
          negate_iife: false,
        },
        mangle: { properties: { regex: /[^_]_$/ } },
        format: { ascii_only: true, comments: false },
        sourceMap: true,
      }),
  };
}

export default {
  input: resolve(here, 'src/script.js'),
  plugins: [insertVersion()],
  output: {
    file: resolve(outDir, 'emulation.js'),
    format: 'iife',
    strict: true,
    indent: false,
    sourcemap: true,
    // The map is the same wherever the build is written to.
    sourcemapPathTransform: (source, map) => relative(here, resolve(dirname(map), source)),
    plugins: [minifyChunk()],
  },
};
