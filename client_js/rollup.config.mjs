import { readFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { minify } from 'terser';

// Those of the local names first: gzip likes what is repeated.
const LETTERS = 'ntreifuocasldvpghmbywxkjqzSTABCDEFGHIJKLMNOPQRUVWXYZ';

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

/** A name for each private property, the shortest for the most frequent. */
function namePrivates(code) {
  const counts = new Map();
  for (const [name] of code.matchAll(/\b\w*[^_\W]_\b/g))
    counts.set(name, (counts.get(name) ?? 0) + 1);
  const names = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a));
  const { length } = LETTERS;
  const short = (_, i) => (LETTERS[Math.floor(i / length) - 1] ?? '') + LETTERS[i % length];
  // Terser's own keys have the dollar sign.
  return Object.fromEntries(names.map((name, i) => ['$' + name, short(name, i)]));
}

/** Minify; names ending in an underscore are private to the shim and may be shortened. */
function minifyChunk() {
  return {
    name: 'minify',
    renderChunk: (code, chunk, { format }) =>
      minify(code, {
        ecma: 5,
        toplevel: format !== 'iife',
        // A page may read it.
        keep_fnames: /^WebSocket$/,
        // What gzip likes best, found by trying.
        compress: {
          passes: 1,
          unsafe_arrows: false,
          unsafe_proto: true,
          hoist_funs: true,
          inline: 1,
          conditionals: false,
          pure_getters: true,
          negate_iife: false,
        },
        mangle: { properties: { regex: /[^_]_$/, builtins: true } },
        nameCache: { props: { props: namePrivates(code) } },
        format: { ascii_only: true, comments: false },
        sourceMap: true,
      }),
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
