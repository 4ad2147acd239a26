// Random evenings: whatever is lost, doubled, refused or killed, what a terminal shows in the end is what the node shows,
// and what it said to have saved was accepted once.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MemoryStore, connect } from '../../../node/client/js/client.js';
import { Node, dice, turns, until } from './model.mjs';

const FIRST = Number(process.env.COMANDA_SEED ?? 1);
const EVENINGS = 4 * Number(process.env.COMANDA_EXAMPLES ?? 3);
const TIMING = { ping: 100_000, deadline: 100_000, backoff: 10, backoffMax: 20 };

/** A store whose process may be killed: then nothing resolves any more, and the last commit was done or not. */
class Mortal {
  constructor(store, random) { Object.assign(this, { store, random, dead: false }); }

  async #do(act) {
    const never = new Promise(() => {});
    if (this.dead) return never;
    for (let n = this.random.below(3); n > 0; n -= 1) await new Promise(setImmediate);
    if (this.dead && this.random.chance(0.5)) return never;
    const result = await act();
    return this.dead ? never : result;
  }

  load() { return this.#do(() => this.store.load()); }

  commit(changes) { return this.#do(() => this.store.commit(changes)); }

  append(value) { return this.#do(() => this.store.append(value)); }

  async close() {}
}

class Person {
  saved = new Set(); // ids of operations that were said to be saved

  constructor(node, name, random) {
    Object.assign(this, { node, name, random, kept: new MemoryStore() });
    this.start();
  }

  start() {
    const store = this.store = new Mortal(this.kept, this.random);
    const person = this;
    class WebSocket extends this.node.WebSocket {
      constructor(url) {
        super(url);
        if (store.dead) this.end(1006, false);
        else person.socket = this;
      }
    }
    this.terminal = connect({ url: 'ws://model', terminalId: this.name, type: 'pos', store, timing: TIMING, WebSocket });
    this.terminal.on('error', ({ text }) => assert.fail(text));
    const { terminal } = this;
    const versions = new Map();
    terminal.on('entity', ({ id, entity }) => {
      if (this.terminal !== terminal) return;
      this.#ownWritesAreShown();
      const version = entity?.version ?? 0;
      if (entity) assert.ok(version >= (versions.get(id) ?? 0), `${id} went back to version ${version}`);
      versions.set(id, Math.max(version, versions.get(id) ?? 0));
    });
  }

  kill() {
    this.store.dead = true;
    this.socket?.end(1006, false);
    this.start();
  }

  async write() {
    const id = this.random.of(['a', 'b', 'c']);
    const kind = this.random.of(['CREATE', 'UPDATE', 'UPDATE', 'UPDATE', 'UPDATE', 'DELETE']);
    const data = kind === 'DELETE' ? {} : { [this.random.of(['x', 'y'])]: `${this.name}.${this.random.below(1e6)}` };
    const { terminal } = this;
    const { id: operation } = await terminal.write('orders', id, kind, data);
    this.saved.add(operation);
  }

  // What is not answered is on the screen, whatever came; the last write of a field or a deletion is what counts.
  #ownWritesAreShown() {
    const wanted = new Map();
    for (const { message, answer } of this.terminal.operations()) {
      const { entity_id: id, operation, data } = message.operation;
      if (answer) continue;
      if (operation === 'DELETE') wanted.set(id, null);
      else wanted.set(id, { ...wanted.get(id), ...data });
    }
    for (const [id, fields] of wanted) {
      const shown = this.terminal.entity('orders', id);
      if (this.landed(id)) continue; // its row came, and rows after it
      if (!fields) assert.equal(shown, null);
      const { version, deleted_at, ...rest } = fields ?? {};
      for (const [name, value] of Object.entries(rest)) assert.equal(shown.data[name], value);
    }
  }

  landed(id) {
    return this.node.log.some(({ author, operation }) => author === this.name && operation.entity_id === id
      && this.terminal.operations().some((each) => each.id === operation.id));
  }
}

async function evening(seed) {
  const random = dice(seed);
  turns(random);
  const node = new Node(random);
  node.mischief.refuse = () => (random.chance(0.1) ? { code: 4009, kept: random.chance(0.5) } : null);
  node.mischief.lose = () => random.chance(0.1);
  const people = ['ana', 'rui'].map((name) => new Person(node, name, random));
  const refused = new Set();
  for (let step = 0; step < 60; step += 1) {
    const person = random.of(people);
    if (random.chance(0.7)) person.write();
    if (random.chance(0.1)) node.cut();
    if (random.chance(0.05)) person.kill();
    for (let n = random.below(12); n > 0; n -= 1) await new Promise(setImmediate);
  }
  await until(() => people.every(({ terminal }) => terminal.contact.up && terminal.operations().every(({ answer }) => answer)));
  await until(() => [...node.sockets].every(({ underWay }) => !underWay.length));
  for (const { terminal } of people) {
    const shown = Object.fromEntries([...terminal.entities('orders')].map(([id, { data }]) => [id, data]));
    assert.deepEqual(shown, node.shown('orders'));
    for (const { id } of terminal.operations()) refused.add(id);
  }
  for (const { name, saved } of people) {
    for (const id of saved) {
      const times = node.log.filter(({ author, operation }) => author === name && operation.id === id).length;
      assert.equal(times, refused.has(id) ? 0 : 1, `${id} of ${name}`);
    }
  }
  await Promise.all(people.map(({ terminal }) => terminal.close()));
}

for (let seed = FIRST; seed < FIRST + EVENINGS; seed += 1) test(`evening ${seed}`, () => evening(seed));
