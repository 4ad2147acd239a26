// A terminal of one node: its queue, its screen, its conflicts and locks, kept in a store.

import { Connection } from './connection.js';
import { Locks } from './locks.js';
import { Queue, newId } from './queue.js';
import { Screen } from './screen.js';

const STORE_AGAIN_MS = 2_000;
const AGAIN_MS = 1_000;
const AGAIN_MS_MAX = 30_000;
const LOCK_MS = 30_000;
const RATE = 4005;

export class Terminal {
  #options;
  #store;
  #listeners = new Map();
  #connection;
  #queue = new Queue();
  #screen = new Screen();
  #locks = new Locks((event) => this.#emit('lock', event));
  #conflicts = new Map(); // id -> conflict, the open ones
  #about = null; // {url, terminalId, greeted}: what the store is a copy of
  #full = false; // the next connection asks for the whole state
  #contact = { state: 'disconnected', up: false, code: null, reason: '', clockSkewMs: null };
  #dirty = new Set(); // keys of the store that have to be written
  #unconfirmed = []; // ids of rows that are applied and not confirmed
  #applying = []; // what listeners promised
  #writing = null; // a promise, while it is being stored
  #session = 0; // counts connections
  #again = null; // the timer of what the node could not decide
  #undecided = 0; // how often in a row it could not
  #closed = false;

