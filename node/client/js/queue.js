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

  /** value: {message, tag, state, landed, answer} as it is stored under `key`. */
  add(key, value) {
    const { promise, settle } = later();
    const id = value.message.operation?.id ?? value.message.id;
    const record = { ...value, key, id, answered: promise, settle };
    this.#records.set(id, record);
    this.#keys.set(key, record);
    if (record.answer) this.#looked.add(record);
    return record;
  }

  get(id) {
    return this.#records.get(id);
  }

  /** undefined: nothing is stored under that key any more. */
  stored(key) {
    const record = this.#keys.get(key);
    if (!record) return undefined;
    const { message, tag, state, landed, answer } = record;
    return { message, tag, state: answer ? state : 'saved', landed, answer };
  }

  unanswered() {
    return [...this.#records.values()].filter(({ answer }) => !answer);
  }

  change(record, { state, answer }) {
    record.state = state;
    record.answer = answer;
    if (answer) {
      this.#looked.add(record);
      return;
    }
    const { promise, settle } = later();
    Object.assign(record, { landed: false, answered: promise, settle });
    this.#looked.delete(record);
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
    return [...this.#records.values()].map((record) => this.tell(record));
  }

  /** As programs see a record. */
  tell({ id, tag, state, message, answer }) {
    return { id, tag, state, message, answer, code: answer?.code ?? null };
  }
}

function later() {
  let settle;
  const promise = new Promise((resolve) => { settle = resolve; });
  return { promise, settle };
}
