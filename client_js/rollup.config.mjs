import { readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, relative, resolve } from 'node:path';
import { decode, encode } from '@jridgewell/sourcemap-codec';
import { minify } from 'terser';
import { assign, findSymbols, improve, rename, tabulate } from './scripts/names.mjs';

const here = import.meta.dirname;
const outDir = resolve(here, process.env.OUT_DIR || '../emulation/static');
const NAMES = resolve(here, 'names.json');
// With it the names are searched anew, so long (`npm run names`).
const SEARCH_SECONDS = Number(process.env.SEARCH_SECONDS || 0);
const { version } = JSON.parse(readFileSync(resolve(here, 'package.json'), 'utf8'));

/** Put the package's version where the source says "__VERSION__". */
function insertVersion() {
  return {
    name: 'insert-version',
    transform: (code) => ({ code: code.replaceAll('__VERSION__', version), map: null }),
  };
}

/** Give the code of one line its short names; they are bettered first if that is asked for. */
function shorten(code, map, { file }) {
  const symbols = findSymbols(code);
  assign(symbols, JSON.parse(readFileSync(NAMES, 'utf8')));
  if (SEARCH_SECONDS) {
    improve(code, symbols, `\n//# sourceMappingURL=${basename(file)}.map\n`, SEARCH_SECONDS);
    writeFileSync(NAMES, JSON.stringify(tabulate(symbols), null, 2) + '\n');
  }
  const renamed = rename(code, symbols);
  const mappings = decode(map.mappings).map((segments) =>
    segments
      .map(([column, ...source]) => [renamed.toColumn(column), ...source])
      .sort(([a], [b]) => a - b)
  );
  return { code: renamed.code, map: { ...map, mappings: encode(mappings) } };
}

/** Minify; names ending in an underscore are private to the shim and may be shortened. */
function minifyChunk() {
  return {
    name: 'minify',
    async renderChunk(source, chunk, output) {
      const isScript = output.format === 'iife';
      const { code, map } = await minify(source, {
        ecma: 5,
        toplevel: !isScript,
        // A page may read it.
        keep_fnames: /^WebSocket$/,
        // What gzip likes best, found by trying.
        compress: {
          passes: 2,
          unsafe_arrows: false,
          unsafe_proto: true,
          hoist_funs: true,
          inline: 2,
          conditionals: false,
          pure_getters: true,
          negate_iife: false,
        },
        mangle: !isScript && { properties: { regex: /[^_]_$/, builtins: true } },
        format: { ascii_only: true, comments: false },
        sourceMap: { asObject: true },
      });
      return isScript ? shorten(code, map, output) : { code, map };
    },
  };
}

/** What is published carries its types. */
function addTypes() {
  const names = ['index.d.ts', 'index.d.cts', 'emulation.d.ts'];
  return {
    name: 'add-types',
    generateBundle() {
      for (const fileName of names) {
        const source = readFileSync(resolve(here, 'types', fileName), 'utf8');
        this.emitFile({ type: 'asset', fileName, source });
      }
    },
  };
}

function bundle(input, output) {
  return {
    input: resolve(here, 'src', input),
    plugins: [insertVersion()],
    output: {
      strict: true,
      indent: false,
      sourcemap: true,
      // The map is the same wherever the build is written to.
      sourcemapPathTransform: (source, map) => relative(here, resolve(dirname(map), source)),
      ...output,
      plugins: [minifyChunk(), ...(output.plugins || [])],
    },
  };
}

const script = (directory) =>
  bundle('script.js', { file: resolve(directory, 'emulation.js'), format: 'iife' });

const dist = resolve(here, 'dist');

/** `rollup -c` builds the script that the server serves, with --configPackage what npm packs. */
export default (options) =>
  options.configPackage
    ? [
        script(dist),
        bundle('index.js', {
          file: resolve(dist, 'index.cjs'),
          format: 'cjs',
          plugins: [addTypes()],
        }),
        bundle('index.js', { file: resolve(dist, 'index.js'), format: 'es' }),
      ]
    : script(outDir);
