/** The events: their classes, their order, their listeners and handlers. */
'use strict';

/** What an event of ours says of itself, and what Event says of it. */
function checkEvent(event, socket, Class, type) {
  equal(Object.getPrototypeOf(event), Class.prototype, 'the prototype');
  equal(event.type, type, 'type');
  equal(event.target, socket, 'target');
  equal(event.srcElement, socket, 'srcElement');
  same([event.bubbles, event.cancelable, event.composed], [false, false, false]);
  equal(event.defaultPrevented, false, 'defaultPrevented');
  check(event.timeStamp > 0 && event.timeStamp <= performance.now(), 'timeStamp');
}

test('the open event', async () => {
  const socket = create('/echo');
  const event = await next(socket, 'open');
  checkEvent(event, socket, Event, 'open');
});

test('the message event', async () => {
  const socket = await open('/echo');
  const message = next(socket, 'message');
  socket.send('x');
  const event = await message;
  checkEvent(event, socket, MessageEvent, 'message');
  equal(event.data, 'x');
  equal(event.origin, base);
  equal(event.lastEventId, '');
  equal(event.source, null);
  same(event.ports, []);
  check(Array.isArray(event.ports) && Object.isFrozen(event.ports), 'ports is no frozen array');
});

test('the error event', async () => {
  const socket = create('/refuse');
  checkEvent(await next(socket, 'error'), socket, Event, 'error');
});

test('the close event', async () => {
  const socket = await open('/echo');
  const event = await close(socket, 3456, 'why');
  checkEvent(event, socket, CloseEvent, 'close');
  same([event.code, event.reason, event.wasClean], [3456, 'why', true]);
});

test('while an event is dispatched', async () => {
  const socket = create('/echo');
  let seen;
  socket.addEventListener('open', function (event) {
    seen = [this, event.currentTarget, event.eventPhase, event.composedPath()];
  });
  const event = await next(socket, 'open');
  await task();
  equal(seen[0], socket, 'this');
  equal(seen[1], socket, 'currentTarget');
  equal(seen[2], Event.AT_TARGET, 'eventPhase');
  equal(seen[3].length, 1, 'the length of the path');
  equal(seen[3][0], socket, 'the path');
  equal(event.currentTarget, null, 'currentTarget afterwards');
  equal(event.eventPhase, Event.NONE, 'eventPhase afterwards');
});

test('the order of events, and the states in them', async () => {
  const socket = create('/first?close=4001');
  const seen = [];
  for (const type of ['open', 'message', 'error', 'close']) {
    socket.addEventListener(type, () => seen.push(`${type} ${socket.readyState}`));
  }
  equal(socket.readyState, 0);
  equal((await next(socket, 'close')).code, 4001);
  same(seen, ['open 1', 'message 1', 'close 3']);
});

test('the states in the events of a failure', async () => {
  const socket = create('/refuse');
  const seen = [];
  socket.onerror = () => seen.push(`error ${socket.readyState}`);
  socket.onclose = () => seen.push(`close ${socket.readyState}`);
  await next(socket, 'close');
  same(seen, ['error 3', 'close 3']);
});

test('error and close come in one task', async () => {
  const socket = create('/refuse');
  const seen = [];
  socket.onerror = () => {
    seen.push('error');
    setTimeout(() => seen.push('task'));
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => seen.push('message');
    port2.postMessage(0);
  };
  socket.onclose = () => seen.push('close');
  await next(socket, 'close');
  same(seen, ['error', 'close']);
});

test('microtasks run between error and close', async () => {
  const socket = create('/refuse');
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  }).catch(() => null);
  equal(socket.readyState, 3);
  equal((await next(socket, 'close')).code, 1006);
});

test('no event comes behind close', async () => {
  const socket = await open('/echo');
  const types = record(socket);
  socket.send('x');
  await close(socket);
  socket.send('y');
  socket.close();
  await task();
  await task();
  equal(types.pop(), 'close');
  check(!types.includes('close') && !types.includes('error'), `also ${types}`);
});

test('a listener that is added in the task of the constructor is not late', async () => {
  const socket = create('/first');
  const types = record(socket);
  equal((await next(socket, 'message')).data, 'first');
  same(types, ['open', 'message']);
});

