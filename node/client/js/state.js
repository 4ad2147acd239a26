// What a store holds of a terminal: what it is a copy of, the queue, the screen and the open conflicts, each under a key.

import { Queue } from './queue.js';
import { Screen } from './screen.js';

const conflictKey = (id) => `conflict/${id}`;

export class State {
  queue = new Queue();
  conflicts = new Map(); // id -> conflict
  screen;
  #about = null; // {url, terminalId, recovered} of the last greeting; greeted: not everything has to be asked for
  #dirty = new Set(); // keys that have to be stored

  constructor(counters) {
    this.screen = new Screen(counters);
  }

  get about() {
    return this.#about;
  }

  set about(about) {
    this.#about = about;
    this.#dirty.add('about');
  }

  setConflict(conflict) {
    this.conflicts.set(conflict.id, conflict);
    this.#dirty.add(conflictKey(conflict.id));
  }

  dropConflict(id) {
    this.conflicts.delete(id);
    this.#dirty.add(conflictKey(id));
  }

  /** The record changed, or left the queue. */
  changed(record) {
    this.#dirty.add(record.key);
  }

  /** The views that changed since it was asked last; their entities have to be stored. */
  views() {
    const { keys, views } = this.screen.changes();
    for (const key of keys) this.#dirty.add(key);
    return views;
  }

  /** Becomes what the store holds, pairs of key and value. Answers with the records that are not in it any more. */
  read(pairs) {
    const values = new Map(pairs);
    const gone = this.queue.all().filter(({ key }) => !values.has(key));
    for (const record of gone) this.queue.remove(record);
    this.conflicts.clear();
    this.screen.empty();
    const later = pairs.filter(([key]) => key.startsWith('queue/')); // they find their places in the entities
    for (const [key, value] of [...pairs.filter(([key]) => !key.startsWith('queue/')), ...later]) this.#take(key, value);
    this.#dirty.clear();
    return gone;
  }

  /** Changes that another tab made in the store. */
  mirror(changes) {
    for (const [key, value] of changes) {
      const record = this.queue.at(key);
      if (record) this.screen.forget(record.id);
      if (record && value === undefined) this.queue.remove(record);
      this.#take(key, value);
    }
  }

  /** Takes what has to be stored: pairs of key and value, undefined where nothing is kept any more. */
  unstored() {
    const keys = [...this.#dirty];
    this.#dirty.clear();
    return keys.map((key) => [key, structuredClone(this.#stored(key))]);
  }

  get dirty() {
    return this.#dirty.size > 0;
  }

  /** It could not be stored. */
  putBack(changes) {
    for (const [key] of changes) this.#dirty.add(key);
  }

  #stored(key) {
    if (key === 'about') return this.#about;
    if (key.startsWith('entity/')) return this.screen.stored(key);
    if (key.startsWith('conflict/')) return this.conflicts.get(key.slice(conflictKey('').length));
    return this.queue.stored(key);
  }

  #take(key, value) {
    if (key === 'about') this.#about = value;
    else if (key.startsWith('entity/')) this.screen.restore(key, value);
    else if (key.startsWith('conflict/')) this.#takeConflict(key, value);
    else if (key.startsWith('queue/') && value) this.#takeRecord(key, value);
  }

  #takeConflict(key, value) {
    const id = key.slice(conflictKey('').length);
    if (value) this.conflicts.set(id, value);
    else this.conflicts.delete(id);
  }

  #takeRecord(key, value) {
    const record = this.queue.take(key, value);
    if (!record.answer && record.message.type === 'data_sync') this.screen.write(record.message.operation, record.landed);
  }
}
