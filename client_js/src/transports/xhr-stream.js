import { scope } from '../scope.js';
import { postXHR } from '../request.js';

/** @type {import('./index.js').Transport} */
export var xhrStream = {
  verb: 'stream',
  binary: false,
  isSupported: function () {
    // IE 8 and 9 give no text before the end.
    return scope.XMLHttpRequest && 'onprogress' in new scope.XMLHttpRequest();
  },
  open: function (job, sink) {
    var offset = 0;
    var isOver = false;

    /** @param {XMLHttpRequest} xhr */
    function read(xhr) {
      if (isOver || xhr.readyState < 3) return;
      var text = xhr.responseText;
      if (text.length > offset) {
        var chunk = text.slice(offset);
        offset = text.length;
        sink.ondata(chunk);
      }
      if (xhr.readyState < 4 || isOver) return;
      isOver = true;
      sink.onend(xhr.status ? xhr.getResponseHeader('Retry-After') : null);
    }

    var request = postXHR(job.url(), job.body, '', read);
    // Some engines tell of new text by `progress` alone.
    request.onprogress = function () {
      read(request);
    };
    return function () {
      isOver = true;
      request.abort();
    };
  },
};
