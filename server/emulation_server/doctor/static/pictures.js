// Pictures of what was measured. Each number in them stands in words beside them, for engines that
// draw nothing and people who do not look.

(function () {
  'use strict';

  var NAMESPACE = 'http://www.w3.org/2000/svg';
  var NARROWEST = 240;
  // Of the picture that is drawn.
  var WIDTH = 640;
  var canDraw =
    !!document.createElementNS && !!document.createElementNS(NAMESPACE, 'svg').createSVGRect;
  var format = doctor.format;

  function element(name, attributes, text) {
    var made = document.createElementNS(NAMESPACE, name);
    for (var key in attributes) made.setAttribute(key, attributes[key]);
    if (text !== undefined) made.appendChild(document.createTextNode(text));
    return made;
  }

  /** Begin a picture that is as wide as its place; `label` is what it says. */
  function begin(height, label) {
    var svg = element('svg', {
      viewBox: '0 0 ' + WIDTH + ' ' + height,
      // Old engines find no height by themselves.
      width: WIDTH,
      height: height,
      role: 'img',
      'aria-label': label,
      class: 'chart',
    });
    return svg;
  }

  function add(svg, name, attributes, text) {
    svg.appendChild(element(name, attributes, text));
  }

  /** Draw a row of dots, one for each time, with the median and the 95th percentile as lines. */
  function dots(svg, times, top, most, left) {
    var width = WIDTH - left - 12;
    var median = format.quantile(times, 0.5);
    function x(time) {
      return (left + (Math.min(time, most) / most) * width).toFixed(1);
    }
    add(svg, 'line', { x1: left, x2: WIDTH - 12, y1: top, y2: top, class: 'axis', stroke: '#ccc' });
    times.forEach(function (time) {
      add(svg, 'circle', {
        cx: x(time),
        cy: top,
        r: 5,
        class: 'dot',
        fill: '#2a6fdb',
        'fill-opacity': 0.35,
      });
    });
    [median, format.quantile(times, 0.95)].forEach(function (time, index) {
      var at = x(time);
      var tall = index ? 7 : 11;
      add(svg, 'line', {
        x1: at,
        x2: at,
        y1: top - tall,
        y2: top + tall,
        class: index ? 'p95' : 'median',
        stroke: '#1d4f9e',
        'stroke-width': index ? 1.5 : 3,
      });
    });
  }

  function scaled(value) {
    var steps = [2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000];
    for (var i = 0; i < steps.length; i++) if (value <= steps[i]) return steps[i];
    return Math.max(value, 1);
  }

  function axis(svg, top, most, left) {
    var attributes = { y: top, class: 'label', fill: '#666', 'font-size': 12 };
    add(svg, 'text', { x: left, y: top, class: 'label', fill: '#666', 'font-size': 12 }, '0');
    attributes.x = WIDTH - 12;
    attributes['text-anchor'] = 'end';
    add(svg, 'text', attributes, format.milliseconds(most));
  }

  function reach(found) {
    if (!found.rtt || !found.rtt.length) return null;
    var most = scaled(Math.max.apply(null, found.rtt));
    var svg = begin(52, 'Round trips of single requests, up to ' + format.milliseconds(most));
    dots(svg, found.rtt, 18, most, 12);
    axis(svg, 46, most, 12);
    return svg;
  }

  function sessions(found) {
    var names = doctor.order.filter(function (name) {
      return found[name];
    });
    if (!names.length) return null;
    var slowest = 1;
    names.forEach(function (name) {
      if (doctor.works(found[name])) {
        slowest = Math.max(slowest, format.quantile(found[name].rtt, 0.95));
      }
    });
    var most = scaled(slowest);
    var svg = begin(names.length * 34 + 20, 'Round trips over each transport');
    names.forEach(function (name, index) {
      var top = index * 34 + 16;
      var isGood = doctor.works(found[name]);
      add(
        svg,
        'text',
        {
          x: 0,
          y: top + 5,
          class: isGood ? 'name' : 'name off',
          fill: isGood ? '#222' : '#777',
          'font-size': 15,
        },
        name
      );
      if (isGood) dots(svg, found[name].rtt, top, most, 110);
      else {
        add(svg, 'line', {
          x1: 110,
          x2: WIDTH - 12,
          y1: top,
          y2: top,
          class: 'dead',
          stroke: '#b3261e',
          'stroke-width': 2,
          'stroke-dasharray': '3 6',
        });
      }
    });
    axis(svg, names.length * 34 + 14, most, 110);
    return svg;
  }

  /** Draw written and arrived bytes over time, the bytes on a logarithmic scale. */
  function staircase(svg, points, x, y, end, attributes) {
    var path = 'M' + x(0) + ' ' + y(0);
    points.forEach(function (point) {
      path += 'H' + x(point[0]) + 'V' + y(point[1]);
    });
    attributes.d = path + 'H' + x(end);
    attributes.fill = 'none';
    add(svg, 'path', attributes);
  }

  function stream(found, roundTrip, title) {
    var held = doctor.holdBack(found, roundTrip);
    if (!held) return null;
    var height = 130;
    var bottom = height - 24;
    var last = found.arrived[found.arrived.length - 1];
    var end = Math.max(last[0], found.written[found.written.length - 1][0] + roundTrip) * 1.03;
    var total = found.written[found.written.length - 1][1];
    function x(time) {
      return (8 + (time / end) * (WIDTH - 16)).toFixed(1);
    }
    function y(bytes) {
      return (
        bottom -
        (Math.log(1 + bytes / 64) / Math.log(1 + total / 64)) * (bottom - 8)
      ).toFixed(1);
    }
    var svg = begin(height, title + ': written and arrived over time');
    add(svg, 'line', {
      x1: 8,
      x2: WIDTH - 8,
      y1: bottom,
      y2: bottom,
      class: 'axis',
      stroke: '#ccc',
    });
    var written = found.written.map(function (piece) {
      return [piece[0] + roundTrip, piece[1]];
    });
    staircase(svg, written, x, y, end, {
      class: 'written',
      stroke: '#888',
      'stroke-width': 7,
      'stroke-opacity': 0.4,
    });
    staircase(svg, found.arrived, x, y, end, {
      class: held.isLate ? 'arrived late' : 'arrived',
      stroke: held.isLate ? '#b3261e' : '#2a6fdb',
      'stroke-width': 2.5,
    });
    add(svg, 'text', { x: 8, y: height - 6, class: 'label', fill: '#666', 'font-size': 12 }, '0 s');
    add(
      svg,
      'text',
      {
        x: WIDTH - 8,
        y: height - 6,
        class: 'label',
        fill: '#666',
        'font-size': 12,
        'text-anchor': 'end',
      },
      Math.round(end / 100) / 10 + ' s, ' + format.size(total)
    );
    return svg;
  }

  function streams(found, result) {
    var roundTrip = format.quantile((result.reach || {}).rtt, 0.5);
    var place = document.createElement('div');
    [
      ['bytes', 'Stream'],
      ['events', 'Server-sent events'],
    ].forEach(function (kind) {
      var svg = found[kind[0]] && stream(found[kind[0]], roundTrip, kind[1]);
      if (!svg) return;
      var caption = document.createElement('p');
      caption.className = 'caption';
      caption.appendChild(
        document.createTextNode(kind[1] + ', written (broad) and arrived (narrow)')
      );
      place.appendChild(caption);
      place.appendChild(svg);
    });
    return place;
  }

  function volume(found) {
    var rows = [];
    [
      ['down', '↓ '],
      ['up', '↑ '],
    ].forEach(function (way) {
      (found[way[0]] || []).forEach(function (entry) {
        rows.push([way[1] + format.size(entry[0]), entry, way[0]]);
      });
    });
    if (!rows.length) return null;
    var svg = begin(rows.length * 24 + 4, 'Rates of downloads and uploads by their size');
    var fastest = 1;
    rows.forEach(function (row) {
      if (!doctor.isRefused(row[1]))
        fastest = Math.max(fastest, row[1][0] / Math.max(1, row[1][1]));
    });
    rows.forEach(function (row, index) {
      var top = index * 24 + 2;
      var isRefused = doctor.isRefused(row[1]);
      var share = row[1][0] / Math.max(1, row[1][1]) / fastest;
      add(svg, 'text', { x: 0, y: top + 15, class: 'name', fill: '#222', 'font-size': 14 }, row[0]);
      add(svg, 'rect', {
        x: 100,
        y: top + 2,
        height: 16,
        rx: 3,
        width: isRefused ? 3 : Math.max(3, share * (WIDTH - 210)).toFixed(1),
        class: isRefused ? 'bar refused' : 'bar ' + row[2],
        fill: isRefused ? '#b3261e' : '#2a6fdb',
      });
      add(
        svg,
        'text',
        {
          x: 112 + (isRefused ? 0 : share * (WIDTH - 210)),
          y: top + 15,
          class: 'label',
          fill: '#666',
          'font-size': 13,
        },
        isRefused
          ? 'refused' + (row[1][2] > 0 ? ', ' + row[1][2] : '')
          : format.rate(row[1][0], row[1][1])
      );
    });
    return svg;
  }

  function idle(found) {
    if (!found.tried) return null;
    var svg = begin(46, 'Silence that was allowed: ' + found.passed + ' of ' + found.tried + ' s');
    var width = WIDTH - 24;
    function x(seconds) {
      return 12 + (seconds / found.tried) * width;
    }
    add(svg, 'rect', {
      x: 12,
      y: 8,
      width: width,
      height: 12,
      rx: 6,
      class: 'track',
      fill: '#ddd',
    });
    if (found.passed) {
      add(svg, 'rect', {
        x: 12,
        y: 8,
        width: x(found.passed) - 12,
        height: 12,
        rx: 6,
        class: 'bar down',
        fill: '#2a6fdb',
      });
    }
    if (found.failed) {
      add(svg, 'line', {
        x1: x(found.failed),
        x2: x(found.failed),
        y1: 2,
        y2: 26,
        class: 'dead',
        stroke: '#b3261e',
        'stroke-width': 3,
      });
    }
    add(svg, 'text', { x: 12, y: 40, class: 'label', fill: '#666', 'font-size': 12 }, '0 s');
    add(
      svg,
      'text',
      { x: WIDTH - 12, y: 40, 'text-anchor': 'end', class: 'label', fill: '#666', 'font-size': 12 },
      found.tried + ' s'
    );
    return svg;
  }

  var PICTURES = { reach: reach, streams: streams, sessions: sessions, volume: volume, idle: idle };

  /** Return the picture of a step, for a place of so many pixels; null where there is none. */
  doctor.picture = function (name, result, width) {
    WIDTH = Math.max(NARROWEST, width || 0);
    if (!canDraw || !PICTURES[name] || !result[name]) return null;
    return PICTURES[name](result[name], result);
  };
})();
