// Several tabs with one store are one terminal: one of them leads, which means that it alone holds the connection and
// writes what rows change; the others tell it what they added to the queue, and hear from it what changed.

const ASK_MS = 10_000; // an answer that takes longer does not come: the leader was closed

export class Tabs {
  #channel;
  #leave = () => {};
  #asked = new Map(); // number -> {resolve, reject, timer}
  #number = 0;
  #id = Math.random().toString(36).slice(2);
  leads = false;

  /**
   * name: of what is shared. means: {locks, BroadcastChannel} of the browser.
   * lead: is called when this tab shall lead. heard: with what other tabs posted. asked: answers what another tab asks.
   */
  constructor(name, { locks, BroadcastChannel }, { lead, heard, asked }) {
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#heard(data, heard, asked);
    const stop = new AbortController();
    this.#leave = () => stop.abort();
    const turn = (resolve) => {
      if (stop.signal.aborted) return resolve(); // too late to be taken back
      this.#leave = resolve;
      this.leads = true;
      return lead();
    };
    locks.request(name, { signal: stop.signal }, () => new Promise(turn)).catch(() => {}); // aborted before its turn
  }

  /** To all other tabs. */
  post(what) {
    this.#channel.postMessage(what);
  }

  /** Asks the leader to do something; rejects with what its `asked` threw. */
  ask(act, parameters) {
    this.#number += 1;
    const number = this.#number;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#told({ number, failed: { text: 'no tab answers' } }), ASK_MS);
      this.#asked.set(number, { resolve, reject, timer });
      this.post({ ask: act, parameters, number, tab: this.#id });
    });
  }

  close() {
    for (const number of [...this.#asked.keys()]) this.#told({ number, failed: { text: 'the terminal is closed' } });
    this.leads = false;
    this.#channel.close();
    this.#leave();
  }

  async #heard(data, heard, asked) {
    if (data.ask && this.leads) {
      const { number, tab } = data;
      this.post(await asked(data.ask, data.parameters).then(
        (value) => ({ told: tab, number, value }), (error) => ({ told: tab, number, failed: { ...error, text: error.message } })));
    } else if (data.told === this.#id) this.#told(data);
    else if (!data.ask && !data.told) heard(data);
  }

  #told({ number, value, failed }) {
    const asked = this.#asked.get(number);
    if (!asked) return;
    this.#asked.delete(number);
    clearTimeout(asked.timer);
    if (failed) asked.reject(Object.assign(new Error(failed.text), failed));
    else asked.resolve(value);
  }
}

/** In place of Tabs where the store is not shared. */
export class Alone {
  leads = false;

  constructor({ lead }) {
    queueMicrotask(() => {
      this.leads = true;
      lead();
    });
  }

  post() {}

  close() {
    this.leads = false;
  }
}