test('microtasks run between two messages', async () => {
  const socket = await open('/echo');
  const seen = [];
  socket.onmessage = ({ data }) => {
    seen.push(data);
    Promise.resolve().then(() => seen.push(`after ${data}`));
  };
  socket.send('1');
  socket.send('2');
  while (seen.length < 4) await task();
  same(seen, ['1', 'after 1', '2', 'after 2']);
});

test('what a listener of the open event sends comes back', async () => {
  const socket = create('/echo');
  socket.onopen = () => socket.send('at once');
  equal((await next(socket, 'message')).data, 'at once');
});

test('an exception of a listener reaches the window, and stops nothing', async () => {
  const first = new Error('first');
  const second = new Error('second');
  const seen = [];
  const errors = await uncaught(async () => {
    const socket = create('/first?close=4000');
    socket.addEventListener('open', () => {
      throw first;
    });
    socket.addEventListener('open', () => seen.push('the next listener'));
    socket.onmessage = () => {
      throw second;
    };
    await next(socket, 'message');
    seen.push('the next event');
    await next(socket, 'close');
  });
  same(seen, ['the next listener', 'the next event']);
  check(errors[0] === first && errors[1] === second && errors.length === 2, `${errors}`);
});

// --- Handlers (HTML, section 8.1.8.1) ----------------------------------------------------------

testEach('a handler that is no object stands for null', HANDLERS, (name) => {
  const socket = create('/echo');
  const handler = () => {};
  equal(name in socket, true);
  equal(socket[name], null);
  for (const value of [undefined, null, 0, 1, NaN, '', 'x', 'alert(1)', true, Symbol('x'), 1n]) {
    socket[name] = handler;
    equal(socket[name], handler);
    socket[name] = value;
    equal(socket[name], null, show(value));
  }
});

testEach('a handler may be any object', HANDLERS, (name) => {
  const socket = create('/echo');
  for (const value of [
    {},
    [],
    new String('x'),
    { handleEvent() {} },
    class {},
    new Proxy({}, {}),
  ]) {
    socket[name] = value;
    check(socket[name] === value, `it is another than ${show(value)}`);
  }
});

testEach('a handler is called with the event', HANDLERS, (name) => {
  const socket = create('/echo');
  const calls = [];
  socket[name] = function (...args) {
    calls.push([this, ...args]);
  };
  const event = new Event(name.slice(2));
  equal(socket.dispatchEvent(event), true);
  equal(calls.length, 1);
  equal(calls[0].length, 2);
  equal(calls[0][0], socket);
  equal(calls[0][1], event);
});

testEach('a handler that has other methods', ['call', 'apply', 'handleEvent'], (name) => {
  const socket = create('/echo');
  const seen = [];
  socket.onmessage = function (event) {
    seen.push(this === socket, event.type);
  };
  socket.onmessage[name] = () => seen.push(name);
  socket.dispatchEvent(new Event('message'));
  same(seen, [true, 'message']);
});

test('an object that cannot be called is not', async () => {
  const errors = await uncaught(() => {
    const socket = create('/echo');
    let isCalled = false;
    socket.onopen = { handleEvent: () => (isCalled = true) };
    equal(socket.dispatchEvent(new Event('open')), true);
    equal(isCalled, false);
  });
  equal(errors.length, 0);
});

test('a handler that returns false cancels what can be cancelled', () => {
  const socket = create('/echo');
  socket.onmessage = () => false;
  equal(socket.dispatchEvent(new Event('message', { cancelable: true })), false);
  equal(socket.dispatchEvent(new Event('message')), true);
  socket.onmessage = () => undefined;
  equal(socket.dispatchEvent(new Event('message', { cancelable: true })), true);
});

test('an error handler is an ordinary one', () => {
  const socket = create('/echo');
  let args = [];
  socket.onerror = (...given) => {
    args = given;
    return true;
  };
  const event = new ErrorEvent('error', { cancelable: true, message: 'x' });
  equal(socket.dispatchEvent(event), true);
  equal(args.length, 1);
});

