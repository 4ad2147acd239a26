// Keeps nothing beyond the page or process. Also what a store does: `load`, `commit`, `append`, `close`.

/** @implements {import('../client.js').Store} */
export class MemoryStore {
  #values = new Map();
  #last = 0;

  async load() {
    return [...this.#values].map(([key, value]) => [key, structuredClone(value)]);
  }

  async commit(changes) {
    for (const [key, value] of changes) {
      if (value === undefined) this.#values.delete(key);
      else this.#values.set(key, structuredClone(value));
    }
  }

  async append(value) {
    const key = queueKey(++this.#last);
    await this.commit([[key, value]]);
    return key;
  }

  async close() {}
}

/** Keys of the queue, whose order is that of the numbers. */
export function queueKey(number) {
  return `queue/${String(number).padStart(15, '0')}`;
}
