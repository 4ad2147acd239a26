// The browser's database, shared by the tabs of one origin.

import { queueKey } from './memory.js';

const VALUES = 'values';

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @implements {import('../client.js').Store} */
export class IndexedDBStore {
  #name;
  #opened = null;

  /** name: of the database; one for each terminal. */
  constructor(name) {
    this.#name = name;
  }

  get shared() {
    return this.#name;
  }

  async load() {
    const database = await this.#open();
    const values = database.transaction(VALUES).objectStore(VALUES);
    const [keys, all] = await Promise.all([settled(values.getAllKeys()), settled(values.getAll())]);
    return keys.map((key, index) => [key, all[index]]);
  }

  async commit(changes) {
    await this.#write((values) => {
      for (const [key, value] of changes) {
        if (value === undefined) values.delete(key);
        else values.put(value, key);
      }
    });
  }

  /** One transaction reads the last number and takes the next, so that no two tabs take the same. */
  async append(value) {
    let key;
    await this.#write((values) => {
      values.get('last').onsuccess = ({ target }) => {
        const number = (target.result ?? 0) + 1;
        key = queueKey(number);
        values.put(number, 'last');
        values.put(value, key);
      };
    });
    return key;
  }

  async close() {
    const opened = this.#opened;
    this.#opened = null;
    if (opened) (await opened).close();
  }

  async #write(act) {
    const database = await this.#open();
    await new Promise((resolve, reject) => {
      const transaction = database.transaction(VALUES, 'readwrite', { durability: 'strict' });
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'));
      act(transaction.objectStore(VALUES));
    });
  }

  #open() {
    if (!this.#opened) {
      const request = indexedDB.open(this.#name, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(VALUES);
      this.#opened = settled(request);
      this.#opened.then((database) => {
        database.onversionchange = () => database.close();
        database.onclose = () => { this.#opened = null; };
      }, () => { this.#opened = null; });
    }
    return this.#opened;
  }
}