  constructor(options) {
    this.#options = options;
    this.#store = options.store;
    this.#connection = new Connection({
      WebSocket: options.WebSocket,
      timing: options.timing,
      address: () => this.#address(),
      heard: (message) => this.#heard(message),
      contact: (contact) => this.#changed(contact),
    });
    this.ready = this.#load();
    this.ready.then(() => this.#closed || this.#connection.dial(), (error) => (
      this.#emit('error', { text: error.message, message: null })));
    globalThis.addEventListener?.('online', this.#online);
  }

  #online = () => this.#connection.hurry();

  get terminalId() {
    return this.#options.terminalId;
  }

  get contact() {
    return this.#contact;
  }

  get conflicts() {
    return this.#conflicts;
  }

  on(event, listener) {
    if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
    this.#listeners.get(event).add(listener);
    return () => this.#listeners.get(event).delete(listener);
  }

  entities(type) {
    return this.#screen.entities(type);
  }

  entity(type, id) {
    return this.#screen.entity(type, id);
  }

  operations() {
    return this.#queue.told();
  }

  async write(entityType, entityId, operation, data = {}, options = {}) {
    const { id = newId(), tag, version, lock, priority } = options;
    const { userId = this.#options.userId, requiresLock = lock && true } = options;
    checked(data);
    const timestamp = new Date().toISOString();
    return this.#keep(tag, () => {
      const seen = (each, item) => item.version ?? version ?? this.#screen.version(entityType, each) + 1;
      const written = { id, entity_type: entityType, operation };
      if (operation === 'BULK_UPDATE') {
        written.data = { updates: data.updates.map((item) => (
          { ...item, data: { ...item.data, version: seen(item.entity_id, item.data) } })) };
      } else {
        written.entity_id = entityId;
        written.version = seen(entityId, data);
        written.data = { ...data, version: written.version };
      }
      Object.assign(written, { timestamp, terminal_id: this.terminalId });
      if (userId) written.user_id = userId;
      if (requiresLock) written.requires_lock = true;
      if (priority) written.priority = priority;
      if (lock) written.lock_id = lock.lockId ?? lock;
      return { type: 'data_sync', operation: written };
    });
  }

  create(entityType, entityId, data, options) {
    return this.write(entityType, entityId, 'CREATE', data, options);
  }

  update(entityType, entityId, data, options) {
    return this.write(entityType, entityId, 'UPDATE', data, options);
  }

  remove(entityType, entityId, options) {
    return this.write(entityType, entityId, 'DELETE', { deleted_at: new Date().toISOString() }, options);
  }

  async resolve(conflictId, resolution, data = undefined, reason = undefined, { tag } = {}) {
    checked(data ?? {});
    return this.#keep(tag, () => {
      const message = { type: 'conflict_resolution', conflict_id: conflictId, resolution };
      if (data) message.resolved_data = data;
      if (reason) message.reason = reason;
      return { ...message, terminal_id: this.terminalId, id: newId() };
    });
  }

  async retry(operationId) {
    const record = this.#queue.get(operationId);
    if (record?.state !== 'refused') return false;
    this.#queue.change(record, { state: 'saved', answer: null });
    this.#lay(record);
    this.#tell(record);
    this.#send(record);
    this.#save();
    return true;
  }

  async dismiss(operationId) {
    const record = this.#queue.get(operationId);
    if (!record?.answer) return false;
    this.#forget(record);
    this.#save();
    return true;
  }

  async lock(entityType, entityId, { timeout = LOCK_MS, lockId = newId(), breaks } = {}) {
    const message = { type: 'acquire_lock', entity_type: entityType, entity_id: entityId,
      terminal_id: this.terminalId, timeout, lock_id: lockId };
    if (breaks) message.breaks = breaks;
    return this.#locks.acquire(message, (each) => this.#connection.send(each, true));
  }

  async unlock(lock) {
    const lockId = lock.lockId ?? lock;
    const message = { type: 'release_lock', lock_id: lockId, terminal_id: this.terminalId };
    return this.#locks.release(lockId, message, (each) => this.#connection.send(each, true));
  }

  async reconnect({ full = false, token = this.#options.token } = {}) {
    await this.ready;
    this.#options.token = token;
    this.#full ||= full;
    this.#connection.dial();
  }

  async close() {
    if (this.#closed) return;
    this.#closed = true;
    globalThis.removeEventListener?.('online', this.#online);
    clearTimeout(this.#again);
    await this.ready.catch(() => {});
    await this.#save();
    this.#connection.close();
    this.#locks.close();
    await this.#store.close();
  }

  // The store

  async #load() {
    const values = new Map(await this.#store.load());
    const { url, terminalId } = this.#options;
    this.#about = values.get('about');
    if (!this.#about) {
      this.#about = { url, terminalId, greeted: false };
      this.#dirty.add('about');
    }
    if (this.#about.terminalId !== terminalId) {
      throw new Error(`the store belongs to terminal ${this.#about.terminalId}, not to ${terminalId}`);
    }
    for (const [key, value] of values) {
      if (key.startsWith('entity/')) this.#screen.restore(key, value);
      else if (key.startsWith('conflict/')) this.#conflicts.set(value.id, value);
      else if (key.startsWith('queue/')) this.#queue.add(key, value);
    }
    for (const record of this.#queue.unanswered()) this.#lay(record, record.landed);
    this.#show();
    for (const conflict of this.#conflicts.values()) this.#emit('conflict', { state: 'open', conflict, message: null });
  }

  #stored(key) {
    if (key === 'about') return this.#about;
    if (key.startsWith('entity/')) return this.#screen.stored(key);
    if (key.startsWith('conflict/')) return this.#conflicts.get(key.slice('conflict/'.length));
    return this.#queue.stored(key);
  }

  // Confirmations leave after what they confirm is stored. Whatever comes meanwhile is stored together next.
  #save() {
    this.#writing ??= this.#saving();
    return this.#writing;
  }

  async #saving() {
    while (this.#dirty.size || this.#unconfirmed.length) {
      const [keys, rows, applying, session] = [[...this.#dirty], this.#unconfirmed, this.#applying, this.#session];
      this.#dirty.clear();
      [this.#unconfirmed, this.#applying] = [[], []];
      const changes = keys.map((key) => [key, structuredClone(this.#stored(key))]);
      try {
        await Promise.allSettled(applying);
        if (changes.length) await this.#store.commit(changes);
      } catch (error) {
        for (const key of keys) this.#dirty.add(key);
        if (session === this.#session) this.#unconfirmed = [...rows, ...this.#unconfirmed];
        this.#emit('error', { text: `the store failed: ${error.message}`, message: null });
        if (this.#closed) break;
        await new Promise((resolve) => { setTimeout(resolve, STORE_AGAIN_MS); });
        continue;
      }
      if (session === this.#session) for (const operationId of rows) this.#confirm(operationId);
    }
    this.#writing = null;
  }

  // The queue

  async #keep(tag, make) {
    await this.ready;
    if (this.#closed) throw new Error('the terminal is closed');
    const message = make();
    const value = { message, tag: tag ?? null, state: 'saved', landed: false, answer: null };
    const key = await this.#store.append(value);
    const record = this.#queue.add(key, value);
    this.#lay(record);
    this.#tell(record);
    this.#send(record);
    return { ...this.#queue.tell(record), answered: record.answered };
  }

  #lay({ message }, landed = false) {
    if (message.type !== 'data_sync') return;
    this.#screen.write(message.operation, landed);
    this.#show();
  }

  #send(record) {
    if (!this.#connection.send(record.message, true) || record.state === 'sent') return;
    record.state = 'sent';
    this.#tell(record);
  }

  #sendAll() {
    clearTimeout(this.#again);
    this.#again = null;
    for (const record of this.#queue.unanswered()) this.#send(record);
  }

  #tell(record) {
    this.#emit('operation', this.#queue.tell(record));
  }

  #forget(record) {
    this.#queue.remove(record);
    this.#dirty.add(record.key);
  }

  #answered(record, state, answer, versions = {}) {
    this.#screen.answered(record.id, state !== 'refused', versions);
    this.#queue.change(record, { state, answer });
    this.#tell(record);
    record.settle(this.#queue.tell(record));
    if (state === 'confirmed') this.#forget(record);
    const excess = this.#queue.excess();
    if (excess) this.#forget(excess);
    this.#dirty.add(record.key);
    this.#show();
  }

  // The connection

  #address() {
    const { url, terminalId, type, userId, token } = this.#options;
    const query = new URLSearchParams({ type });
    if (userId) query.set('user_id', userId);
    if (token) query.set('token', token);
    if (this.#mustAskForAll()) query.set('sync', 'full');
    return `${url.replace(/^http/, 'ws').replace(/\/+$/, '')}/ws/${encodeURIComponent(terminalId)}?${query}`;
  }

  #mustAskForAll() {
    return this.#full || !this.#about.greeted || this.#about.url !== this.#options.url;
  }

  #changed(contact) {
    if (this.#closed && contact.state !== 'disconnected') return;
    if (!contact.up && this.#contact.up) {
      this.#session += 1;
      this.#unconfirmed = [];
      this.#locks.lost();
      clearTimeout(this.#again);
      if (contact.code === 1009) this.#refuseLargest();
    }
    this.#contact = contact;
    this.#emit('contact', contact);
  }

  // The node closes with 1009 at a message that is far too big, and does not say which; sent again it would go on so.
  #refuseLargest() {
    const size = (record) => JSON.stringify(record.message).length;
    const sent = this.#queue.unanswered().filter(({ state }) => state === 'sent');
    const largest = sent.reduce((one, other) => (one && size(one) >= size(other) ? one : other), null);
    if (!largest) return;
    this.#answered(largest, 'refused', { code: 1009, error: 'the message is too big' });
    this.#save();
  }

  #confirm(operationId) {
    this.#connection.send({ type: 'sync_confirmation', operation_id: operationId, terminal_id: this.terminalId,
      timestamp: new Date().toISOString() });
  }

  #heard(message) {
    this.#emit('message', message);
    try {
      this.#take(message);
    } catch (error) {
      this.#emit('error', { text: `a message that cannot be read: ${error.message}`, message });
    }
    this.#show();
    this.#save();
  }

  #take(message) {
    switch (message.type) {
      case 'connection_established': return this.#greeted();
      case 'data_sync': return this.#row(message.operation);
      case 'sync_confirmation': return this.#confirmed(message);
      case 'sync_error': return this.#refused(message);
      case 'sync_conflict': return this.#conflict(message);
      case 'conflict_resolution': return this.#settled(message);
      default: return this.#locks.heard(message);
    }
  }

  #greeted() {
    if (this.#mustAskForAll()) {
      this.#screen.clear();
      for (const id of [...this.#conflicts.keys()]) this.#drop(id, null);
      const { url, terminalId } = this.#options;
      this.#about = { url, terminalId, greeted: true };
      this.#full = false;
      this.#dirty.add('about');
    }
    this.#sendAll();
  }

  #row(operation) {
    this.#unconfirmed.push(operation.id);
    const mine = operation.terminal_id === this.terminalId;
    if (!this.#screen.row(operation, mine)) return;
    const record = this.#queue.get(operation.id);
    record.landed = true;
    this.#dirty.add(record.key);
  }

  #confirmed(message) {
    const record = this.#queue.get(message.operation_id);
    if (!record || record.answer) return;
    this.#undecided = 0;
    const { status } = message;
    const open = [...this.#conflicts.values()].some(({ candidates }) => candidates?.some(
      (each) => each.operation_id === record.id && each.terminal_id === this.terminalId));
    const versions = status !== 'applied' ? {}
      : message.versions ?? { [record.message.operation?.entity_id]: message.version };
    this.#answered(record, status === 'conflict' || open ? 'conflict' : 'confirmed', message, versions);
  }

  #refused(message) {
    const record = this.#queue.get(message.operation_id);
    if (record?.answer) return;
    if (record && (message.retry || message.code === RATE)) this.#sendAgain();
    else if (record) this.#answered(record, 'refused', message);
    else if (!this.#locks.heard(message)) this.#emit('error', { text: message.error, message });
  }

  #sendAgain() {
    this.#again ??= setTimeout(() => {
      this.#undecided += 1;
      this.#sendAll();
    }, AGAIN_MS + Math.random() * Math.min(AGAIN_MS * 2 ** this.#undecided, AGAIN_MS_MAX));
  }

  #conflict(message) {
    const { conflict } = message;
    const place = ({ entity_type, entity_id, path }) => JSON.stringify([entity_type, entity_id, path ?? null]);
    for (const old of this.#conflicts.values()) {
      if (old.id !== conflict.id && place(old) === place(conflict)) this.#drop(old.id, null);
    }
    const state = conflict.state ?? 'open';
    if (state === 'open') {
      this.#conflicts.set(conflict.id, conflict);
      this.#dirty.add(`conflict/${conflict.id}`);
    }
    this.#emit('conflict', { state, conflict, message });
  }

  #settled(message) {
    this.#drop(message.conflict_id, message);
  }

  #drop(conflictId, message) {
    const conflict = this.#conflicts.get(conflictId) ?? null;
    if (!conflict && !message) return;
    this.#conflicts.delete(conflictId);
    this.#dirty.add(`conflict/${conflictId}`);
    this.#emit('conflict', { state: 'closed', conflict: conflict ?? { id: conflictId }, message });
  }

  // Events

  #show() {
    const { keys, views } = this.#screen.changes();
    for (const key of keys) this.#dirty.add(key);
    for (const view of views) this.#emit('entity', view);
  }

  #emit(event, about) {
    for (const listener of this.#listeners.get(event) ?? []) {
      try {
        const promise = listener(about);
        if (promise instanceof Promise) this.#applying.push(promise.catch((error) => this.#failed(event, error)));
      } catch (error) {
        this.#failed(event, error);
      }
    }
  }

  #failed(event, error) {
    console.error(`comanda: a listener of "${event}" failed`, error);
  }
}

/** JSON.stringify would make null of these, silently. */
function checked(value, path = 'data') {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError(`${path} is ${value}, which is no JSON`);
  if (['bigint', 'function', 'symbol'].includes(typeof value)) throw new TypeError(`${path} is a ${typeof value}`);
  if (value === null || typeof value !== 'object') return;
  for (const [name, each] of Object.entries(value)) checked(each, `${path}.${name}`);
}
