// node server.mjs DIRECTORY URL PORT: a development server of Vite's, which passes our paths on to URL.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [root, target, port] = process.argv.slice(2);
const require = createRequire(join(import.meta.dirname, '../../npm/package.json'));
const { createServer } = await import(pathToFileURL(require.resolve('vite')).href);

const server = await createServer({
  ...{ root, configFile: false, cacheDir: join(root, '.vite'), logLevel: 'warn' },
  server: {
    host: '127.0.0.1',
    port: Number(port),
    strictPort: true,
    proxy: { '/emulation.': target, '/echo': { target, ws: true } },
  },
});
// A file that changes before is not noticed.
const isWatching = new Promise((resolve) => server.watcher.once('ready', resolve));
await server.listen();
await isWatching;
console.log(`http://127.0.0.1:${port}`);
