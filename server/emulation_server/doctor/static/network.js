// Requests with all that can be seen of them, in any engine that has XMLHttpRequest.

(function () {
  'use strict';

  var base = location.href.replace(/[?#].*/, '').replace(/[^/]*$/, '');

  doctor.now = function () {
    return window.performance && performance.now ? performance.now() : new Date().getTime();
  };

  /** @returns {number} milliseconds, to a tenth */
  doctor.since = function (time) {
    return Math.round((doctor.now() - time) * 10) / 10;
  };

  /** Return the URL of a check, with more of a query if there is any. */
  doctor.address = function (exam, path, more) {
    return base + path + '?run=' + exam.run + (more ? '&' + more : '');
  };

  /** @returns {string} 22 characters of base64url */
  doctor.draw = function () {
    var alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    var text = '';
    while (text.length < 22) text += alphabet.charAt(Math.floor(Math.random() * 64));
    return text;
  };

  /**
   * Ask for something.
   *
   * @param {{method?: string, url: string, body?: string, headers?: object, seconds: number,
   *   onprogress?: (milliseconds: number, characters: number) => void}} options
   * @param {(outcome: {status: number, text: string, headers: string, first: number,
   *   total: number, error: string}) => void} done
   * @returns {() => void} aborts, without a word
   */
  doctor.request = function (options, done) {
    var xhr = new XMLHttpRequest();
    var began = doctor.now();
    // Some engines forget what had come when an answer is cut.
    var seen = '';
    var first;
    var isOver = false;

    function text() {
      try {
        return xhr.responseText || '';
      } catch (error) {
        return ''; // before there is any, in some engines
      }
    }

    function look() {
      if (isOver || xhr.readyState < 2) return;
      if (first === undefined) first = doctor.since(began);
      var length = text().length;
      if (length <= seen.length) return;
      seen = text();
      if (options.onprogress) options.onprogress(doctor.since(began), length);
    }

    function finish(error) {
      if (isOver) return;
      look();
      isOver = true;
      clearTimeout(timer);
      done({
        status: error ? 0 : xhr.status,
        text: seen,
        headers: error ? '' : xhr.getAllResponseHeaders() || '',
        first: first === undefined ? -1 : first,
        total: doctor.since(began),
        error: error || (xhr.status ? '' : 'broken off'),
      });
    }

    var timer = setTimeout(function () {
      finish('no answer');
      xhr.abort();
    }, options.seconds * 1000);

    xhr.open(options.method || 'POST', options.url, true);
    for (var name in options.headers || {}) xhr.setRequestHeader(name, options.headers[name]);
    if (options.body !== undefined) {
      xhr.setRequestHeader('Content-Type', 'application/octet-stream');
    }
    xhr.onprogress = look;
    xhr.onreadystatechange = function () {
      look();
      if (xhr.readyState === 4) finish('');
    };
    try {
      xhr.send(options.body === undefined ? null : options.body);
    } catch (error) {
      finish('broken off');
    }

    return function () {
      isOver = true;
      clearTimeout(timer);
      xhr.abort();
    };
  };

  /** Return an answer's JSON, null where it is not an answer of ours. */
  doctor.own = function (exam, outcome) {
    try {
      var answer = JSON.parse(outcome.text);
      return answer.run === exam.run ? answer : null;
    } catch (error) {
      return null;
    }
  };

  /** Return the sentence with which the server refuses, '' where it is not ours. */
  doctor.refusal = function (outcome) {
    try {
      return String(JSON.parse(outcome.text).error || '');
    } catch (error) {
      return '';
    }
  };

  /** Ask for the JSON of a check. */
  doctor.ask = function (exam, path, options, done) {
    doctor.request(
      {
        method: options.method,
        url: doctor.address(exam, path, options.query),
        body: options.method && options.method !== 'POST' ? undefined : options.body || '',
        headers: options.headers,
        seconds: options.seconds || 6,
      },
      function (outcome) {
        // A computer that slept has lost its examination.
        if (outcome.status === 404 && doctor.refusal(outcome)) exam.onlost(doctor.refusal(outcome));
        done(doctor.own(exam, outcome), outcome);
      }
    );
  };
})();
