// The rules of a correct terminal, and each answer of a node.
import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';

import { LockError, MemoryStore } from '../../../node/client/js/client.js';
import { Played, turn } from './wire.mjs';

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: Date.parse('2026-01-15T19:30:00Z') });
});

async function greeted(options) {
  const played = new Played(options);
  await played.greetWhole();
  played.socket.sent = [];
  played.events = [];
  return played;
}

async function again(played) {
  await played.end(1006);
  mock.timers.tick(1_000);
  await turn();
  await played.greet();
}

const data = (played, id = 'o-1', type = 'orders') => played.terminal.entity(type, id)?.data ?? null;
const states = (played) => played.told('operation').map(({ label, state }) => `${label} ${state}`);

test('an operation is stored before it is shown, and shown before it is sent', async () => {
  const store = new MemoryStore();
  let stored;
  const append = store.append.bind(store);
  store.append = async (value) => {
    assert.equal(data(played), null);
    stored = await append(value);
    assert.equal(data(played), null);
    return stored;
  };
  const played = await greeted({ store });
  played.terminal.on('entity', () => assert.equal(played.sent('data_sync').length, 0));
  const kept = await played.terminal.create('orders', 'o-1', { status: 'pending' }, { label: 't' });
  assert.equal(kept.state, 'sent');
  assert.deepEqual(data(played), { status: 'pending' });
  const [{ operation }] = played.sent('data_sync');
  assert.deepEqual(operation, { id: kept.id, entity_type: 'orders', entity_id: 'o-1', operation: 'CREATE',
    data: { status: 'pending', version: 1 }, version: 1, timestamp: '2026-01-15T19:30:00.000Z', terminal_id: 'w-1' });
  assert.ok((await store.load()).some(([key]) => key === stored));
});

test('a store that fails at a write: nothing is shown or sent', async () => {
  const store = new MemoryStore();
  const played = await greeted({ store });
  store.append = async () => { throw new Error('full'); };
  await assert.rejects(played.terminal.create('orders', 'o-1', {}), /full/);
  assert.equal(data(played), null);
  assert.equal(played.sent('data_sync').length, 0);
});

test('what is no JSON is refused at once', async () => {
  const { terminal } = await greeted();
  for (const value of [NaN, Infinity, 1n, () => 1]) {
    await assert.rejects(terminal.create('orders', 'o-1', { total: [value] }), TypeError);
  }
});

test('what the program changes later is not changed in the queue, and what it is shown it cannot change', async () => {
  const played = await greeted();
  const mine = { items: [{ id: 'i' }] };
  await played.terminal.create('orders', 'o-1', mine);
  mine.items.push({ id: 'j' });
  assert.equal(data(played).items.length, 1);
  assert.throws(() => data(played).items.push({ id: 'j' }), TypeError);
});

test('unanswered operations are sent again unchanged and in order, before a row is confirmed', async () => {
  const played = await greeted();
  for (const label of ['a', 'b']) await played.terminal.update('orders', 'o-1', { [label]: 1 }, { label });
  const before = played.sent('data_sync');
  await played.end(1006);
  await played.terminal.update('orders', 'o-1', { c: 1 }, { label: 'c' });
  mock.timers.tick(1_000);
  await turn();
  played.socket.readyState = 1;
  await played.hear({ type: 'connection_established', server_time: '' },
    { type: 'data_sync', operation: { id: 'r', entity_type: 'orders', entity_id: 'o-2', operation: 'CREATE', data: {} } });
  assert.deepEqual(played.sent('data_sync').slice(0, 2), before);
  assert.deepEqual(played.socket.sent.map(({ type }) => type), ['data_sync', 'data_sync', 'data_sync', 'sync_confirmation']);
  assert.deepEqual(states(played), ['a saved', 'a sent', 'b saved', 'b sent', 'c saved', 'c sent']);
});

test('an answer that does not come, on a connection that lives: it is sent again', async () => {
  let now = 0;
  const clock = mock.method(performance, 'now', () => now);
  const played = await greeted();
  await played.terminal.update('orders', 'o-1', { a: 1 });
  for (let n = 0; n < 2; n += 1) {
    now += 30_000;
    mock.timers.tick(30_000);
    await played.hear({ type: 'pong' });
  }
  assert.equal(played.sent('data_sync').length, 3);
  assert.deepEqual(...played.sent('data_sync').slice(0, 2));
  clock.mock.restore();
});

