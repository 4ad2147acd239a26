// When a terminal dials, when it does not, and how it notices that nobody is there.
import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';

import { Played, turn } from './wire.mjs';

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
});
mock.method(Math, 'random', () => 0.5);

async function pass(ms) {
  mock.timers.tick(ms);
  await turn();
}

async function greeted(options) {
  const played = new Played(options);
  await played.greet();
  return played;
}

async function greetedWhole() {
  const played = new Played();
  await played.greetWhole();
  return played;
}

for (const code of [4001, 4002, 4003]) {
  test(`after ${code} it does not dial again by itself`, async () => {
    const played = new Played({ token: 'old' });
    await turn();
    await played.end(code);
    assert.deepEqual([played.terminal.contact.state, played.terminal.contact.code], ['error', code]);
    await pass(10_000_000);
    assert.equal(played.sockets.length, 1);
    await played.terminal.reconnect({ token: 'new' });
    assert.deepEqual(played.socket.offers, ['comanda.v1', 'token.new']);
  });
}

for (const code of [1000, 1001, 1002, 1005, 1006, 1007, 1009, 1011, 1013, 4004, 4005, 4006, 4008, 4999]) {
  test(`after ${code} it dials again, without end`, async () => {
    const played = new Played();
    await turn();
    for (let attempt = 1; attempt < 40; attempt += 1) {
      await played.end(code);
      assert.equal(played.sockets.length, attempt);
      await pass(30_000);
      assert.equal(played.sockets.length, attempt + 1);
    }
    assert.equal(played.told('contact').at(-2).code, code);
  });
}

test('a wait is a random part of a time that doubles, up to a limit, and begins anew after a greeting', async () => {
  const played = new Played();
  const waits = async (count) => {
    const found = [];
    for (let n = 0; n < count; n += 1) {
      await played.end(1006);
      const before = played.sockets.length;
      let waited = 0;
      while (played.sockets.length === before) {
        await pass(250);
        waited += 250;
      }
      found.push(waited);
    }
    return found;
  };
  await turn();
  assert.deepEqual(await waits(7), [500, 1000, 2000, 4000, 8000, 15000, 15000]);
  await played.greet();
  assert.deepEqual(await waits(2), [500, 1000]);
});

for (const code of [1009, 1011, 1013, 4005, 4006]) {
  test(`greeted and closed with ${code} again and again, it dials more and more slowly`, async () => {
    const played = new Played();
    for (const wait of [500, 1000, 2000, 4000]) {
      const before = played.sockets.length;
      await played.greet();
      await played.end(code);
      await pass(wait - 1);
      assert.equal(played.sockets.length, before || 1);
      await pass(1);
      assert.equal(played.sockets.length, (before || 1) + 1);
    }
  });
}

test('it pings, and says how long the last answer took', async () => {
  const played = await greeted();
  await pass(30_000);
  await played.hear({ type: 'pong', server_time: new Date().toISOString() });
  await pass(30_000);
  const [first, second] = played.sent('ping');
  assert.equal(typeof Date.parse(first.timestamp), 'number');
  assert.equal(first.performance, undefined);
  assert.equal(typeof second.performance.response_time, 'number');
});

test('a connection on which a ping is not answered is given up, and another is dialled', async () => {
  const played = await greeted();
  await pass(30_000);
  await pass(10_000);
  assert.equal(played.terminal.contact.up, false);
  await pass(500);
  assert.equal(played.sockets.length, 2);
});

test('an operation that is not answered costs a ping first', async () => {
  const played = await greeted();
  await played.terminal.update('orders', 'o-1', { status: 'ready' });
  await pass(10_000);
  assert.equal(played.sent('ping').length, 1);
  await played.hear({ type: 'pong' });
  await pass(10_000);
  assert.equal(played.terminal.contact.up, true);
  await played.terminal.update('orders', 'o-1', { status: 'paid' });
  await pass(10_000);
  await pass(10_000);
  assert.equal(played.terminal.contact.up, false);
});

test('whatever is heard is a sign of life', async () => {
  const played = await greetedWhole();
  await pass(30_000);
  await played.row({ id: 'a', entity_id: 'o-1', operation: 'CREATE', data: {} });
  await pass(10_000);
  assert.equal(played.terminal.contact.up, true);
});

test('a handshake that never ends, or ends without a greeting, is given up', async () => {
  const played = new Played();
  await turn();
  await pass(10_000);
  await pass(500);
  assert.equal(played.sockets.length, 2);
  played.socket.readyState = 1;
  await pass(10_000);
  await pass(1_000);
  assert.equal(played.sockets.length, 3);
});

test('what a socket says after it was given up is not heard', async () => {
  const played = await greeted();
  await pass(30_000);
  const { onmessage } = played.socket;
  await pass(10_000);
  assert.equal(played.socket.onmessage, null);
  assert.notEqual(onmessage, null);
});

