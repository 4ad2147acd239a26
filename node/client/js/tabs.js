// Several tabs with one store are one terminal: one of them leads, which means that it alone holds the connection and
// writes what rows change; the others tell it what they added to the queue, and hear from it what changed.

import { Lease } from './lease.js';

const ASK_MS = 10_000; // an answer that takes longer does not come: the leader was closed

export class Tabs {
  leads = false;
  #channel;
  #turn; // of this tab to lead: {term, lost, close}
  #asked = new Map(); // number -> {resolve, reject, timer}
  #number = 0;
  #id = Math.random().toString(36).slice(2);
  #posts = 0; // of this tab
  #last = new Map(); // tab -> number of its last post that came; of one that was there before, some did not
  #clock;

  /**
   * store: what is shared. means: {locks, BroadcastChannel} of the browser; without locks {lease}, as LEASE.
   * lead, follow: are called when this tab shall lead, and when it shall not any more. heard: with what other tabs posted.
   * asked: answers what another tab asks. missed: is called when posts did not come, as while a tab stands still.
   */
  constructor(store, { locks, BroadcastChannel, lease }, clock, { lead, follow, heard, asked, missed }) {
    this.#clock = clock;
    this.#channel = new BroadcastChannel(store.shared);
    this.#channel.onmessage = ({ data: { from, n, ...data } }) => {
      const gap = n !== (this.#last.get(from) ?? 0) + 1;
      this.#last.set(from, n);
      this.#heard(data, heard, asked);
      if (gap) missed();
    };
    const began = () => {
      this.leads = true;
      return lead();
    };
    const ended = () => {
      this.leads = false;
      follow();
    };
    this.#turn = locks ? new Turn(store.shared, locks, began)
      : new Lease({ store, clock, timing: lease, began, ended, post: (lease) => this.post({ lease }) });
  }

  /** Of this tab as the leader, where a commit has to name it. */
  get term() {
    return this.#turn.term;
  }

  /** The store says that another tab leads. */
  lost() {
    this.#turn.lost();
  }

  /** To all other tabs. */
  post(what) {
    this.#posts += 1;
    this.#channel?.postMessage({ ...what, from: this.#id, n: this.#posts });
  }

  /** Asks the leader to do something; rejects with what its `asked` threw. */
  ask(act, parameters) {
    this.#number += 1;
    const number = this.#number;
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(ASK_MS, () => this.#told({ number, failed: { text: 'no tab answers' } }));
      this.#asked.set(number, { resolve, reject, timer });
      this.post({ ask: act, parameters, number, tab: this.#id });
    });
  }

  async close() {
    for (const number of [...this.#asked.keys()]) this.#told({ number, failed: { text: 'the terminal is closed' } });
    this.leads = false;
    this.#channel.onmessage = null;
    await this.#turn.close();
    this.#channel.close();
    this.#channel = null;
  }

  async #heard(data, heard, asked) {
    if (data.lease) this.#turn.heard?.(data.lease);
    else if (data.ask && this.leads) {
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
    this.#clock.cancel(asked.timer);
    if (failed) asked.reject(Object.assign(new Error(failed.text), failed));
    else asked.resolve(value);
  }
}

/** A Web Lock: the browser gives it to one tab, and to the next when that is gone. */
class Turn {
  #leave;

  constructor(name, locks, began) {
    const stop = new AbortController();
    this.#leave = () => stop.abort();
    const turn = (resolve) => {
      if (stop.signal.aborted) return resolve(); // too late to be taken back
      this.#leave = resolve;
      return began();
    };
    locks.request(name, { signal: stop.signal }, () => new Promise(turn)).catch(() => {}); // aborted before its turn
  }

  async close() {
    this.#leave();
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

  async close() {
    this.leads = false;
  }
}
