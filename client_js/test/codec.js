import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { createBody, createDecoder, fromElement, toJSON } from '../src/codec.js';
import { measure } from '../src/bytes.js';
import { fromMessage, toMessage } from '../src/transports/websocket.js';
import { CLOSE, DOCUMENT, TEXT, UNKNOWN } from '../src/codec.js';

/** Read the examples that both languages share. */
function vectors(name) {
  const file = new URL(`../../tests/vectors/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')).cases;
}

const fromHex = (text) => new Uint8Array(Buffer.from(text, 'hex'));
const toHex = (body) => Buffer.from(body).toString('hex');

/** Write a frame as an element of a line. */
function toElement({ type_, data_ }) {
  if (type_ === TEXT || type_ === DOCUMENT) return data_;
  if (type_ === CLOSE) return ['c', ...data_.filter((part) => part !== '')];
  if (typeof data_ === 'string') return ['t', data_];
  return [type_ === 2 ? 'b' : 'p', Buffer.from(data_).toString('base64')];
}

/** Decode a body that comes in pieces of this size. */
function decode(isBinary, body, size = body.length || 1) {
  const frames = [];
  const push = createDecoder(isBinary, (frame) => frames.push(frame));
  let isGood = true;
  for (let i = 0; i < body.length && isGood; i += size) isGood = push(body.slice(i, i + size));
  return { frames, isGood };
}

const isEnd = ({ type_, data_ }) => type_ === DOCUMENT && data_[0] === 'end';

for (const { name, element, json, binary } of vectors('frames')) {
  test(`a frame: ${name}`, () => {
    const frame = fromElement(element);
    assert.deepEqual(toElement(frame), element);
    const body = createBody(true);
    body.add_(frame, Infinity);
    assert.ok(toHex(body.finish_()).startsWith(binary));
    const { frames } = decode(true, fromHex(binary));
    assert.deepEqual(frames.map(toElement), [element]);
    if (json) assert.deepEqual(JSON.parse(json), element);
  });
}

for (const { name, lines, binary, json, frames: count } of vectors('bodies')) {
  const elements = lines.flat();
  test(`a body is written: ${name}`, () => {
    for (const isBinary of [true, false]) {
      const body = createBody(isBinary);
      for (const element of elements) body.add_(fromElement(element), Infinity);
      if (isBinary) assert.equal(toHex(body.finish_()), binary);
      // The page writes one line, and the vector has one for each call.
      else if (lines.length === 1) assert.equal(body.finish_(), json);
    }
  });
  for (const size of [1, 7, undefined]) {
    test(`a body is read in pieces of ${size ?? 'any size'}: ${name}`, () => {
      for (const [isBinary, whole] of [
        [true, fromHex(binary)],
        [false, json],
      ]) {
        const { frames, isGood } = decode(isBinary, whole, size);
        assert.ok(isGood);
        assert.equal(frames.length, count);
        assert.ok(isEnd(frames.pop()));
        assert.deepEqual(frames.map(toElement), elements);
      }
    });
  }
}

for (const { name, form, body, verdict, whole } of vectors('malformed')) {
  // A page keeps what its own server sends; it has no limit of its own for one frame.
  if (verdict === 'too large') continue;
  // Nor does it mind where the end stands.
  if (/^an end (that is not alone|with something behind)/.test(name)) continue;
  test(`a body that is ${verdict}: ${name} (${form})`, () => {
    const isBinary = form === 'binary';
    const { frames, isGood } = decode(isBinary, isBinary ? fromHex(body) : body);
    assert.equal(isGood, ['fine', 'skipped', 'cut'].includes(verdict));
    assert.equal(frames.some(isEnd), ['fine', 'skipped'].includes(verdict));
    const known = frames.filter((frame) => frame.type_ <= DOCUMENT && !isEnd(frame));
    assert.deepEqual(
      known.map((frame) => (frame.data_ === null ? null : toElement(frame))),
      whole.map((element) => (fromElement(element).data_ === null ? null : element))
    );
  });
}

for (const { name, wire, verdict, value } of vectors('ws')) {
  test(`a text on a native socket: ${name}`, () => {
    const frame = fromMessage(wire);
    if (verdict === 'error') return assert.equal(frame.type_, UNKNOWN);
    assert.deepEqual(toElement(frame), value);
    if (verdict !== 'frame' && (verdict !== 'text' || wire === value || value[0] === '\0')) {
      assert.equal(toMessage(frame), wire);
    }
  });
}

test('a body of a page is ASCII in the JSON form', () => {
  assert.match(toJSON(['žluťoučký 😀\u2028\x7f']), /^[\x20-\x7e]+$/);
});

test('a body takes no more than its limit', () => {
  for (const isBinary of [true, false]) {
    const body = createBody(isBinary);
    assert.ok(body.add_(fromElement('x'.repeat(90)), 100));
    assert.ok(!body.add_(fromElement('xxxxxxxx'), 100));
    assert.ok(body.size_ <= 100);
  }
});

test('a text is cut between code points', () => {
  assert.deepEqual(measure('a😀b', 0, 4), { end_: 1, size_: 1 });
  assert.deepEqual(measure('a😀b', 1, 4), { end_: 3, size_: 4 });
  assert.deepEqual(measure('€€', 0, 5), { end_: 1, size_: 3 });
  assert.deepEqual(measure('ü', 0, Infinity), { end_: 1, size_: 2 });
});
