import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { BINARY, CLOSE, TEXT, fromElement } from '../src/codec.js';
import { createConnection } from '../src/connection.js';

const file = new URL('../../tests/vectors/connections.json', import.meta.url);
const { cases } = JSON.parse(readFileSync(file, 'utf8'));

/** A connection that writes down what it tells. */
function record({ limits, credit }) {
  const told = { messages: [], close: null, failed: 0 };
  const connection = createConnection({
    onmessage_: (data, isBinary) =>
      told.messages.push(isBinary ? ['b', Buffer.from(data).toString('base64')] : data),
    onclose_: (code, reason, isFailed) => {
      if (isFailed) told.failed++;
      else told.close = [code, reason];
    },
  });
  const [bytes, frames] = credit ?? [limits.window_bytes, limits.window_frames];
  connection.open_({ bytes, frames, message: limits.max_message_size });
  return { connection, told };
}

function send(connection, element) {
  const { type_, data_ } = fromElement(element);
  return connection.send_(type_, data_, Buffer.from(data_).length);
}

/** Everything that may go now. */
function write(connection, partSize = 65536) {
  const frames = [];
  for (let frame; (frame = connection.next_(partSize));) frames.push(frame);
  return frames;
}

for (const { name, side, limits, credit, steps } of cases) {
  // A page takes its window from the first credit, which is as large in what a server says.
  if (side === 'server' || (credit && credit[0] < limits.window_bytes)) continue;
  // A page gives a frame its number when it writes it.
  if (name === 'an acknowledgement of what was numbered and never written') continue;
  test(name, () => {
    const { connection, told } = record({ limits, credit });
    for (const step of steps) {
      const before = told.failed;
      told.messages.length = 0;
      if (step.do === 'send') send(connection, step.message);
      else if (step.do === 'close') {
        connection.close_(
          step.code == null ? [] : [step.code, ...(step.reason ? [step.reason] : [])]
        );
      } else if (step.do === 'write') write(connection, limits.part_size);
      else if (step.do === 'take') {
        step.frames.forEach((element, i) =>
          connection.receive_(step.first + i, fromElement(element))
        );
        if (step.messages) assert.deepEqual(told.messages, step.messages);
      } else if (step.do === 'ack') connection.acknowledge_(step.number);
      else if (step.do === 'credit') connection.credit_(['credit', step.bytes, step.frames]);
      else if (step.do === 'tell ack') assert.equal(connection.tell_(), step.number);
      else if (step.do === 'fail') return;
      assert.equal(told.failed > before, step.error !== undefined, JSON.stringify(step));
      // What a page does about a fault ends the session; the trace goes on without doing anything.
      if (step.error !== undefined) return;
      const then = step.then ?? {};
      if (then.received !== undefined) assert.equal(connection.taken_, then.received);
      if (then.acknowledged !== undefined) assert.equal(connection.acked_, then.acknowledged);
      // `bufferedAmount` does not fall for what a close has dropped (WebSockets Standard).
      if (then.unacknowledged !== undefined && !told.close) {
        assert.equal(connection.buffered_, then.unacknowledged);
      }
      if (then.owes_ack !== undefined) assert.equal(!!connection.owesAck_(), then.owes_ack);
      if (then.close !== undefined) {
        assert.deepEqual(told.close, [then.close[0] ?? 1005, then.close[1]]);
      }
    }
  });
}

const limits = { window_bytes: 1000, window_frames: 8, max_message_size: 5000, part_size: 100 };

test('what has no credit stays, and counts as buffered', () => {
  const { connection } = record({ limits });
  for (let i = 0; i < 12; i++) send(connection, 'x'.repeat(100));
  assert.equal(write(connection).length, 8);
  assert.equal(connection.buffered_, 1200);
  connection.acknowledge_(8);
  connection.credit_(['credit', 1100, 16]);
  assert.equal(write(connection).length, 3);
  assert.equal(connection.buffered_, 400);
});

test('a message is cut into parts which a quarter of the window holds', () => {
  const { connection } = record({ limits });
  connection.send_(BINARY, new Uint8Array(600), 600);
  assert.deepEqual(
    write(connection).map(({ type_, data_ }) => [type_, data_.length]),
    [
      [4, 250],
      [4, 250],
      [2, 100],
    ]
  );
});

test('a message that is still being read keeps its place, and the close waits for it', () => {
  const { connection } = record({ limits });
  const message = connection.send_(BINARY, null, 2);
  send(connection, 'second');
  connection.close_([1000]);
  assert.equal(connection.next_(100), null);
  message.data_ = new Uint8Array(2);
  assert.deepEqual(
    write(connection).map(({ type_ }) => type_),
    [BINARY, TEXT, CLOSE]
  );
  assert.ok(connection.isClosing_());
});

test('who has the close of the other drops what has no number, but for the own close', () => {
  const { connection, told } = record({ limits });
  send(connection, 'never sent');
  connection.close_([4000, 'bye']);
  connection.receive_(1, fromElement(['c', 1000]));
  assert.deepEqual(told.close, [1000, '']);
  assert.deepEqual(
    write(connection).map(({ data_ }) => data_),
    [[4000, 'bye']]
  );
  connection.acknowledge_(1);
  assert.ok(!connection.isDone_(), 'the ack of its close was not told');
  connection.tell_();
  assert.ok(connection.isDone_());
});

test('what was told and may be lost is owed again', () => {
  const { connection } = record({ limits });
  connection.receive_(1, fromElement(['c']));
  assert.ok(connection.owesAck_());
  connection.tell_();
  assert.ok(!connection.owesAck_());
  connection.untell_();
  assert.ok(connection.owesAck_());
});
