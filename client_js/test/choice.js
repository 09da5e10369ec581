import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createChoice } from '../src/choice.js';
import { remember } from '../src/memory.js';

for (const name of ['stream', 'xhr-stream']) {
  test(`what holds ${name} back holds the other form of it`, () => {
    const choice = createChoice(
      ['xhr-stream', 'stream', 'sse', 'poll'],
      Boolean,
      'http://a.example'
    );
    choice.fail_(name, 0, 'no head');
    assert.equal(choice.pick_(), 'sse');
  });
}

test('it says why the better transports are not used', () => {
  const origin = 'http://b.example';
  const choice = createChoice(
    ['websocket', 'stream', 'xhr-stream', 'poll'],
    (name) => name !== 'stream',
    origin
  );
  choice.restrict_(['websocket', 'stream', 'sse', 'poll']);
  const others =
    '; no stream: not in the engine; no sse: not in the settings; no xhr-stream: not on the server';
  assert.equal(choice.explain_('poll'), `; no websocket: untried${others}`);
  remember(`${origin} websocket`);
  assert.equal(choice.explain_('poll'), `; no websocket: failed${others}`);
  choice.fail_('websocket', 0, 'unproved');
  assert.equal(choice.explain_('poll'), `; no websocket: unproved${others}`);
  assert.equal(choice.explain_('websocket'), others);
  assert.equal(choice.explain_(''), `; no websocket: unproved${others}; no poll: untried`);
});
