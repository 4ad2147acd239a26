// Whatever a node sends: the queue survives, each message is carried out whole or not at all, and silence is noticed.
import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';

import { Played, turn } from './wire.mjs';

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
});

const ROW = { id: 'row', entity_type: 'products', entity_id: 'p', operation: 'UPDATE', terminal_id: 'k', data: { stock: { $inc: 1 }, version: 2 } };
const SIDE = { terminal_id: 'w-1', operation_id: 'mine', data: { stock: 1 } };
const VALID = [
  { type: 'connection_established', terminal_id: 'w-1', server_time: '2026-01-15T19:30:00Z' },
  { type: 'data_sync', operation: ROW },
  { type: 'data_sync', operation: { ...ROW, operation: 'BULK_UPDATE', data: { updates: [{ entity_id: 'p', data: { stock: 1 } }] } } },
  { type: 'data_sync', operation: { ...ROW, id: 'mine', terminal_id: 'w-1' } },
  { type: 'sync_confirmation', operation_id: 'mine', status: 'applied', version: 2, versions: { p: 2 } },
  { type: 'sync_confirmation', operation_id: 'mine', status: 'duplicate', shown: { p: { stock: 2 } } },
  { type: 'sync_error', operation_id: 'mine', code: 4006, error: 'no', retry: false },
  { type: 'sync_conflict', conflict: { id: 'c', state: 'open', entity_type: 'products', entity_id: 'p', path: ['stock'], candidates: [SIDE] } },
  { type: 'conflict_resolution', conflict_id: 'c', resolution: 'merge' },
  { type: 'lock_acquired', lock_id: 'l', expires_at: '2026' },
  { type: 'lock_failed', lock_id: 'l', reason: 'held', locked_by: 'k' },
  { type: 'lock_released', lock_id: 'l' },
  { type: 'pong', timestamp: '2026' },
];
const NASTY = ['null', 'true', '0', '-1', '1e308', '1e999', '""', '"x"', '"\\ud800"', '"__proto__"', '"constructor"', '[]', '[null]', '{}',
  '{"__proto__":{"hurt":1}}', '{"p":[]}', '{"p":"x"}', '{"$inc":"x"}', '{"constructor":null}', '{"updates":[{"entity_id":"p","data":{}},null]}',
  `${'['.repeat(190)}${']'.repeat(190)}`, `${'['.repeat(50_000)}${']'.repeat(50_000)}`];

function* paths(value) {
  if (value === null || typeof value !== 'object') return;
  for (const name of Object.keys(value)) {
    yield [name];
    for (const rest of paths(value[name])) yield [name, ...rest];
  }
}

const SLICE = process.env.COMANDA_SLICE ?? '0';
const ALL = process.env.COMANDA_CLIENTS === 'all' || SLICE === 'all';
const AT_ONCE = 2; // else as many at each place, others at the next, and others the next day

function* texts() {
  let turns = Number(SLICE);
  const some = () => (ALL ? NASTY : Array.from({ length: AT_ONCE }, () => NASTY[turns++ % NASTY.length]));
  yield* NASTY;
  for (const message of VALID) {
    for (const path of paths(message)) {
      const mutant = structuredClone(message);
      const place = path.slice(0, -1).reduce((at, name) => at[name], mutant);
      place[path.at(-1)] = '@here';
      const text = JSON.stringify(mutant);
      for (const nasty of some()) yield text.replace('"@here"', () => nasty);
      delete place[path.at(-1)];
      yield JSON.stringify(mutant);
    }
  }
}

test('no message ends a terminal, or loses what it wrote', async () => {
  const wrong = [];
  for (const text of texts()) {
    const played = new Played();
    try {
      await played.greetWhole();
      await played.row({ ...ROW, id: 'before', operation: 'CREATE', data: { stock: 5, version: 1 } });
      const kept = await played.terminal.update('products', 'p', { stock: { $inc: 1 } }, { id: 'mine' });
      const lock = played.terminal.lock('products', 'p', { lockId: 'l' }).catch(() => {});
      await turn(2);
      played.socket.onmessage?.({ data: text });
      await turn(2);
      // An honest node takes what is still in the queue, and sends what is shown.
      await played.end(1006);
      mock.timers.tick(60_000);
      await turn(2);
      await played.greet();
      if (played.terminal.operations().some(({ id, state }) => id === kept.id && state === 'sent')) {
        assert.ok(played.sent('data_sync').some(({ operation }) => operation.id === 'mine'), 'it is not sent again');
        await played.confirm('mine', { version: 9 });
      }
      const { id } = await Promise.race([kept.answered, turn(50).then(() => ({ id: 'unanswered' }))]);
      assert.equal(id, 'mine');
      await played.row({ ...ROW, id: 'after', operation: 'CREATE', data: { stock: 7, version: 12 } });
      assert.deepEqual(played.terminal.entity('products', 'p')?.data, { stock: 7 });
      assert.equal({}.hurt, undefined);
      await lock;
    } catch (error) {
      wrong.push(`${text.slice(0, 200)}: ${error.message.slice(0, 200)}`);
    }
    await played.terminal.close();
  }
  assert.deepEqual(wrong, []);
});

test('a node that says much and never greets is given up', async () => {
  const played = new Played();
  await turn();
  played.socket.readyState = 1;
  for (let seconds = 0; seconds < 20 && played.sockets.length < 2; seconds += 4) {
    await played.hear({ type: 'pong' }, { type: 'news' });
    mock.timers.tick(4_000);
    await turn();
  }
  assert.equal(played.sockets.length, 2);
});
