// node node.mjs URL: does in Node what tests/engines/page.html does in an engine with documents.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import vm from 'node:vm';

const self = fileURLToPath(import.meta.url);
const url = new URL(process.argv[2]);
const token = url.searchParams.get('token');
const runs = url.searchParams.get('runs').split(',');
const at = Number(url.searchParams.get('at'));
const [transport, ...missing] = runs[at].split('!');
const lines = [];

async function report(result) {
  result.agent = `Node.js/${process.versions.node}`;
  await fetch(`${url.origin}/results/${token}`, { method: 'POST', body: JSON.stringify(result) });
  if (at + 1 < runs.length) {
    url.searchParams.set('at', at + 1);
    spawnSync(process.execPath, [...process.execArgv, self, url.href], { stdio: 'inherit' });
  }
  process.exit(0);
}

async function load(path) {
  const response = await fetch(new URL(path, url));
  vm.runInThisContext(await response.text(), { filename: path });
}

for (const name of missing) delete globalThis[name];
console.log = (text) => lines.push(`${Date.now()} log: ${text}`);
process.on('uncaughtException', (error) => lines.push(`${Date.now()} uncaught: ${error.stack}`));
globalThis.WebSocketEmulation = {
  debug: true,
  origins: [url.origin],
  transports: transport === 'own' ? undefined : [transport],
};
await load('/scenario.js');
await load('/emulation.js');
globalThis.runScenario({
  run: runs[at],
  token: `${token}-${runs[at]}.`,
  base: url.origin.replace('http', 'ws'),
  lines,
  report,
});
