// Which tab leads where a browser has no Web Locks, as on a page that came over plain HTTP from another machine.
//
// The store counts terms: a tab leads for one, and takes the next in one transaction, so that of several tabs one gets it. Who
// leads says so again and again. Who has heard nothing of it for a while asks, and takes the next term if nobody answers.
// A tab may be frozen meanwhile and wake up, sure that it leads. So what it stores names its term, and the store refuses
// what is of an earlier one: then, or when it hears of a later term, it follows.

/** Milliseconds, as long as nothing else is given. beat: from one sign of the leader to the next. silence: after which it is asked. answer: for that. */
export const LEASE = { beat: 2_000, silence: 6_000, answer: 2_000 };

/** The lease that the store keeps, once a tab took it; null: it is another's. after: a term that counts as over. */
export function taken(lease, after) {
  const { term, held } = lease ?? { term: 0, held: false };
  return held && term !== after ? null : { term: term + 1, held: true };
}

/** A commit of a term that is over. */
export class LeaseLost extends Error {
  name = 'LeaseLost';
}

export class Lease {
  /** The number of this tab's term while it leads. */
  term = undefined;
  #known = 0; // the latest term that is known
  #timer = null; // of the next sign, or of the next doubt
  #closed = false;
  #options;

  /**
   * store: with `takeLease` and `endLease`. clock: as systemClock. timing: as LEASE. post: to the other tabs' `heard`.
   * began, ended: are called when this tab leads, and when it does not any more.
   */
  constructor(options) {
    this.#options = { ...options, timing: { ...LEASE, ...options.timing } };
    this.#take();
    globalThis.addEventListener?.('pagehide', this.#hidden);
    globalThis.document?.addEventListener('freeze', this.#frozen);
  }

  #hidden = () => this.#giveBack();

  // A browser answers the node's pings also for a frozen page: the node would take it for alive, and refuse the next leader.
  // The others are only told: a transaction that a frozen page leaves open keeps their own from beginning, for a minute.
  #frozen = () => this.#giveBack({ stored: false });

  /** free: a term that is over. */
  heard({ beat, doubt, free }) {
    if (beat < this.#known || this.#closed) return;
    if (beat > this.#known) this.lost(beat);
    else if (beat) this.#wait(this.#options.timing.silence);
    if (doubt && this.term) this.#say();
    if (free && !this.term) this.#take(free);
  }

  /** Another tab leads. */
  lost(term = this.#known) {
    const led = this.term;
    this.#known = term;
    this.term = undefined;
    if (led) this.#options.ended();
    this.#wait(this.#options.timing.silence);
  }

  async close() {
    this.#closed = true;
    globalThis.removeEventListener?.('pagehide', this.#hidden);
    globalThis.document?.removeEventListener('freeze', this.#frozen);
    this.#options.clock.cancel(this.#timer);
    await this.#giveBack();
  }

  async #giveBack({ stored } = { stored: true }) {
    const { term } = this;
    if (!term) return;
    this.lost();
    if (stored) await this.#options.store.endLease(term).catch(() => {}); // else it ends by silence
    this.#options.post({ free: term });
  }

  async #take(after = null) {
    const lease = await this.#options.store.takeLease(after).catch(() => ({ term: this.#known, mine: false }));
    if (this.#closed) return lease.mine && this.#options.store.endLease(lease.term).catch(() => {});
    this.#known = Math.max(this.#known, lease.term);
    if (!lease.mine) return this.#doubt();
    this.term = lease.term;
    this.#say();
    return this.#options.began();
  }

  #say() {
    this.#options.post({ beat: this.term });
    this.#after(this.#options.timing.beat, () => this.#say());
  }

  /** Without a sign for so long, somebody is asked. */
  #wait(ms) {
    this.#after(ms, () => this.#doubt());
  }

  #doubt() {
    const term = this.#known;
    this.#options.post({ doubt: true });
    this.#after(this.#options.timing.answer, () => this.#take(term));
  }

  #after(ms, act) {
    const { clock } = this.#options;
    clock.cancel(this.#timer);
    this.#timer = this.#closed ? null : clock.after(ms, act);
  }
}