test('each row is confirmed after listeners took it and the store has it, in order', async () => {
  const store = new MemoryStore();
  const played = await greeted({ store });
  const order = [];
  let release;
  played.terminal.on('entity', ({ id }) => {
    order.push(`entity ${id}`);
    return id === 'o-1' ? new Promise((resolve) => { release = resolve; }) : undefined;
  });
  const commit = store.commit.bind(store);
  store.commit = async (changes) => {
    await commit(changes);
    order.push('stored');
  };
  await played.row({ id: 'r1', entity_id: 'o-1', operation: 'CREATE', data: { version: 1 } });
  assert.equal(played.sent('sync_confirmation').length, 0);
  await played.row({ id: 'r2', entity_id: 'o-2', operation: 'CREATE', data: { version: 1 } });
  release();
  await turn();
  assert.deepEqual(played.sent('sync_confirmation').map(({ operation_id: id }) => id), ['r1', 'r2']);
  assert.deepEqual(order, ['entity o-1', 'entity o-2', 'stored', 'stored']);
});

test('a listener that throws disturbs nobody', async () => {
  const log = mock.method(console, 'error', () => {});
  const played = new Played();
  played.terminal.on('entity', () => { throw new Error('mine'); });
  played.terminal.on('entity', async () => { throw new Error('later'); });
  await played.greet();
  await played.row({ id: 'r', entity_id: 'o-1', operation: 'CREATE', data: { a: 1 } });
  assert.deepEqual(data(played), { a: 1 });
  assert.equal(played.sent('sync_confirmation').length, 1);
  assert.equal(log.mock.callCount(), 2);
  log.mock.restore();
});

test('a store that fails at a row: it is not confirmed until it is stored', async () => {
  const store = new MemoryStore();
  const played = await greeted({ store });
  const commit = store.commit.bind(store);
  store.commit = async () => { throw new Error('full'); };
  await played.row({ id: 'r', entity_id: 'o-1', operation: 'CREATE', data: { a: 1 } });
  assert.equal(played.sent('sync_confirmation').length, 0);
  assert.match(played.told('error')[0].text, /full/);
  store.commit = commit;
  mock.timers.tick(2_000);
  await turn();
  assert.equal(played.sent('sync_confirmation').length, 1);
});

test('rows are applied as the document says', async () => {
  const played = await greeted();
  await played.row({ id: '1', entity_id: 'o-1', operation: 'UPDATE', data: { a: 1, version: 1 } });
  await played.row({ id: '2', entity_id: 'o-1', operation: 'UPDATE', data: { b: { $inc: 2 }, version: 2 } });
  assert.deepEqual(data(played), { a: 1, b: { $inc: 2 } });
  await played.row({ id: '3', entity_id: 'o-1', operation: 'CREATE', data: { c: 3, version: 3 } });
  assert.deepEqual(data(played), { c: 3 });
  assert.equal(played.terminal.entity('orders', 'o-1').version, 3);
  await played.row({ id: '4', operation: 'BULK_UPDATE', data: { updates: [
    { entity_id: 'o-1', data: { d: 4, version: 4 } }, { entity_id: 'o-2', data: { d: 4, version: 1 } }] } });
  assert.deepEqual([data(played), data(played, 'o-2')], [{ c: 3, d: 4 }, { d: 4 }]);
  await played.row({ id: '5', entity_id: 'o-1', operation: 'DELETE', data: { deleted_at: 'x', version: 5 } });
  assert.equal(data(played), null);
  assert.equal(played.sent('sync_confirmation').length, 5);
  assert.deepEqual(played.told('entity').at(-1), { type: 'orders', id: 'o-1', entity: null });
});

test('a row that comes twice is confirmed twice and told once', async () => {
  const played = await greeted();
  for (let n = 0; n < 2; n += 1) await played.row({ id: 'r', entity_id: 'o-1', operation: 'CREATE', data: { a: 1 } });
  assert.equal(played.sent('sync_confirmation').length, 2);
  assert.equal(played.told('entity').length, 1);
});

