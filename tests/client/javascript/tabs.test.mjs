// Several tabs with one store: one connection, one queue, one screen.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MemoryStore, connect } from '../../../node/client/js/client.js';
import { Node, dice, turns, until } from './model.mjs';

const FIRST = Number(process.env.COMANDA_SEED ?? 1);
const EVENINGS = 2 * Number(process.env.COMANDA_EXAMPLES ?? 10);
const TIMING = { ping: 100_000, deadline: 100_000, backoff: 10, backoffMax: 20 };

class Shared extends MemoryStore {
  shared = 'comanda/w-1';

  async close() {}
}

/** What the tabs of one browser have together. */
class Browser {
  store = new Shared();
  channels = new Set();
  waiting = []; // who asked for the lock
  holder = null;

  constructor(node) { this.node = node; }

  open() {
    const browser = this;
    const tab = { alive: true, channels: [], sockets: [] };
    tab.BroadcastChannel = class {
      constructor() {
        tab.channels.push(this);
        browser.channels.add(this);
      }

      postMessage(data) {
        if (!tab.alive) return;
        const copy = structuredClone(data);
        for (const other of browser.channels) if (other !== this) setImmediate(() => browser.channels.has(other) && other.onmessage({ data: copy }));
      }

      close() { browser.channels.delete(this); }
    };
    tab.locks = { request: (name, { signal }, act) => new Promise((resolve, reject) => {
      const asked = { tab, grant: () => act().then(resolve).then(() => browser.#release(asked)) };
      signal.addEventListener('abort', () => {
        browser.waiting = browser.waiting.filter((each) => each !== asked);
        reject(new Error('aborted'));
      });
      browser.waiting.push(asked);
      browser.#grant();
    }) };
    tab.WebSocket = class extends browser.node.WebSocket {
      constructor(url) {
        super(url);
        if (tab.alive) tab.sockets.push(this);
        else this.end(1006, false);
      }
    };
    const { store } = this;
    tab.store = { shared: store.shared, close: async () => {} }; // a dead tab's promises do not resolve
    for (const name of ['load', 'commit', 'append']) {
      tab.store[name] = async (value) => {
        await new Promise(setImmediate);
        const result = tab.alive ? await store[name](value) : null;
        return tab.alive ? result : new Promise(() => {});
      };
    }
    tab.terminal = connect({ url: 'ws://model', terminalId: 'w-1', type: 'waiter', store: tab.store, tabs: tab,
      WebSocket: tab.WebSocket, timing: TIMING });
    tab.told = [];
    tab.terminal.on('operation', ({ tag, state }) => tab.told.push(`${tag} ${state}`));
    tab.terminal.on('error', ({ text }) => assert.fail(text));
    return tab;
  }

  kill(tab) {
    tab.alive = false;
    for (const channel of tab.channels) channel.close();
    for (const socket of tab.sockets) socket.end(1006, false);
    this.waiting = this.waiting.filter((each) => each.tab !== tab);
    if (this.holder?.tab === tab) this.#release(this.holder);
  }

  #grant() {
    if (this.holder || !this.waiting.length) return;
    this.holder = this.waiting.shift();
    setImmediate(this.holder.grant);
  }

  #release(asked) {
    if (this.holder !== asked) return;
    this.holder = null;
    this.#grant();
  }
}

const shown = ({ terminal }) => Object.fromEntries([...terminal.entities('orders')].map(([id, { data }]) => [id, data]));

async function opened(count) {
  const random = dice(7);
  turns(random);
  const node = new Node(random);
  const browser = new Browser(node);
  const tabs = Array.from({ length: count }, () => browser.open());
  await until(() => tabs.every(({ terminal }) => terminal.contact.up));
  return { node, browser, tabs };
}

test('one tab is connected, and all show the same', async () => {
  const { node, tabs } = await opened(3);
  assert.equal(node.sockets.size, 1);
  const kept = await tabs[2].terminal.create('orders', 'o-1', { status: 'pending' }, { tag: 't' });
  assert.deepEqual(shown(tabs[2]), { 'o-1': { status: 'pending' } });
  assert.equal((await kept.answered).state, 'confirmed');
  await until(() => tabs.every((tab) => shown(tab)['o-1'] && !tab.terminal.entity('orders', 'o-1').pending));
  for (const { told } of tabs) assert.deepEqual(told, ['t saved', 't sent', 't confirmed']);
});

