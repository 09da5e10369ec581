import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createChoice } from '../src/choice.js';

for (const name of ['stream', 'xhr-stream']) {
  test(`what holds ${name} back holds the other form of it`, () => {
    const choice = createChoice(['xhr-stream', 'stream', 'sse', 'poll'], 'http://a.example');
    choice.fail_(name, 0, 'no head');
    assert.equal(choice.pick_(), 'sse');
  });
}