test('rows that come again after a reconnect do not take back what is shown', async () => {
  const played = await greeted();
  const rows = [
    { id: '1', entity_id: 'o-1', operation: 'CREATE', data: { status: 'pending', version: 1 } },
    { id: '2', entity_id: 'o-1', operation: 'UPDATE', data: { note: 'hot', version: 2 } },
    { id: '4', entity_id: 'o-1', operation: 'UPDATE', data: { table: 5, version: 4 } }];
  const shown = { status: 'ready', note: 'hot', table: 5 };
  for (const row of rows.slice(0, 2)) await played.row(row);
  const own = await played.terminal.update('orders', 'o-1', { status: 'ready' });
  await played.confirm(own.id, { version: 3 });
  await played.row(rows[2]);
  assert.deepEqual(data(played), shown);
  const mine = { ...own.message.operation, data: { status: 'ready', version: 3 } };
  for (const start of [played, await greeted({ store: played.store })]) {
    await again(start);
    const told = start.told('entity').length;
    for (const row of [...rows.slice(0, 2), mine]) await start.row(row, { terminal_id: row.terminal_id ?? 'k-1' });
    await start.terminal.update('orders', 'o-1', { paid: true });
    assert.deepEqual(data(start), { ...shown, paid: true });
    await start.row(rows[2]);
    assert.deepEqual(data(start), { ...shown, paid: true });
    assert.equal(start.told('entity').length, told + 1);
    await start.row({ id: `fresh-${told}`, entity_id: 'o-1', operation: 'CREATE', data: { status: 'new', version: 1 } });
    assert.deepEqual(data(start).status, 'new'); // a row that did not come before is shown, whatever its version
    await start.row(rows[2]);
  }
});

test('a deleted entity does not come back as its rows come again', async () => {
  const played = await greeted();
  const rows = [['1', 'CREATE', { a: 1, version: 1 }], ['2', 'DELETE', { version: 2 }]].map(
    ([id, operation, each]) => ({ id, entity_id: 'o-1', operation, data: each }));
  for (const row of rows) await played.row(row);
  await again(played);
  await played.row(rows[0]);
  assert.equal(data(played), null);
  await played.row(rows[1]);
  assert.equal(played.told('entity').length, 2);
});

test('a state of the node is shown, however old', async () => {
  const played = await greeted();
  await played.row({ id: '1', entity_id: 'o-1', operation: 'CREATE', data: { a: 1, version: 5 } });
  for (let n = 0; n < 2; n += 1) {
    await played.row({ id: 'state-1-o-1', entity_id: 'o-1', operation: 'CREATE', data: { a: 0, version: 2 } }, { terminal_id: 'node' });
    assert.deepEqual(data(played), { a: 0 });
    await played.row({ id: `x${n}`, entity_id: 'o-1', operation: 'UPDATE', data: { a: 1, version: 3 } });
  }
});

test('own movements of counters add to what is shown; elsewhere they are what they are', async () => {
  const played = await greeted();
  await played.row({ id: '1', operation: 'CREATE', data: { stock: 12, version: 1 } }, { entity_type: 'products', entity_id: 'p' });
  await played.terminal.update('products', 'p', { stock: { $inc: -2 }, note: { $inc: 1 } });
  assert.deepEqual(data(played, 'p', 'products'), { stock: 10, note: { $inc: 1 } });
  await played.row({ id: '2', operation: 'UPDATE', data: { stock: 11, version: 2 } }, { entity_type: 'products', entity_id: 'p' });
  assert.equal(data(played, 'p', 'products').stock, 9);
});

test('the confirmation of a duplicate does not put an old value over a newer one', async () => {
  const played = await greeted();
  const { id } = await played.terminal.create('orders', 'o-1', { status: 'mine', note: 'mine' });
  await again(played);
  await played.row({ id: 'r', entity_id: 'o-1', operation: 'UPDATE', data: { status: 'theirs', version: 2 } });
  assert.deepEqual(data(played), { status: 'mine', note: 'mine' });
  await played.confirm(id, { status: 'duplicate' });
  assert.deepEqual(data(played), { status: 'theirs', note: 'mine' });
});

