// Several tabs with one store: one connection, one queue, one screen. Where there are Web Locks, and where there are none.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';

import { MemoryStore, connect } from '../../../node/client/js/client.js';
import { systemClock } from '../../../node/client/js/clock.js';
import { LeaseLost, taken } from '../../../node/client/js/lease.js';
import { Node, dice, turns, until } from './model.mjs';

const FIRST = Number(process.env.COMANDA_SEED ?? 1);
const EVENINGS = 2 * Number(process.env.COMANDA_EXAMPLES ?? 3);
const TIMING = { ping: 100_000, deadline: 100_000, backoff: 10, backoffMax: 20 };

const LEASE = { beat: 60, silence: 240, answer: 80 }; // turns of the event loop

class Shared extends MemoryStore {
  shared = 'comanda/w-1';
  lease;

  async commit(changes, term) {
    if (term !== undefined && this.lease.term !== term) throw new LeaseLost('another tab leads');
    await super.commit(changes);
  }

  async takeLease(after) {
    const mine = taken(this.lease, after);
    this.lease = mine ?? this.lease;
    return { term: this.lease.term, mine: mine !== null };
  }

  async endLease(term) {
    if (this.lease.term === term) this.lease = { term, held: false };
  }

  async close() {}
}

/** What the tabs of one browser have together. */
class Browser {
  store = new Shared();
  channels = new Set();
  waiting = []; // who asked for the lock
  holder = null;

  /** fails: whether an operation on a store does; of the first load a terminal dies. */
  constructor(node, locks, fails = () => false) { Object.assign(this, { node, locks, fails }); }

