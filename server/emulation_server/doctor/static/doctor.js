// The page: it runs the checks one after another, or draws the result that its link holds.

(function () {
  'use strict';

  var VERSION = 1;
  // The run begins with the server's first answer, and all of it must end before the server does.
  var MARGIN_SECONDS = 4;
  var GRADES = {
    good: 'Fine',
    fair: 'With limits',
    bad: 'Failed',
    none: 'Not known',
    run: 'Under way',
    wait: '',
  };

  var steps = {};
  var exam = null;

  function get(id) {
    return document.getElementById(id);
  }

  function make(name, className, text) {
    var made = document.createElement(name);
    if (className) made.className = className;
    if (text) made.appendChild(document.createTextNode(text));
    return made;
  }

  function setText(node, text) {
    if (node.firstChild && node.firstChild.nodeValue === text) return;
    while (node.firstChild) node.removeChild(node.firstChild);
    node.appendChild(document.createTextNode(text));
  }

  function show(node, isShown) {
    // Engines without the attribute have style sheets.
    if (isShown) node.removeAttribute('hidden');
    else node.setAttribute('hidden', 'hidden');
  }

  // --- Drawing -----------------------------------------------------------------------------------

  function fill(listing, texts) {
    while (listing.firstChild) listing.removeChild(listing.firstChild);
    texts.forEach(function (text) {
      listing.appendChild(make('li', '', text));
    });
    show(listing, texts.length);
  }

  function addStep(name) {
    var item = make('li', 'step wait');
    var step = {
      item: item,
      grade: make('span', 'grade'),
      words: make('p', 'words'),
      picture: make('div', 'picture'),
      more: make('ul', 'more'),
    };
    var title = make('h2', '', doctor.title(name));
    title.appendChild(step.grade);
    [title, step.words, step.picture, step.more].forEach(function (part) {
      item.appendChild(part);
    });
    show(step.more, false);
    get('steps').appendChild(item);
    steps[name] = step;
  }

  function describeSessions(result) {
    var found = result.sessions || {};
    return doctor.order
      .filter(function (name) {
        return found[name];
      })
      .map(function (name) {
        return name + ': ' + doctor.describe(found[name]);
      });
  }

  /** Draw a step; `doing` is what it does at the moment, or 'wait'. */
  function drawStep(name, result, doing) {
    var step = steps[name];
    var words = doctor.words(name, result);
    var grade = doing === 'wait' ? 'wait' : doing ? 'run' : words.grade;
    step.item.className = 'step ' + grade;
    setText(step.grade, ' ' + GRADES[grade]);
    var silent = { wait: 'Waits for its turn.', run: doing + ' …' }[grade] || 'Not tried.';
    setText(step.words, words.text || silent);
    var more = name === 'sessions' ? words.more.concat(describeSessions(result)) : words.more;
    fill(step.more, more);
    while (step.picture.firstChild) step.picture.removeChild(step.picture.firstChild);
    var picture = doctor.picture(name, result, step.words.clientWidth);
    if (picture) step.picture.appendChild(picture);
  }

  function drawVerdict(result, isFinal) {
    var verdict = doctor.verdict(result);
    get('verdict').className = 'card ' + verdict.grade + (isFinal ? '' : ' early');
    setText(get('headline'), verdict.headline);
    fill(get('findings'), verdict.findings);
    document.title = verdict.headline;
  }

  function drawLink(result) {
    get('link').value = location.href.replace(/#.*/, '') + '#' + doctor.pack(result);
    show(get('share'), true);
  }

  function draw(result) {
    doctor.checks.forEach(function (check) {
      drawStep(check[0], result, '');
    });
    drawVerdict(result, true);
    drawLink(result);
    setText(get('footer'), new Date(result.at * 1000).toUTCString() + ' · ' + result.agent);
    setText(get('host'), result.url);
    show(get('progress'), false);
    show(get('skip'), false);
    show(get('again'), true);
  }

  // --- Running -----------------------------------------------------------------------------------

  function setProgress(share) {
    get('bar').style.width = Math.round(100 * share) + '%';
    get('progress').setAttribute('aria-valuenow', Math.round(100 * share));
  }

  function newExam() {
    var longest = /[?&]silence=(\d+)/.exec(location.search);
    return {
      run: doctor.draw(),
      transports: [],
      longestSilence: longest ? Number(longest[1]) : 100,
      endsAt: 0,
      onskip: null,
      isUnderWay: true,
      result: {
        v: VERSION,
        at: Math.round(new Date().getTime() / 1000),
        url: location.protocol + '//' + location.host,
        agent: navigator.userAgent.slice(0, 300),
      },
      secondsLeft: function () {
        return (this.endsAt - doctor.now()) / 1000 - MARGIN_SECONDS;
      },
      say: function (text) {
        // Read out to who does not see: not for each second.
        setText(get('now'), text + ' …');
        show(get('skip'), !!this.onskip);
      },
      update: function () {},
      advance: function () {},
      onlost: function () {},
    };
  }

  function runCheck(index) {
    var check = doctor.checks[index];
    var running = exam;
    if (!check) return finish();
    exam.advance = function (share) {
      if (exam === running) setProgress((index + share) / doctor.checks.length);
    };
    exam.onlost = function (sentence) {
      if (exam !== running || !exam.isUnderWay) return;
      fail(sentence, {});
    };
    exam.update = function () {
      if (exam === running) drawStep(check[0], exam.result, check[1]);
    };
    exam.advance(0);
    exam.update();
    exam.say(check[1]);
    check[2](exam, function () {
      if (exam !== running || !exam.isUnderWay) return;
      drawStep(check[0], exam.result, '');
      // What follows adds to the verdict, and does not change its first sentence.
      if (check[0] === 'sessions') drawVerdict(exam.result, false);
      runCheck(index + 1);
    });
  }

  function finish() {
    exam.isUnderWay = false;
    setProgress(1);
    setText(get('now'), 'Done.');
    doctor.ask(exam, 'end', {}, function () {
      draw(exam.result);
      document.documentElement.setAttribute('data-state', 'done');
    });
  }

  function fail(sentence, outcome) {
    var status = outcome.status;
    exam.isUnderWay = false;
    exam.result.error =
      sentence ||
      'POST does not get through: ' +
        (status ? 'somebody answered with ' + status : 'no answer') +
        '.';
    draw(exam.result);
    setText(get('now'), '');
    document.documentElement.setAttribute('data-state', sentence ? 'refused' : 'done');
  }

  function run() {
    exam = newExam();
    document.documentElement.setAttribute('data-state', 'running');
    show(get('again'), false);
    show(get('share'), false);
    show(get('progress'), true);
    get('verdict').className = 'card early';
    setText(get('headline'), 'Examining …');
    fill(get('findings'), []);
    doctor.checks.forEach(function (check) {
      drawStep(check[0], {}, 'wait');
    });
    setText(get('host'), location.host);
    setProgress(0);
    exam.say('Beginning');
    doctor.start(exam, function (sentence, outcome) {
      if (sentence || !exam.endsAt) return fail(sentence, outcome);
      runCheck(0);
    });
  }

  // --- Saving ------------------------------------------------------------------------------------

  function canSave() {
    try {
      return !!new Blob(['']) && 'download' in make('a') && !!window.URL.createObjectURL;
    } catch (error) {
      return false;
    }
  }

  function save(name, type, text) {
    // To be copied from there, above all where an engine only believes that it can save.
    get('report').value = text;
    show(get('report'), true);
    get('report').focus();
    get('report').select();
    if (!canSave()) return;
    var anchor = make('a');
    var url = window.URL.createObjectURL(new Blob([text], { type: type }));
    anchor.href = url;
    anchor.download = name;
    document.body.appendChild(anchor);
    anchor.click();
    document.body.removeChild(anchor);
    setTimeout(function () {
      window.URL.revokeObjectURL(url);
    }, 1000);
  }

  /** Return the page as a document that needs nothing beside it. */
  function toHTML(style) {
    var main = get('main').cloneNode(true);
    ['share', 'controls', 'progress', 'now'].forEach(function (id) {
      var part = main.querySelector('#' + id);
      if (part) part.parentNode.removeChild(part);
    });
    return (
      '<!doctype html><html lang="en"><meta charset="utf-8">' +
      '<meta name="viewport" content="width=device-width, initial-scale=1">' +
      '<title>Report</title><style>' +
      style +
      '</style><body>' +
      main.outerHTML +
      '</body></html>\n'
    );
  }

  function listen(result) {
    get('save-json').onclick = function () {
      save('doctor.json', 'application/json', JSON.stringify(result(), null, 1) + '\n');
    };
    get('save-text').onclick = function () {
      save('doctor.txt', 'text/plain', doctor.report(result()));
    };
    get('save-html').onclick = function () {
      doctor.request({ method: 'GET', url: 'doctor.css', seconds: 6 }, function (outcome) {
        save('doctor.html', 'text/html', toHTML(outcome.text));
      });
    };
    get('copy').onclick = function () {
      get('link').focus();
      get('link').select();
      if (document.execCommand) document.execCommand('copy');
    };
    get('skip').onclick = function () {
      if (exam && exam.onskip) exam.onskip();
    };
    get('again').onclick = function () {
      if (location.hash) location.href = location.href.replace(/#.*/, '#');
      shown = null;
      run();
    };
  }

  // --- The beginning -----------------------------------------------------------------------------

  /** Return the result in the page's link, undefined where there is none. */
  function linked() {
    var result = doctor.unpack(location.hash.slice(1));
    return result && result.v === VERSION ? result : undefined;
  }

  var shown = linked();
  doctor.checks.forEach(function (check) {
    addStep(check[0]);
  });
  listen(function () {
    return shown || exam.result;
  });
  window.addEventListener('pagehide', function () {
    // Else the next examination has to wait until the server misses this one.
    if (exam && navigator.sendBeacon) navigator.sendBeacon(doctor.address(exam, 'end'));
  });

  window.addEventListener('resize', function () {
    var result = shown || (exam && !exam.isUnderWay && exam.result);
    if (result) draw(result);
  });

  if (!shown) return run();
  try {
    draw(shown);
    setText(get('now'), 'This is the result that the link holds; nothing was examined now.');
    document.documentElement.setAttribute('data-state', 'shown');
  } catch (error) {
    setText(get('headline'), 'This link holds no result.');
    show(get('again'), true);
  }
})();