for (const status of ['applied', 'merged']) {
  test(`an own write that was ${status} after a row that came late is not taken back until its own row comes`, async () => {
    const played = await greeted();
    await played.row({ id: 'r', entity_id: 'o-1', operation: 'CREATE', data: { status: 'pending', version: 1 } });
    const { id } = await played.terminal.update('orders', 'o-1', { status: 'preparing' });
    await again(played);
    await played.row({ id: 'state-1-o-1', entity_id: 'o-1', operation: 'CREATE', data: { status: 'pending', version: 1 } });
    await played.confirm(id, { version: 2, status });
    assert.deepEqual(data(played), { status: 'preparing' });
    await played.row({ id, entity_id: 'o-1', operation: 'UPDATE', data: { status: 'preparing', version: 2 } }, { terminal_id: 'w-1' });
    assert.deepEqual(played.told('entity').map(({ entity: { data: { status: each } } }) => each).slice(1).filter((each) => each === 'pending'), []);
  });
}

test('a version says what was seen when it was written', async () => {
  const played = await greeted();
  const versions = () => played.sent('data_sync').map(({ operation }) => [operation.version, operation.data.version]);
  const { id } = await played.terminal.create('orders', 'o-1', {});
  await played.terminal.update('orders', 'o-1', { a: 1 });
  await played.confirm(id, { version: 1 });
  await played.terminal.update('orders', 'o-1', { a: 2 });
  await played.row({ id: 'r', entity_id: 'o-1', operation: 'UPDATE', data: { b: 1, version: 7 } });
  await played.terminal.update('orders', 'o-1', { a: 3 });
  await played.terminal.update('orders', 'o-1', { a: 4 }, { version: 5 });
  await played.row({ id: 's', entity_id: 'o-1', operation: 'DELETE', data: { version: 8 } });
  await played.terminal.update('orders', 'o-1', { a: 5 });
  assert.deepEqual(versions(), [[1, 1], [1, 1], [2, 2], [8, 8], [5, 5], [9, 9]]);
});

test('a bulk update writes each of its entities', async () => {
  const played = await greeted();
  await played.row({ id: 'r', entity_id: 'p-1', operation: 'CREATE', data: { price: 1, version: 3 } }, { entity_type: 'products' });
  const { id } = await played.terminal.updateAll('products', { 'p-1': { price: 2 }, 'p-2': { price: 3 } });
  assert.deepEqual(played.sent('data_sync')[0].operation.data, { updates: [
    { entity_id: 'p-1', data: { price: 2, version: 4 } }, { entity_id: 'p-2', data: { price: 3, version: 1 } }] });
  await played.confirm(id, { versions: { 'p-1': 4, 'p-2': 1 } });
  assert.deepEqual([...played.terminal.entities('products').values()].map(({ data: each, version }) => [each, version]),
    [[{ price: 2 }, 4], [{ price: 3 }, 1]]);
});

for (const [status, state] of Object.entries(
  { applied: 'confirmed', merged: 'confirmed', lost: 'confirmed', duplicate: 'confirmed', conflict: 'conflict', other: 'confirmed' })) {
  test(`a confirmation with ${status} ends in ${state}`, async () => {
    const played = await greeted();
    const kept = await played.terminal.update('orders', 'o-1', { a: 1 }, { label: 't' });
    await played.confirm(kept.id, { status, version: 1 });
    await played.confirm(kept.id, { status: 'duplicate' });
    assert.deepEqual(states(played), ['t saved', 't sent', `t ${state}`]);
    assert.equal((await kept.answered).state, state);
    assert.equal(played.terminal.operations().length, state === 'conflict' ? 1 : 0);
    await again(played);
    assert.equal(played.sent('data_sync').length, 0);
  });
}

test('a duplicate that is one side of an open conflict is in conflict', async () => {
  const played = await greeted();
  const { id } = await played.terminal.update('customers', 'ana', { phone: '1' }, { label: 't' });
  await played.hear({ type: 'sync_conflict', conflict: { id: 'c', entity_type: 'customers', entity_id: 'ana', path: ['phone'],
    state: 'open', candidates: [{ operation_id: id, terminal_id: 'w-1' }, { operation_id: 'x', terminal_id: 'k' }] } });
  await played.confirm(id, { status: 'duplicate' });
  assert.equal(states(played).at(-1), 't conflict');
  assert.equal(await played.terminal.dismiss(id), true);
  assert.deepEqual(played.terminal.operations(), []);
});

