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
  /** @type {EventSource} */
  var source;

  function end() {
    // Its own reconnecting knows nothing of our numbers.
    if (source) source.close();
    onend(0, '');
  }

  try {
    source = new scope.EventSource(url, { withCredentials: true });
    source.onmessage = function (event) {
      ondata(event.data + '\n');
    };
    source.onerror = end;
  } catch (error) {
    // PhantomJS 1.9.8 throws for another origin.
    setTimeout(end, 0);
  }
  return function () {
    if (source) source.close();
  };
}
