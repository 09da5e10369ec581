import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';

import { post } from '../src/request.js';

test('a user and a password in the URL are sent as the engine would', async (t) => {
  const server = createServer((request, response) => {
    response.end(`${request.headers.authorization} ${request.url}`);
  });
  server.listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const url = new URL(`http://user:p\u00e4ss@127.0.0.1:${server.address().port}/a@b`).href;

  const answer = await new Promise((resolve) => {
    let text = '';
    post(
      url,
      '[]',
      false,
      5,
      (data) => (text += data),
      () => resolve(text)
    );
  });

  assert.equal(answer, `Basic ${Buffer.from('user:p\u00e4ss').toString('base64')} /a@b`);
});