for (const code of [4006, 4007, 4008, 4009, 4010, 1011, null]) {
  test(`refused with ${code}: told, taken off the screen, not sent again`, async () => {
    const played = await greeted();
    await played.row({ id: 'r', entity_id: 'o-1', operation: 'CREATE', data: { a: 1, version: 1 } });
    const { id, answered } = await played.terminal.update('orders', 'o-1', { a: 2, b: 2 }, { label: 't' });
    assert.deepEqual(data(played), { a: 2, b: 2 });
    await played.hear({ type: 'sync_error', operation_id: id, error: 'no', ...(code && { code }) });
    assert.deepEqual(data(played), { a: 1 });
    assert.deepEqual([(await answered).state, (await answered).code], ['refused', code]);
    await again(played);
    assert.equal(played.sent('data_sync').length, 0);
    const restarted = await greeted({ store: played.store });
    assert.deepEqual(restarted.terminal.operations().map(({ label, state }) => [label, state]), [['t', 'refused']]);
  });
}

for (const refusal of [{ code: 1011, retry: true }, { code: 4005 }]) {
  test(`${JSON.stringify(refusal)} of an operation: the same once more, later`, async () => {
    const played = await greeted({ timing: { ping: 1_000_000, deadline: 1_000_000 } });
    const kept = await played.terminal.update('orders', 'o-1', { a: 1 });
    for (let n = 1; n < 4; n += 1) {
      await played.hear({ type: 'sync_error', operation_id: kept.id, error: 'later', ...refusal });
      assert.equal(played.sent('data_sync').length, n);
      mock.timers.tick(31_000);
      await turn();
      assert.deepEqual(played.sent('data_sync').at(-1), kept.message);
    }
    assert.equal(played.sent('data_sync').length, 4);
  });
}

test('the answer to another terminal, whose operation has the same id, is none', async () => {
  const played = await greeted();
  const { id } = await played.terminal.update('orders', 'o-1', { a: 1 }, { label: 't' });
  await played.confirm(id, { terminal_id: 'w-2' });
  await played.hear({ type: 'sync_error', operation_id: id, terminal_id: 'w-2', code: 4006, error: 'no' });
  assert.deepEqual(states(played), ['t saved', 't sent']);
  await played.confirm(id, { terminal_id: undefined });
  assert.equal(states(played).at(-1), 't confirmed');
});

test('a second greeting on a connection takes nothing off the screen', async () => {
  const played = new Played();
  await played.greet();
  await played.row({ id: 'r', entity_id: 'o-1', operation: 'CREATE', data: { a: 1 } });
  await played.greet();
  assert.deepEqual(data(played), { a: 1 });
});

test('a refused operation is tried again with its id', async () => {
  const played = await greeted();
  const { id } = await played.terminal.create('orders', 'o-1', { a: 1 }, { label: 't' });
  await played.hear({ type: 'sync_error', operation_id: id, code: 4009, kept: true, error: 'no' });
  assert.equal(data(played), null);
  assert.equal(await played.terminal.retry(id), true);
  assert.deepEqual(data(played), { a: 1 });
  assert.deepEqual(...played.sent('data_sync'));
  await played.confirm(id, { version: 1 });
  assert.deepEqual(states(played).slice(-3), ['t saved', 't sent', 't confirmed']);
  assert.equal(await played.terminal.retry(id), false);
});

test('after 1009 the largest message under way is refused, not sent for ever', async () => {
  const played = await greeted();
  await played.terminal.update('orders', 'o-1', { a: 1 }, { label: 'small' });
  await played.terminal.update('orders', 'o-1', { a: 'x'.repeat(1000) }, { label: 'large' });
  await played.end(1009);
  assert.deepEqual(played.terminal.operations().map(({ label, state, code }) => [label, state, code]),
    [['small', 'sent', null], ['large', 'refused', 1009]]);
});

test('an error about nothing of its own is shown', async () => {
  const played = await greeted();
  await played.hear({ type: 'sync_error', operation_id: null, error: 'slow', code: 4005, entity_type: null, entity_id: null });
  assert.equal(played.told('error')[0].text, 'slow');
});

