/**
 * What a page does with a WebSocket, once for every transport and for the native class.
 *
 * `scenarios` maps a name to an async function of a `stage`; it throws where the socket does not
 * behave as the WHATWG standard says.
 */
'use strict';

const WAIT = 20000;

/** A socket whose events are kept, so that a scenario can take them one by one. */
class Peer {
  constructor(url, protocols) {
    this.socket = protocols === undefined ? new WebSocket(url) : new WebSocket(url, protocols);
    this.socket.binaryType = 'arraybuffer';
    this.events = [];
    this.wake = () => {};
    for (const type of ['open', 'message', 'error', 'close']) {
      this.socket.addEventListener(type, (event) => {
        this.events.push(event);
        this.wake();
      });
    }
  }

  /** Resolves with the next event, which has to be of the type. */
  async next(type) {
    const deadline = Date.now() + WAIT;
    while (this.events.length === 0) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`No ${type} event came; readyState ${this.socket.readyState}`);
      await new Promise((resolve) => {
        this.wake = resolve;
        setTimeout(resolve, left);
      });
    }
    const event = this.events.shift();
    if (event.type !== type) throw new Error(`${event.type} came where ${type} was expected`);
    return event;
  }

  async message() {
    return (await this.next('message')).data;
  }

  async messages(count) {
    const received = [];
    while (received.length < count) received.push(await this.message());
    return received;
  }

  async closed() {
    const event = await this.next('close');
    return [event.code, event.reason, event.wasClean];
  }

  async close(...codeAndReason) {
    this.socket.close(...codeAndReason);
    return this.closed();
  }
}

function equal(actual, expected, what) {
  const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (left !== right) {
    throw new Error(`${what || 'result'}: ${left.slice(0, 400)} is not ${right.slice(0, 400)}`);
  }
}

function bytes(buffer) {
  return Array.from(new Uint8Array(buffer));
}

function numbersTo(last) {
  return Array.from({ length: last }, (_, index) => String(index + 1));
}

/** Returns where a socket of this test lives; the server tells tests apart by the token. */
function urlOf(path, token) {
  const url = new URL(path, location.href.replace(/^http/, 'ws'));
  url.searchParams.set('token', token);
  return url.href;
}

function stageFor(token) {
  return {
    sockets: 0,
    start(path, protocols) {
      this.sockets += 1;
      return new Peer(urlOf(path, token), protocols);
    },
    async open(path, protocols) {
      const peer = this.start(path, protocols);
      await peer.next('open');
      equal(peer.socket.readyState, WebSocket.OPEN, 'readyState');
      return peer;
    },
  };
}

