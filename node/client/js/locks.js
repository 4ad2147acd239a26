// Locks as their holder knows them. Time is measured from the request on, so a lock never seems held for too long.

export class LockError extends Error {
  constructor(text, { code = null, lockedBy = null, lockedUntil = null } = {}) {
    super(text);
    Object.assign(this, { name: 'LockError', code, lockedBy, lockedUntil });
  }

  /** Of a lock_failed or sync_error. */
  static of({ reason, error, code, locked_by: lockedBy, locked_until: lockedUntil }) {
    return new LockError(error ?? reason, { code, lockedBy, lockedUntil });
  }
}

export class Locks {
  #asked = new Map(); // lock id -> {resolve, reject, until} of an acquire_lock without an answer
  #held = new Map(); // lock id -> {lock, timer}
  #released = new Map(); // lock id -> resolve of a release_lock without an answer
  #clock;
  #tell;

  /** clock: as systemClock. tell: is called with {state: 'held', 'expired', 'broken' or 'released', lock, lockedBy}. */
  constructor(clock, tell) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** send: gives the message to the node, and says whether it could. */
  acquire(message, send) {
    return new Promise((resolve, reject) => {
      const until = this.#clock.elapsed() + message.timeout;
      this.#asked.set(message.lock_id, { resolve, reject, until });
      if (!send(message)) this.#fail(message.lock_id, new LockError('not connected'));
    });
  }

  /** True: it was released; false: it was not held any more. */
  release(lockId, message, send) {
    this.#end(lockId, 'released');
    return new Promise((resolve) => {
      this.#released.set(lockId, resolve);
      if (!send(message)) this.#answer(lockId, false);
    });
  }

  /** Whether the message was about a lock. */
  heard(message) {
    const { type, lock_id: id } = message;
    if (type === 'lock_acquired') this.#acquired(message);
    else if (type === 'lock_released') this.#answer(id, true);
    else if (type === 'lock_failed' && this.#asked.has(id)) this.#fail(id, LockError.of(message));
    else if (type === 'lock_failed') this.#end(id, 'broken', message.locked_by);
    else if (type === 'sync_error' && this.#asked.has(id)) this.#fail(id, LockError.of(message));
    else if (type === 'sync_error' && this.#released.has(id)) this.#answer(id, false);
    else return false;
    return true;
  }

  /** The connection is lost, and with it the answers. What is held stays held until it expires. */
  lost() {
    for (const id of [...this.#asked.keys()]) this.#fail(id, new LockError('the connection was lost'));
    for (const id of [...this.#released.keys()]) this.#answer(id, false);
  }

  close() {
    this.lost();
    for (const { timer } of this.#held.values()) this.#clock.cancel(timer);
    this.#held.clear();
  }

  #acquired({ lock_id: lockId, entity_type: entityType, entity_id: entityId, expires_at, token, scope }) {
    const asked = this.#asked.get(lockId);
    if (!asked) return;
    this.#asked.delete(lockId);
    this.#clock.cancel(this.#held.get(lockId)?.timer);
    const lock = { lockId, entityType, entityId, expiresAt: expires_at, token: token ?? null, scope: scope ?? null };
    const timer = this.#clock.after(Math.max(0, asked.until - this.#clock.elapsed()), () => this.#end(lockId, 'expired'));
    this.#held.set(lockId, { lock, timer });
    this.#tell({ state: 'held', lock, lockedBy: null });
    asked.resolve(lock);
  }

  #fail(lockId, error) {
    const { reject } = this.#asked.get(lockId);
    this.#asked.delete(lockId);
    reject(error);
  }

  #answer(lockId, released) {
    this.#released.get(lockId)?.(released);
    this.#released.delete(lockId);
  }

  #end(lockId, state, lockedBy = null) {
    const held = this.#held.get(lockId);
    if (!held) return;
    this.#clock.cancel(held.timer);
    this.#held.delete(lockId);
    this.#tell({ state, lock: held.lock, lockedBy });
  }
}