test('messages and rows that it does not know, or that are none, do no harm', async () => {
  const played = await greeted();
  await played.hear({ type: 'news' }, { type: 'data_sync' }, 7, null, { type: 'data_sync', operation: {
    id: 'r', entity_type: 'orders', entity_id: 'o', operation: 'MERGE', data: {} } });
  played.socket.onmessage({ data: '{' });
  await played.row({ id: 's', entity_id: 'o-1', operation: 'CREATE', data: { a: 1 } });
  assert.deepEqual(data(played), { a: 1 });
  assert.equal(played.terminal.contact.up, true);
});

const conflict = { id: 'c-1', type: 'field_conflict', entity_type: 'customers', entity_id: 'ana', path: ['phone'], state: 'open' };

test('conflicts are kept while they are open', async () => {
  const played = await greeted();
  const open = () => [...played.terminal.conflicts.keys()];
  await played.hear({ type: 'sync_conflict', conflict });
  await played.hear({ type: 'sync_conflict', conflict: { ...conflict, id: 's', path: ['note'], state: 'settled' } });
  assert.deepEqual(open(), ['c-1']);
  await played.hear({ type: 'sync_conflict', conflict: { ...conflict, id: 'c-2' } }); // in place of the first
  assert.deepEqual(open(), ['c-2']);
  const restarted = await greeted({ store: played.store });
  assert.deepEqual([...restarted.terminal.conflicts.keys()], ['c-2']);
  await played.hear({ type: 'conflict_resolution', conflict_id: 'c-2', resolution: 'merge', state: 'closed' });
  assert.deepEqual(open(), []);
  assert.deepEqual(played.told('conflict').map(({ state, conflict: { id } }) => `${id} ${state}`),
    ['c-1 open', 's settled', 'c-1 closed', 'c-2 open', 'c-2 closed']);
});

test('a resolution is kept, sent until it is answered, and says why', async () => {
  const played = await greeted();
  await played.end(1006);
  const kept = await played.terminal.resolve('c-1', 'merge', { phone: '2' }, 'asked her', { label: 'r' });
  mock.timers.tick(1_000);
  await played.greet();
  assert.deepEqual(played.sent('conflict_resolution'), [{ type: 'conflict_resolution', conflict_id: 'c-1', resolution: 'merge',
    resolved_data: { phone: '2' }, reason: 'asked her', terminal_id: 'w-1', id: kept.id }]);
  await played.confirm(kept.id, { conflict_id: 'c-1' });
  assert.equal((await kept.answered).state, 'confirmed');
});

test('a message that the program made is kept and sent as it is, under an id, and until it is answered', async () => {
  const played = await greeted();
  await played.end(1006);
  const operation = { entity_type: 'orders', entity_id: 'o-1', operation: 'UPDATE', data: { a: 1 }, restores: 'w-2/x' };
  const kept = await played.terminal.send({ type: 'data_sync', operation });
  assert.deepEqual(played.terminal.entity('orders', 'o-1').data, { a: 1 });
  const decided = await played.terminal.send({ type: 'conflict_resolution', id: 'r', conflict_id: 'c', resolution: 'accept_local' });
  const { retryInMs } = played.told('contact').at(-1);
  assert.ok(retryInMs >= 0 && retryInMs <= 1_000);
  mock.timers.tick(1_000);
  await played.greet();
  assert.deepEqual(played.sent('data_sync'), [{ type: 'data_sync', operation: { id: kept.id, ...operation } }]);
  assert.deepEqual([decided.id, played.sent('conflict_resolution')[0].id], ['r', 'r']);
  await played.confirm(kept.id);
  assert.equal((await kept.answered).state, 'confirmed');
  await assert.rejects(played.terminal.send({ type: 'data_sync', operation: { ...operation, data: { a: NaN } } }), TypeError);
});

test('a lock is asked for, held, and ends by itself', async () => {
  const played = await greeted();
  const asked = played.terminal.lock('orders', 'o-1', { timeout: 15_000 });
  await turn();
  const [message] = played.sent('acquire_lock');
  assert.deepEqual(message, { type: 'acquire_lock', entity_type: 'orders', entity_id: 'o-1', terminal_id: 'w-1',
    timeout: 15_000, lock_id: message.lock_id });
  await played.hear({ type: 'lock_acquired', lock_id: message.lock_id, entity_type: 'orders', entity_id: 'o-1',
    expires_at: '2026-01-15T19:30:15.000Z', scope: 'local' });
  const lock = await asked;
  await played.terminal.update('orders', 'o-1', { a: 1 }, { lock });
  const [{ operation }] = played.sent('data_sync');
  assert.deepEqual([operation.lock_id, operation.requires_lock], [lock.lockId, true]);
  await played.end(1006); // it outlives the connection
  mock.timers.tick(15_000);
  await turn();
  assert.deepEqual(played.told('lock').map(({ state }) => state), ['held', 'expired']);
});