const scenarios = {
  async opens_and_echoes(stage) {
    const peer = stage.start('/echo');
    equal(peer.socket.readyState, 0, 'readyState');
    await peer.next('open');
    equal([peer.socket.readyState, peer.socket.protocol], [1, '']);
    peer.socket.send('hello');
    equal(await peer.message(), 'hello');
    peer.socket.send(new TextEncoder().encode('hello'));
    equal(bytes(await peer.message()), [104, 101, 108, 108, 111]);
    equal(await peer.close(1000, 'bye'), [1000, 'bye', true]);
    equal(peer.socket.readyState, 3, 'readyState');
  },

  async refusal(stage) {
    const peer = stage.start('/refuse');
    await peer.next('error');
    equal(await peer.closed(), [1006, '', false]);
  },

  async denial_response(stage) {
    const peer = stage.start('/deny');
    await peer.next('error');
    equal(await peer.closed(), [1006, '', false]);
    equal(document.cookie, 'denied=yes');
  },

  async subprotocols(stage) {
    const path = '/subprotocol?choose=';
    for (const [offered, chosen] of [
      [undefined, ''],
      ['chat.v1', 'chat.v1'],
      [['chat.v1', 'chat.v2'], 'chat.v1'],
      [['chat.v1', 'chat.v2'], 'chat.v2'],
    ]) {
      const peer = await stage.open(path + chosen, offered);
      equal(peer.socket.protocol, chosen);
      await peer.close(1000);
    }
  },

  async subprotocol_that_does_not_match(stage) {
    for (const chosen of ['chat.v3', '']) {
      const peer = stage.start(`/subprotocol?choose=${chosen}`, ['chat.v1']);
      await peer.next('error');
      equal(await peer.closed(), [1006, '', false]);
    }
  },

  async text_of_every_kind(stage) {
    const texts = {
      hello: 'hello',
      '\0hello': '\0hello',
      '\0[1]': '\0[1]',
      '\0': '\0',
      'hel\0lo': 'hel\0lo',
      'one\r\ntwo\nthree\rfour': 'one\r\ntwo\nthree\rfour',
      '\u2028\u2029\x85': '\u2028\u2029\x85',
      '\ufeffhello': '\ufeffhello',
      'žluťoučký 😀': 'žluťoučký 😀',
      '\ud800': '\ufffd',
      'a\udfffb': 'a\ufffdb',
      '\udc00\ud800': '\ufffd\ufffd',
      '["b","AAEC"]': '["b","AAEC"]',
      'data: one\n\n': 'data: one\n\n',
      '': '',
    };
    const peer = await stage.open('/echo');
    for (const [sent, received] of Object.entries(texts)) {
      peer.socket.send(sent);
      equal(await peer.message(), received);
    }
    await peer.close(1000);
  },

  async binary_of_all_byte_values(stage) {
    const every = Uint8Array.from({ length: 256 }, (_, index) => index);
    const peer = await stage.open('/echo');
    for (const sent of [every, every.buffer, new Blob([every]), new DataView(every.buffer)]) {
      peer.socket.send(sent);
      equal(bytes(await peer.message()), bytes(every.buffer));
    }
    peer.socket.send(every.subarray(3, 5));
    equal(bytes(await peer.message()), [3, 4]);
    peer.socket.send(new ArrayBuffer(0));
    equal(bytes(await peer.message()), []);
    peer.socket.binaryType = 'blob';
    peer.socket.send(every);
    const blob = await peer.message();
    equal(blob instanceof Blob, true, 'instanceof Blob');
    equal(bytes(await blob.arrayBuffer()), bytes(every.buffer));
    await peer.close(1000);
  },

  async messages_of_1_mib(stage) {
    const text = 'aé€😀'.repeat(1048576 / 8) + 'x'.repeat(8);
    const binary = new Uint8Array(1048576).map((_, index) => (index * 31) % 251);
    const peer = await stage.open('/echo');
    peer.socket.send(text);
    peer.socket.send(binary);
    const [first, second] = await peer.messages(2);
    equal(first === text, true, 'text');
    const echo = new Uint8Array(second);
    equal([echo.length, echo.every((byte, index) => byte === binary[index])], [1048576, true]);
    await peer.close(1000);
  },

  async burst_of_1000_messages_down(stage) {
    const peer = await stage.open('/burst?n=1000');
    equal(await peer.messages(1000), numbersTo(1000));
    equal(await peer.closed(), [4000, 'that was all', true]);
  },

  async burst_of_1000_messages_each_way(stage) {
    const peer = await stage.open('/numbered?n=1000');
    numbersTo(1000).forEach((number) => peer.socket.send(number));
    equal(await peer.messages(1000), numbersTo(1000));
    equal(await peer.closed(), [4000, 'complete', true]);
  },

  async server_closes(stage) {
    const reason = 'gone fishing 🎣';
    const peer = await stage.open(`/close?code=4321&reason=${encodeURIComponent(reason)}`);
    equal(await peer.closed(), [4321, reason, true]);
  },

  async client_closes(stage) {
    const first = await stage.open('/echo');
    equal(await first.close(4005, 'bye ✋'), [4005, 'bye ✋', true]);
    const second = await stage.open('/echo');
    equal(await second.close(), [1005, '', true]);
  },

  async client_closes_while_it_sends(stage) {
    const peer = await stage.open('/sink');
    numbersTo(200).forEach((number) => peer.socket.send(number));
    equal(await peer.close(1000, '200'), [1000, '200', true]);
  },

  async client_closes_while_connecting(stage) {
    const peer = stage.start('/echo');
    peer.socket.close();
    equal(peer.socket.readyState, 2, 'readyState');
    await peer.next('error');
    equal(await peer.closed(), [1006, '', false]);
  },

  async application_returns_without_closing(stage) {
    const peer = await stage.open('/return');
    equal(await peer.closed(), [1006, '', false]);
  },

  async send_after_close(stage) {
    const peer = await stage.open('/echo');
    equal(await peer.close(1000), [1000, '', true]);
    peer.socket.send('too late');
    equal(peer.socket.bufferedAmount, 8, 'bufferedAmount');
  },

  async buffered_amount_returns_to_zero(stage) {
    const peer = await stage.open('/sink');
    peer.socket.send('é'.repeat(100000));
    equal(peer.socket.bufferedAmount, 200000, 'bufferedAmount');
    peer.socket.send('report');
    equal(JSON.parse(await peer.message()).bytes, 200000);
    const deadline = Date.now() + WAIT;
    while (peer.socket.bufferedAmount > 0 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    equal(peer.socket.bufferedAmount, 0, 'bufferedAmount');
    await peer.close(1000);
  },

  async cookies_and_headers(stage) {
    const first = await stage.open('/accept-headers');
    await first.close(1000);
    equal(document.cookie.split('; ').sort(), ['size=small', 'taste=sweet']);
    const second = await stage.open('/headers/a%2Fb?q=a%20b&emulation=mine');
    const scope = JSON.parse(await second.message());
    equal(scope.cookies, { taste: 'sweet', size: 'small' });
    equal(scope.raw_path, '/headers/a%2Fb');
    equal(scope.query_string.split('&token=')[0], 'q=a+b&emulation=mine');
    equal([scope.type, scope.scheme, scope.subprotocols], ['websocket', 'ws', []]);
    equal(new Map(scope.headers).get('origin'), location.origin);
    await second.close(1000);
  },

  async three_sockets_at_once(stage) {
    const [first, second, third] = await Promise.all([
      stage.open('/echo'),
      stage.open('/echo'),
      stage.open('/never-receives'),
    ]);
    for (const number of numbersTo(20)) {
      first.socket.send(`first ${number}`);
      second.socket.send(`second ${number}`);
    }
    equal(
      await second.messages(20),
      numbersTo(20).map((number) => `second ${number}`)
    );
    equal(
      await first.messages(20),
      numbersTo(20).map((number) => `first ${number}`)
    );
    equal(await third.messages(3), ['1', '2', '3']);
    await first.close(1000);
    second.socket.send('still here');
    equal(await second.message(), 'still here');
    await second.close(1000);
  },
};

// Scripts that run before a document have a scope of their own.
self.stageFor = stageFor;
self.scenarios = scenarios;