  open() {
    const browser = this;
    const tab = { alive: true, frozen: false, deaf: false, late: [], channels: [], sockets: [] };
    /** What happens in the tab, now or once it is not frozen any more. */
    const happens = (act) => {
      if (tab.frozen) tab.late.push(act);
      else if (tab.alive) act();
    };
    tab.clock = {
      ...systemClock,
      after: (ms, act) => {
        const timer = { over: false };
        timer.turns = systemClock.after(ms, () => happens(() => timer.over || act()));
        return timer;
      },
      cancel: (timer) => {
        if (!timer) return;
        timer.over = true; // also of what is late
        systemClock.cancel(timer.turns);
      },
    };
    tab.BroadcastChannel = class {
      constructor() {
        tab.channels.push(this);
        browser.channels.add(this);
      }

      postMessage(data) {
        if (!tab.alive) return;
        const copy = structuredClone(data);
        for (const other of browser.channels) if (other !== this) other.posted(copy);
      }

      posted(data) {
        setImmediate(() => {
          if (tab.frozen && tab.deaf) return;
          happens(() => browser.channels.has(this) && this.onmessage?.({ data }));
        });
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

      set onmessage(hear) { this.hear = hear; }

      get onmessage() { return (event) => happens(() => this.hear?.(event)); }
    };
    const { store } = this;
    tab.store = { shared: store.shared, close: async () => {} }; // a dead tab's promises do not resolve
    for (const name of ['load', 'commit', 'append', 'takeLease', 'endLease']) {
      tab.store[name] = async (...values) => {
        await new Promise(setImmediate);
        const first = name === 'load' && !tab.loaded;
        tab.loaded = true;
        if (!first && this.fails()) throw new Error('out of order');
        const result = tab.alive ? await store[name](...values) : null;
        return tab.alive ? result : new Promise(() => {});
      };
    }
    tab.terminal = connect({ url: 'ws://model', terminalId: 'w-1', type: 'waiter', store: tab.store, clock: tab.clock,
      tabs: { BroadcastChannel: tab.BroadcastChannel, ...(this.locks ? { locks: tab.locks } : { lease: LEASE }) },
      WebSocket: tab.WebSocket, timing: TIMING });
    tab.told = [];
    tab.terminal.on('operation', ({ label, state }) => tab.told.push(`${label} ${state}`));
    tab.terminal.on('error', ({ text }) => { if (text !== 'the store failed: out of order') assert.fail(text); });
    return tab;
  }

  /** Maybe what is posted meanwhile never comes to the tab: it finds that out by the beats. Who leads is told of a freeze. */
  freeze(tab, random) {
    tab.frozen = true;
    tab.deaf = !this.locks && !tab.sockets.some(({ open }) => open) && random.chance(0.5);
  }

  thaw(tab) {
    tab.frozen = false;
    for (const act of tab.late.splice(0)) setImmediate(act);
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

async function opened(count, locks) {
  const random = dice(7);
  turns(random);
  const node = new Node(random);
  const browser = new Browser(node, locks);
  const tabs = Array.from({ length: count }, () => browser.open());
  await until(() => tabs.every(({ terminal }) => terminal.contact.up));
  return { node, browser, tabs };
}

for (const [locks, means] of [[true, ''], [false, ', without Web Locks']]) {
  test(`one tab is connected, and all show the same${means}`, async () => {
    const { node, tabs } = await opened(3, locks);
    assert.equal(node.sockets.size, 1);
    const kept = await tabs[2].terminal.create('orders', 'o-1', { status: 'pending' }, { label: 't' });
    assert.deepEqual(shown(tabs[2]), { 'o-1': { status: 'pending' } });
    assert.equal((await kept.answered).state, 'confirmed');
    await until(() => tabs.every((tab) => shown(tab)['o-1'] && !tab.terminal.entity('orders', 'o-1').pending));
    for (const { told } of tabs) assert.deepEqual(told, ['t saved', 't sent', 't confirmed']);
  });

  test(`the tab that leads is closed, or dies: another leads, and what was written is sent${means}`, async () => {
    const { node, browser, tabs: [first, second, third] } = await opened(3, locks);
    await first.terminal.close();
    await until(() => node.sockets.size === 1 && second.terminal.contact.up);
    browser.kill(second);
    await third.terminal.create('orders', 'o-1', { a: 1 });
    await until(() => node.log.length === 1);
    await until(() => third.terminal.operations().length === 0);
  });

  test(`a tab that opens later shows what is there, in contact or not${means}`, async () => {
    const { node, browser, tabs: [first] } = await opened(1, locks);
    await first.terminal.create('orders', 'o-1', { a: 1 });
    const second = browser.open();
    await until(() => second.terminal.contact.up && second.terminal.entity('orders', 'o-1'));
    node.cut();
    await until(() => !first.terminal.contact.up || !second.terminal.contact.up);
    await until(() => first.terminal.contact.up && second.terminal.contact.up);
  });

  test(`what a tab that does not lead is asked for, the one that leads does${means}`, async () => {
    const { node, tabs: [, second] } = await opened(2, locks);
    const { terminal } = second;
    node.mischief.refuse = () => ({ code: 4009, kept: true });
    const { id, answered } = await terminal.create('orders', 'o-1', { a: 1 }, { label: 't' });
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
}

test('tabs that start at once: one of them dials', async () => {
  const { node, tabs } = await opened(6, false);
  assert.equal(node.sockets.size, 1);
  assert.equal(tabs.filter(({ sockets }) => sockets.length).length, 1);
});

test('a tab that was frozen while it led wakes up, and changes nothing', async () => {
  const { node, browser, tabs: [first, second] } = await opened(2, false);
  await until(() => second.terminal.contact.up);
  const [leader, other] = first.sockets.length ? [first, second] : [second, first];
  leader.frozen = true;
  const { id } = await other.terminal.create('orders', 'o-1', { a: 1 }, { label: 'theirs' });
  await until(() => other.sockets.some(({ open }) => open) && node.log.length === 1);
  await until(() => !other.terminal.entity('orders', 'o-1').pending);
  const { term } = browser.store.lease;
  browser.thaw(leader);
  await leader.terminal.create('orders', 'o-2', { a: 2 }, { label: 'mine' });
  await until(() => leader.told.includes('mine confirmed') && leader.terminal.entity('orders', 'o-1'));
  await until(() => leader.sockets.every(({ open }) => !open) && leader.terminal.contact.up);
  assert.deepEqual(shown(leader), node.shown('orders'));
  assert.deepEqual(shown(other), node.shown('orders'));
  assert.equal(browser.store.lease.term, term);
  assert.deepEqual(node.log.map(({ operation }) => operation.id).filter((each) => each === id), [id]);
});

async function evening(seed) {
  const random = dice(seed);
  turns(random);
  const node = new Node(random);
  node.mischief.refuse = () => (random.chance(0.1) ? { code: 4009, kept: random.chance(0.5) } : null);
  let failing = true;
  const browser = new Browser(node, seed % 2 === 0, () => failing && random.chance(0.05));
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
      browser.thaw(tab);
      if (random.chance(0.5)) browser.kill(tab);
      else tab.terminal.close();
    }
    if (random.chance(0.1) && tabs.includes(tab)) browser.freeze(tab, random);
    if (random.chance(0.1)) for (const each of tabs) browser.thaw(each);
    for (let n = random.below(60); n > 0; n -= 1) await new Promise(setImmediate);
  }
  failing = false;
  for (const each of tabs) browser.thaw(each);
  const all = [...tabs, { terminal: other }];
  await until(() => all.every(({ terminal }) => terminal.contact.up && terminal.operations().every(({ answer }) => answer)));
  await until(() => [...node.sockets].every(({ underWay }) => !underWay.length));
  const alike = (each) => isDeepStrictEqual(shown(each), node.shown('orders'));
  await until(() => all.every(alike)).catch(() => {}); // the last changes are stored, and reach the other tabs
  for (const each of all) assert.deepEqual(shown(each), node.shown('orders'));
  const refused = new Set(tabs[0].terminal.operations().map(({ id }) => id));
  for (const id of saved) {
    const times = node.log.filter(({ author, operation }) => author === 'w-1' && operation.id === id).length;
    assert.equal(times, refused.has(id) ? 0 : 1);
  }
}

for (let seed = FIRST; seed < FIRST + EVENINGS; seed += 1) test(`evening ${seed}`, () => evening(seed));
