// What the tabs of a browser share: places among the parked downstreams.
import assert from 'node:assert/strict';
import test from 'node:test';

const storage = { setItem() {} };
Object.defineProperty(globalThis, 'localStorage', { value: storage, configurable: true });
const { holdSlot } = await import('../src/memory.js');

test('four tabs have a place, the fifth when one is left or its tab is long silent', () => {
  for (const tab of ['a', 'b', 'c', 'd']) assert.ok(holdSlot('host ', tab, true));
  assert.ok(!holdSlot('host ', 'e', true));
  assert.ok(holdSlot('other ', 'e', true), 'places are those of a host');
  assert.ok(holdSlot('host ', 'b', true), 'who has one keeps it');
  holdSlot('host ', 'c', false);
  assert.ok(holdSlot('host ', 'e', true));
  assert.ok(!holdSlot('host ', 'c', true));
  for (const name of Object.keys(storage)) {
    if (String(storage[name]).endsWith(' d')) storage[name] = Date.now() - 100_000 + ' d';
  }
  assert.ok(holdSlot('host ', 'c', true));
  assert.ok(!holdSlot('host ', 'd', true));
});