test('the tab that leads is closed, or dies: another leads, and what was written is sent', async () => {
  const { node, browser, tabs: [first, second, third] } = await opened(3);
  await first.terminal.close();
  await until(() => node.sockets.size === 1 && second.terminal.contact.up);
  browser.kill(second);
  await third.terminal.create('orders', 'o-1', { a: 1 });
  await until(() => node.log.length === 1);
  await until(() => third.terminal.operations().length === 0);
});

test('a tab that opens later shows what is there, in contact or not', async () => {
  const { node, browser, tabs: [first] } = await opened(1);
  await first.terminal.create('orders', 'o-1', { a: 1 });
  const second = browser.open();
  await until(() => second.terminal.contact.up && second.terminal.entity('orders', 'o-1'));
  node.cut();
  await until(() => !first.terminal.contact.up || !second.terminal.contact.up);
  await until(() => first.terminal.contact.up && second.terminal.contact.up);
});

test('what a tab that does not lead is asked for, the one that leads does', async () => {
  const { node, tabs: [, second] } = await opened(2);
  const { terminal } = second;
  node.mischief.refuse = () => ({ code: 4009, kept: true });
  const { id, answered } = await terminal.create('orders', 'o-1', { a: 1 }, { tag: 't' });
  assert.equal((await answered).code, 4009);
  node.mischief.refuse = () => null;
  assert.equal(await terminal.retry(id), true);
  await until(() => second.told.at(-1) === 't confirmed');
  const asked = terminal.lock('orders', 'o-1', { lockId: 'l' });
  await until(() => node.received.some(({ type }) => type === 'acquire_lock'));
  const [socket] = node.sockets;
  socket.answers({ type: 'lock_failed', lock_id: 'l', reason: 'taken', locked_by: 'pos-1' });
  await assert.rejects(asked, { name: 'LockError', message: 'taken', lockedBy: 'pos-1' });
});

async function evening(seed) {
  const random = dice(seed);
  turns(random);
  const node = new Node(random);
  node.mischief.refuse = () => (random.chance(0.1) ? { code: 4009, kept: random.chance(0.5) } : null);
  const browser = new Browser(node);
  const other = connect({ url: 'ws://model', terminalId: 'pos', type: 'pos', WebSocket: node.WebSocket, timing: TIMING });
  let tabs = [browser.open(), browser.open()];
  const saved = new Set();
  const write = (terminal, name) => {
    const id = random.of(['a', 'b', 'c']);
    const kind = random.of(['CREATE', 'UPDATE', 'UPDATE', 'DELETE']);
    const data = kind === 'DELETE' ? {} : { [random.of(['x', 'y'])]: `${name}.${random.below(1e6)}` };
    return terminal.write('orders', id, kind, data);
  };
  for (let step = 0; step < 50; step += 1) {
    const tab = random.of(tabs);
    if (random.chance(0.5)) write(tab.terminal, 'w-1').then(({ id }) => saved.add(id), () => {});
    if (random.chance(0.2)) write(other, 'pos');
    if (random.chance(0.05)) node.cut();
    if (random.chance(0.1) && tabs.length < 4) tabs.push(browser.open());
    if (random.chance(0.1) && tabs.length > 1) {
      tabs = tabs.filter((each) => each !== tab);
      if (random.chance(0.5)) browser.kill(tab);
      else tab.terminal.close();
    }
    for (let n = random.below(12); n > 0; n -= 1) await new Promise(setImmediate);
  }
  const all = [...tabs, { terminal: other }];
  await until(() => all.every(({ terminal }) => terminal.contact.up && terminal.operations().every(({ answer }) => answer)));
  await until(() => [...node.sockets].every(({ underWay }) => !underWay.length));
  for (let n = 0; n < 20; n += 1) await new Promise(setImmediate); // the last changes reach the other tabs
  for (const each of all) assert.deepEqual(shown(each), node.shown('orders'));
  const refused = new Set(tabs[0].terminal.operations().map(({ id }) => id));
  for (const id of saved) {
    const times = node.log.filter(({ author, operation }) => author === 'w-1' && operation.id === id).length;
    assert.equal(times, refused.has(id) ? 0 : 1);
  }
}

for (let seed = FIRST; seed < FIRST + EVENINGS; seed += 1) test(`evening ${seed}`, () => evening(seed));
