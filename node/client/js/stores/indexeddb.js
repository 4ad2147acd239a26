// The browser's database, shared by the tabs of one origin.

import { LeaseLost, taken } from '../lease.js';
import { queueKey } from './memory.js';

const VALUES = 'values';
const LEASE = 'lease';

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

const whyAborted = ({ error }) => error ?? new Error('the transaction was aborted');

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
    const [keys, all] = await new Promise((resolve, reject) => {
      const transaction = database.transaction(VALUES);
      const requests = ['getAllKeys', 'getAll'].map((name) => transaction.objectStore(VALUES)[name]());
      transaction.oncomplete = () => resolve(requests.map(({ result }) => result));
      transaction.onabort = () => reject(whyAborted(transaction)); // its requests may end without an event
    });
    return keys.map((key, index) => [key, all[index]]);
  }

  async commit(changes, term = undefined) {
    await this.#write((values, refuse) => {
      for (const [key, value] of changes) {
        if (value === undefined) values.delete(key);
        else values.put(value, key);
      }
      if (term === undefined) return;
      values.get(LEASE).onsuccess = ({ target }) => {
        if (target.result?.term !== term) refuse(new LeaseLost('another tab leads'));
      };
    });
  }

  async takeLease(after) {
    let lease;
    await this.#write((values) => {
      values.get(LEASE).onsuccess = ({ target }) => {
        const mine = taken(target.result, after);
        if (mine) values.put(mine, LEASE);
        lease = { term: (mine ?? target.result).term, mine: mine !== null };
      };
    });
    return lease;
  }

  async endLease(term) {
    await this.#write((values) => {
      values.get(LEASE).onsuccess = ({ target }) => {
        if (target.result?.term === term) values.put({ term, held: false }, LEASE);
      };
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
      transaction.onabort = () => reject(whyAborted(transaction));
      act(transaction.objectStore(VALUES), (error) => {
        reject(error);
        transaction.abort();
      });
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
