import { scope } from '../scope.js';

/**
 * Read the lines of a downstream from an EventSource.
 *
 * @param {string} url with the ticket
 * @param {import('../request.js').OnData} ondata
 * @param {import('../request.js').OnEnd} onend
 * @returns {() => void} closes
 */
export function listen(url, ondata, onend) {
  // PhantomJS 1.9.8 throws for another origin, and then is late like any other.
  var source = new scope.EventSource(url, { withCredentials: true });

  source.onmessage = function (/** @type {MessageEvent} */ event) {
    ondata(event.data + '\n');
  };
  // It is closed: its own reconnecting knows nothing of our numbers.
  source.onerror = onend;
  return function () {
    source.close();
  };
}