test('it says by how much its clock is ahead', async () => {
  const played = new Played();
  await turn();
  played.socket.readyState = 1;
  await played.hear({ type: 'connection_established', server_time: new Date(Date.now() - 90_000).toISOString() });
  assert.equal(played.terminal.contact.clockSkewMs, 90_000);
});

test('it asks for everything until the node knows that it confirms, and when it comes to another node', async () => {
  const played = new Played();
  const full = ({ socket }) => new URL(socket.url).searchParams.get('sync');
  const again = async () => {
    await played.end(1006);
    await pass(1_000);
    return full(played);
  };
  const row = () => played.row({ id: 'a', entity_id: 'o-1', operation: 'CREATE', data: { status: 'pending' } });
  await turn();
  assert.equal(full(played), 'full');
  assert.equal(await again(), 'full');
  await played.greet();
  assert.equal(await again(), 'full');
  await played.hear({ type: 'connection_established', server_time: new Date().toISOString(), sync: 'full' });
  await row();
  assert.equal(played.sent('ping').length, 0);
  assert.equal(await again(), 'full');
  await played.greet();
  await row();
  assert.equal(played.sent('ping').length, 1);
  assert.equal(await again(), 'full');
  await played.greet();
  await row();
  await row();
  await played.hear({ type: 'pong' });
  assert.equal(played.sent('ping').length, 1);
  assert.equal(await again(), null);
  await played.terminal.close();
  const same = new Played({ store: played.store });
  await turn();
  assert.equal(full(same), null);
  assert.deepEqual(same.terminal.entity('orders', 'o-1').data, { status: 'pending' });
  const elsewhere = new Played({ store: played.store, url: 'ws://other' });
  await turn();
  assert.equal(full(elsewhere), 'full');
  await elsewhere.greet();
  assert.equal(elsewhere.terminal.entity('orders', 'o-1'), null);
});

test('the pong of an earlier ping is not that of the first confirmation', async () => {
  const played = await greeted();
  await pass(30_000);
  await played.row({ id: 'a', entity_id: 'o-1', operation: 'CREATE', data: {} });
  assert.equal(played.sent('ping').length, 2);
  await played.hear({ type: 'pong' });
  await played.end(1006);
  await pass(1_000);
  assert.equal(new URL(played.socket.url).searchParams.get('sync'), 'full');
});

test('a node whose database was set back is asked for everything, once', async () => {
  const played = await greetedWhole();
  const { terminal } = played;
  const greet = async (recovered) => {
    await turn();
    played.socket.readyState = 1;
    await played.hear({ type: 'connection_established', server_time: '', ...(recovered !== undefined && { recovered }) });
  };
  await played.row({ id: 'lost', entity_id: 'o-1', operation: 'CREATE', data: { a: 1 } });
  await played.end(1006);
  await pass(1_000);
  await terminal.create('orders', 'o-2', { a: 2 });
  await greet(7);
  assert.equal(played.sockets.length, 3);
  assert.equal(new URL(played.socket.url).searchParams.get('sync'), 'full');
  await greet(7);
  assert.equal(played.sockets.length, 3);
  assert.equal(terminal.entity('orders', 'o-1'), null);
  assert.deepEqual(terminal.entity('orders', 'o-2').data, { a: 2 });
  assert.equal(played.sent('data_sync').length, 1);
  await played.row({ id: 'second', entity_id: 'o-2', operation: 'DELETE', data: {} });
  await played.hear({ type: 'pong' });
  await played.end(1006);
  await pass(1_000);
  await greet(7);
  assert.equal(played.sockets.length, 4);
});

test('its address', async () => {
  const played = new Played({ url: 'https://host:8001/', terminalId: 'pos#1/é', userId: 'ana', token: 't (k)' });
  await turn();
  assert.equal(played.socket.url, 'wss://host:8001/ws/pos%231%2F%C3%A9?type=waiter&user_id=ana&sync=full');
  assert.deepEqual(played.socket.offers, ['comanda.v1', 'token.t%20%28k%29']);
});

test('a terminal of a store of head office says which, and keeps it apart from all others', async () => {
  const played = new Played({ terminalId: 'w-1', realm: 'loja 17' });
  await turn();
  assert.equal(new URL(played.socket.url).searchParams.get('realm'), 'loja 17');
  await played.terminal.close();
  for (const realm of ['loja-18', undefined]) {
    const other = new Played({ store: played.store, terminalId: 'w-1', realm });
    await assert.rejects(other.terminal.ready, /belongs to terminal loja 17\/w-1/);
  }
  const again = new Played({ store: played.store, terminalId: 'w-1', realm: 'loja 17' });
  await again.terminal.ready;
  await again.terminal.close();
});

test('a store of another terminal is refused', async () => {
  const played = await greeted();
  await played.terminal.close();
  const other = new Played({ store: played.store, terminalId: 'w-2' });
  await assert.rejects(other.terminal.ready, /belongs to terminal w-1/);
  await pass(60_000);
  assert.equal(other.sockets.length, 0);
});
