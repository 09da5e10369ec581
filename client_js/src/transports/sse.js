import { scope } from '../scope.js';

/** @type {import('./index.js').Transport} */
export var sse = {
  verb: 'ticket',
  binary: false,
  isSupported: function () {
    return scope.EventSource;
  },
  open: function (job, sink) {
    /** @type {EventSource | undefined} */
    var source;

    function close() {
      if (source) source.close();
    }

    var abort = job.ticket(function (ticket) {
      try {
        source = new scope.EventSource(job.url('sse', ticket), { withCredentials: true });
      } catch (error) {
        // PhantomJS 1.9.8 throws for another origin.
        return sink.onend(null);
      }
      /** @type {EventSource} */ (source).onmessage = function (event) {
        sink.ondata(event.data + '\n');
      };
      /** @type {EventSource} */ (source).onerror = function () {
        // Its own reconnecting knows nothing of our numbers.
        close();
        sink.onend(null);
      };
    });
    return function () {
      abort();
      close();
    };
  },
};