/** Dispatch an event whose listeners write down their names. */
function orderOf(prepare) {
  const socket = create('/echo');
  const order = [];
  const write = (name) => () => order.push(name);
  prepare(socket, write);
  socket.dispatchEvent(new Event('message'));
  return order.join(' ');
}

test('a handler has its place among the listeners', () => {
  const order = orderOf((socket, write) => {
    socket.addEventListener('message', write('first'));
    socket.onmessage = write('handler');
    socket.addEventListener('message', write('last'));
  });
  equal(order, 'first handler last');
});

test('a handler that is replaced keeps its place', () => {
  const order = orderOf((socket, write) => {
    socket.onmessage = write('old');
    socket.addEventListener('message', write('last'));
    socket.onmessage = write('new');
  });
  equal(order, 'new last');
});

test('a handler that cannot be called keeps the place for the next', () => {
  const order = orderOf((socket, write) => {
    socket.onmessage = {};
    socket.addEventListener('message', write('last'));
    socket.onmessage = write('new');
  });
  equal(order, 'new last');
});

test('a handler that was null has a new place', () => {
  const order = orderOf((socket, write) => {
    socket.onmessage = write('old');
    socket.addEventListener('message', write('first'));
    socket.onmessage = null;
    socket.onmessage = write('new');
  });
  equal(order, 'first new');
});

test('a handler and a listener that are the same function are both called', () => {
  let calls = 0;
  const socket = create('/echo');
  const listener = () => calls++;
  socket.onmessage = listener;
  socket.addEventListener('message', listener);
  socket.dispatchEvent(new Event('message'));
  equal(calls, 2);
  socket.removeEventListener('message', listener);
  equal(socket.onmessage, listener);
  socket.dispatchEvent(new Event('message'));
  equal(calls, 3);
});

test('a handler that is changed while its event is dispatched', () => {
  const order = orderOf((socket, write) => {
    socket.addEventListener('message', () => (socket.onmessage = write('new')));
    socket.onmessage = write('old');
  });
  equal(order, 'new');
});

test('a handler that is removed while its event is dispatched', () => {
  const order = orderOf((socket, write) => {
    socket.addEventListener('message', () => (socket.onmessage = null));
    socket.onmessage = write('old');
    socket.addEventListener('message', write('last'));
  });
  equal(order, 'last');
});

test('a handler that is set in the task of the event before', async () => {
  const socket = create('/first');
  const event = await new Promise((resolve) => {
    socket.onopen = () => (socket.onmessage = resolve);
  });
  equal(event.data, 'first');
});

// --- Listeners (DOM, section 2.7) --------------------------------------------------------------

testEach('a method is that of EventTarget', ['add', 'remove'], (name) => {
  equal(create('/echo')[`${name}EventListener`], EventTarget.prototype[`${name}EventListener`]);
});

test('a listener is called once for each event, however often it was added', () => {
  const order = orderOf((socket, write) => {
    const listener = write('twice');
    socket.addEventListener('message', listener);
    socket.addEventListener('message', write('between'));
    socket.addEventListener('message', listener);
    socket.addEventListener('message', listener, false);
    socket.addEventListener('message', listener, { once: true });
  });
  equal(order, 'twice between');
});

test('a capturing listener is another one', () => {
  const order = orderOf((socket, write) => {
    const listener = write('listener');
    socket.addEventListener('message', listener);
    socket.addEventListener('message', listener, true);
    socket.addEventListener('message', listener, { capture: true });
  });
  equal(order, 'listener listener');
});

test('a listener is removed by its capture too', () => {
  const order = orderOf((socket, write) => {
    const listener = write('listener');
    socket.addEventListener('message', listener, true);
    socket.removeEventListener('message', listener);
  });
  equal(order, 'listener');
});

test('once', () => {
  const socket = create('/echo');
  let calls = 0;
  const again = () => {
    calls++;
    if (calls === 1) socket.dispatchEvent(new Event('message'));
  };
  socket.addEventListener('message', again, { once: true });
  socket.dispatchEvent(new Event('message'));
  socket.dispatchEvent(new Event('message'));
  equal(calls, 1);
});

test('signal', () => {
  const order = orderOf((socket, write) => {
    const controller = new AbortController();
    const { signal } = controller;
    socket.addEventListener('message', write('aborted'), { signal });
    socket.addEventListener('message', write('left'));
    controller.abort();
    socket.addEventListener('message', write('never'), { signal });
  });
  equal(order, 'left');
});

