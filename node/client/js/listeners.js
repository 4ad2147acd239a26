// Who is told of what.

export class Listeners {
  #of = new Map(); // event -> Set of listeners

  /** The answer takes it off again. */
  add(event, listener) {
    if (!this.#of.has(event)) this.#of.set(event, new Set());
    this.#of.get(event).add(listener);
    return () => this.#of.get(event).delete(listener);
  }

  /** What listeners promised. One that fails disturbs nobody. */
  tell(event, about) {
    const failed = (error) => console.error(`comanda: a listener of "${event}" failed`, error);
    const promises = [];
    for (const listener of this.#of.get(event) ?? []) {
      try {
        const promise = listener(about);
        if (promise instanceof Promise) promises.push(promise.catch(failed));
      } catch (error) {
        failed(error);
      }
    }
    return promises;
  }
}
