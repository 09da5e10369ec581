import { hasBinary, request } from '../request.js';

// A proxy may keep an answer for a while; the server answers after `poll` seconds.
var GRACE = 10;

/** @type {import('./index.js').Transport} */
export var poll = {
  verb: 'poll',
  binary: hasBinary,
  isSupported: function () {
    return true;
  },
  open: function (job, sink) {
    return request(job.url(), job.body, job.pollTime + GRACE, function (answer) {
      if (answer) sink.ondata(answer.body);
      sink.onend(answer && answer.header('Retry-After'));
    });
  },
};
