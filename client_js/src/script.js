// The script that a page loads: it installs itself, with the settings of its element or of the page.
import { install } from './emulation.js';
import { document, scope } from './scope.js';

var settings = scope.WebSocketEmulation || {};
// Neither a module nor, in old engines, any script is the current one: it is known by its name.
var script =
  document && (document.currentScript || document.querySelector('script[src*="emulation."]'));

// Loaded twice it is one.
if (!settings.install) {
  'origins transports debug'.split(' ').forEach(function (name) {
    if (script && settings[name] === undefined) {
      settings[name] = script.getAttribute('data-' + name);
    }
  });
  // In a worker the script's own URL is not known: its origin, and every path.
  install(settings, script && script.src);
}
