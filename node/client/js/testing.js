// For a program's own tests: time that can be moved.

/** The machine's time, until it is moved. Give it to `connect` as `clock`. */
export class MovableClock {
  #ahead = 0; // by how much it was moved
  #timers = new Set(); // {due, act, handle}

  now() {
    return Date.now() + this.#ahead;
  }

  elapsed() {
    return performance.now() + this.#ahead;
  }

  after(ms, act) {
    const timer = { due: this.elapsed() + ms, act, handle: null };
    this.#timers.add(timer);
    this.#arm(timer);
    return timer;
  }

  cancel(timer) {
    if (this.#timers.delete(timer)) clearTimeout(timer.handle);
  }

  /** Lets so much time pass: what was to happen meanwhile happens, one after the other, each at its time. */
  async move(ms) {
    const until = this.elapsed() + ms;
    for (let next = this.#first(); next && next.due <= until; next = this.#first()) {
      this.#ahead += Math.max(0, next.due - this.elapsed());
      this.#fire(next);
      for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => { setTimeout(resolve, 0); });
    }
    this.#ahead += Math.max(0, until - this.elapsed());
    for (const timer of this.#timers) {
      clearTimeout(timer.handle);
      this.#arm(timer);
    }
  }

  #first() {
    return [...this.#timers].reduce((first, timer) => (first && first.due <= timer.due ? first : timer), null);
  }

  #arm(timer) {
    timer.handle = setTimeout(() => this.#fire(timer), timer.due - this.elapsed());
  }

  #fire(timer) {
    this.cancel(timer);
    timer.act();
  }
}