test('passive', () => {
  const socket = create('/echo');
  const cancel = (event) => event.preventDefault();
  socket.addEventListener('message', cancel, { passive: true });
  equal(socket.dispatchEvent(new Event('message', { cancelable: true })), true);
  socket.addEventListener('open', cancel);
  equal(socket.dispatchEvent(new Event('open', { cancelable: true })), false);
});

test('an object with handleEvent', () => {
  const socket = create('/echo');
  const seen = [];
  const listener = {
    handleEvent(event) {
      seen.push(this === listener, event.type);
    },
  };
  socket.addEventListener('message', listener);
  socket.dispatchEvent(new Event('message'));
  listener.handleEvent = (event) => seen.push(`later ${event.type}`);
  socket.dispatchEvent(new Event('message'));
  same(seen, [true, 'message', 'later message']);
});

testEach('a listener that has other methods', ['call', 'apply', 'handleEvent'], (name) => {
  const socket = create('/echo');
  const seen = [];
  function listener(event) {
    seen.push(this === socket, event.type);
  }
  listener[name] = () => seen.push(name);
  socket.addEventListener('message', listener);
  socket.dispatchEvent(new Event('message'));
  same(seen, [true, 'message']);
});

test('an object without handleEvent does not keep the next listener from its call', async () => {
  let isCalled = false;
  await uncaught(() => {
    const socket = create('/echo');
    socket.addEventListener('message', {});
    socket.addEventListener('message', () => (isCalled = true));
    socket.dispatchEvent(new Event('message'));
  });
  equal(isCalled, true);
});

testEach('no listener', [null, undefined], (value) => {
  const socket = create('/echo');
  equal(socket.addEventListener('message', value), undefined);
  equal(socket.removeEventListener('message', value), undefined);
  socket.dispatchEvent(new Event('message'));
});

testEach('what cannot be a listener', ['x', 1, true], (value) =>
  throwsTypeError(() => create('/echo').addEventListener('message', value))
);

test('too few arguments', () => {
  const socket = create('/echo');
  throwsTypeError(() => socket.addEventListener('message'));
  throwsTypeError(() => socket.removeEventListener('message'));
  throwsTypeError(() => socket.dispatchEvent());
  throwsTypeError(() => socket.dispatchEvent({ type: 'message' }));
});

test('a listener that is added while its event is dispatched waits for the next', () => {
  const order = orderOf((socket, write) => {
    socket.addEventListener('message', () => socket.addEventListener('message', write('new')));
    socket.addEventListener('message', write('old'));
  });
  equal(order, 'old');
});

test('a listener that is removed while its event is dispatched is not called', () => {
  const order = orderOf((socket, write) => {
    const removed = write('removed');
    socket.addEventListener('message', () => socket.removeEventListener('message', removed));
    socket.addEventListener('message', removed);
    socket.addEventListener('message', write('last'));
  });
  equal(order, 'last');
});

test('stopImmediatePropagation', () => {
  const order = orderOf((socket, write) => {
    socket.addEventListener('message', (event) => event.stopImmediatePropagation());
    socket.addEventListener('message', write('never'));
  });
  equal(order, '');
});

test('an event of the page in any state', async () => {
  const socket = await open('/echo');
  await close(socket);
  let seen;
  socket.onmessage = (event) => (seen = event.data);
  const event = new MessageEvent('message', { data: 'mine' });
  equal(socket.dispatchEvent(event), true);
  equal(seen, 'mine');
  equal(event.target, socket);
  equal(socket.readyState, 3);
  socket.addEventListener('custom', (custom) => (seen = custom.detail));
  socket.dispatchEvent(new CustomEvent('custom', { detail: 5 }));
  equal(seen, 5);
});

test('an event that is being dispatched cannot be again', () => {
  const socket = create('/echo');
  let error;
  socket.onmessage = (event) => {
    error = thrownBy(() => socket.dispatchEvent(event));
  };
  socket.dispatchEvent(new Event('message'));
  equal(error.name, 'InvalidStateError');
});
