// Does in a worker what tests/engines/page.html does in a document.
'use strict';

const settings = new URLSearchParams(self.location.search);
const run = settings.get('runs');
const lines = [];

self.addEventListener('error', ({ message }) => lines.push(`uncaught: ${message}`));
self.WebSocketEmulation = { debug: true, transports: [run] };
self.console.log = (text) => lines.push(`log: ${text}`);
if (run !== 'native') importScripts('/emulation.js');
importScripts('/scenario.js');

runScenario({
  run,
  base: self.location.origin.replace('http', 'ws'),
  lines,
  report(result) {
    fetch(`/results/${settings.get('token')}`, { method: 'POST', body: JSON.stringify(result) });
  },
});