test('a lock that is not given says who has it', async () => {
  const played = await greeted();
  const fails = async (options, then, wanted) => {
    const failed = assert.rejects(played.terminal.lock('orders', 'o-1', options), (error) => {
      assert.ok(error instanceof LockError);
      for (const [name, value] of Object.entries(wanted)) assert.equal(error[name], value);
      return true;
    });
    await turn();
    await then();
    await failed;
  };
  await fails({ lockId: 'l' }, () => played.hear({ type: 'lock_failed', lock_id: 'l', reason: 'Already locked by pos-1',
    locked_by: 'pos-1', locked_until: 'x' }), { message: 'Already locked by pos-1', lockedBy: 'pos-1', lockedUntil: 'x' });
  await fails({ lockId: 'm', breaks: 'pos-1' }, () => played.hear(
    { type: 'sync_error', operation_id: null, lock_id: 'm', code: 4008, error: 'no' }), { message: 'no', code: 4008 });
  await fails({}, () => played.end(1006), { message: 'the connection was lost' });
  await fails({}, () => {}, { message: 'not connected' });
});

test('a lock is released, or broken by another', async () => {
  const played = await greeted();
  const take = async (lockId) => {
    const asked = played.terminal.lock('orders', lockId, { lockId });
    await turn();
    await played.hear({ type: 'lock_acquired', lock_id: lockId, entity_type: 'orders', entity_id: lockId, expires_at: '' });
    return asked;
  };
  const released = played.terminal.unlock(await take('a'));
  await turn();
  await played.hear({ type: 'lock_released', lock_id: 'a' });
  assert.equal(await released, true);
  const late = played.terminal.unlock(await take('b'));
  await turn();
  await played.hear({ type: 'sync_error', operation_id: null, lock_id: 'b', code: 4009, error: 'expired' });
  assert.equal(await late, false);
  await take('c');
  await played.hear({ type: 'lock_failed', lock_id: 'c', reason: 'Already locked by pos-1', locked_by: 'pos-1' });
  const last = played.told('lock').at(-1);
  assert.deepEqual([last.state, last.lock.lockId, last.lockedBy], ['broken', 'c', 'pos-1']);
});

test('what is not answered when it is closed is sent by the next one with this store', async () => {
  const played = await greeted();
  await played.end(1006);
  const { id } = await played.terminal.create('orders', 'o-1', { a: 1 }, { label: 't' });
  await played.terminal.close();
  await assert.rejects(played.terminal.create('orders', 'o-2', {}), /closed/);
  const next = new Played({ store: played.store });
  await next.greet();
  assert.deepEqual(next.sent('data_sync').map(({ operation }) => operation.id), [id]);
  assert.deepEqual(data(next), { a: 1 });
});

test('of what was refused only the newest are kept', async () => {
  const played = await greeted();
  for (let n = 0; n < 205; n += 1) {
    const { id } = await played.terminal.update('orders', 'o-1', { n }, { label: n });
    await played.hear({ type: 'sync_error', operation_id: id, code: 4008, error: 'no' });
  }
  assert.equal(played.terminal.operations().length, 200);
  assert.equal(played.terminal.operations()[0].label, 5);
});

test('of what was deleted only so many versions are known', async () => {
  const played = await greeted();
  const gone = (n) => ({ type: 'data_sync', operation: { id: `r${n}`, entity_type: 'orders', entity_id: `o-${n}`, operation: 'DELETE',
    data: { version: 2 }, terminal_id: 'k' } });
  await played.hear(...Array.from({ length: 1_005 }, (_, n) => gone(n)));
  const kept = (await played.store.load()).filter(([key]) => key.startsWith('entity/'));
  assert.equal(kept.length, 1_000);
});
