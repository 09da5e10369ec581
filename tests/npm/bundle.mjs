// node bundle.mjs esbuild|vite ENTRY OUTPUT: makes one module for a browser.
import { basename, dirname, join, resolve } from 'node:path';

const [bundler, entry, output] = process.argv.slice(2);
const file = resolve(output);

const bundlers = {
  async esbuild() {
    const { build } = await import('esbuild');
    await build({
      ...{ entryPoints: [entry], outfile: file, bundle: true, minify: true, format: 'esm' },
      ...{ platform: 'browser', logLevel: 'warning' },
      // Of an entry that is in no package, as those of tests/libraries.
      nodePaths: [join(import.meta.dirname, 'node_modules')],
    });
  },
  async vite() {
    const { build } = await import('vite');
    await build({
      root: dirname(resolve(entry)),
      configFile: false,
      logLevel: 'warn',
      build: {
        outDir: dirname(file),
        emptyOutDir: false,
        modulePreload: { polyfill: false },
        rollupOptions: { input: resolve(entry), output: { entryFileNames: basename(file) } },
      },
    });
  },
};

await bundlers[bundler]();
