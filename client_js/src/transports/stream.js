import { scope } from '../scope.js';
import { createController, fetchSettings, hasBinary } from '../request.js';

/** @type {import('./index.js').Transport} */
export var stream = {
  verb: 'stream',
  binary: true,
  isSupported: function () {
    // `Response.prototype.body` is there where the answer can be read as it comes.
    return hasBinary && scope.fetch && scope.ReadableStream && 'body' in scope.Response.prototype;
  },
  open: function (job, sink) {
    var controller = createController();
    var isAborted = false;
    /** @type {any} */
    var reader;

    /** @param {Response} response */
    function read(response) {
      reader = response.body && response.body.getReader();
      if (!reader) return sink.onend(null);
      if (isAborted) return reader.cancel();

      /** @param {{done: boolean, value: Uint8Array}} result */
      function step(result) {
        if (isAborted) return;
        if (result.done) return sink.onend(response.headers.get('Retry-After'));
        sink.ondata(result.value);
        pull();
      }

      function pull() {
        reader.read().then(step, fail);
      }
      pull();
    }

    function fail() {
      if (!isAborted) sink.onend(null);
    }

    scope.fetch(job.url(), fetchSettings(job.body, controller)).then(read, fail);
    return function () {
      isAborted = true;
      if (controller) controller.abort();
      else if (reader) reader.cancel();
    };
  },
};
