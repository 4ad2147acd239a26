// Operations and resolutions in the order made, until they are answered; also those that a person has to look at.

const LOOKED_AT_LATER = 200; // answered with a conflict or a refusal, and not dismissed

/** An id that is never given again. `crypto.randomUUID` is missing where a page came over plain HTTP. */
export function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

export class Queue {
  #records = new Map(); // id -> record, in the order of their keys
  #keys = new Map(); // key -> record
  #looked = new Set(); // records that are answered and still kept, the oldest answer first

  /** value: {message, label, state, landed, answer} as it is stored under `key`. What is there already is renewed. */
  take(key, value) {
    const id = value.message.operation?.id ?? value.message.id;
    const there = this.#records.get(id);
    if (there) {
      this.change(there, value);
      there.landed = value.landed;
      return there;
    }
    const { promise, settle } = later();
    const record = { ...value, key, id, answered: promise, settle };
    this.#records.set(id, record);
    this.#keys.set(key, record);
    if (record.answer) this.#looked.add(record);
    return record;
  }

  get(id) {
    return this.#records.get(id);
  }

  at(key) {
    return this.#keys.get(key);
  }

  all() {
    return [...this.#records.values()];
  }

  /** undefined: nothing is stored under that key any more. */
  stored(key) {
    const record = this.#keys.get(key);
    if (!record) return undefined;
    const { message, label, state, landed, answer } = record;
    return { message, label, state: answer ? state : 'saved', landed, answer };
  }

  /** In the order made, which with several tabs is not that in which this one heard of them. */
  unanswered() {
    return this.all().filter(({ answer }) => !answer).sort((one, other) => (one.key < other.key ? -1 : 1));
  }

  /** To another state; with an answer it is settled, without one it waits for one anew. */
  change(record, { state, answer }) {
    const before = record.answer;
    Object.assign(record, { state, answer });
    if (answer) {
      this.#looked.add(record);
      record.settle(this.tell(record));
    } else if (before) {
      this.#looked.delete(record);
      const { promise, settle } = later();
      Object.assign(record, { landed: false, answered: promise, settle });
    }
  }

  remove(record) {
    this.#records.delete(record.id);
    this.#keys.delete(record.key);
    this.#looked.delete(record);
  }

  /** The one to forget, as more are kept than a person will look at; undefined: none. */
  excess() {
    return this.#looked.size > LOOKED_AT_LATER ? [...this.#looked][0] : undefined;
  }

  told() {
    return this.all().map((record) => this.tell(record));
  }

  /** As programs see a record. */
  tell({ id, label, state, message, answer }) {
    return { id, label, state, message, answer, code: answer?.code ?? null };
  }
}

function later() {
  let settle;
  const promise = new Promise((resolve) => { settle = resolve; });
  return { promise, settle };
}
