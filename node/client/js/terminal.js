// A terminal of one node: what it sends, takes, stores and tells.

import { Connection } from './connection.js';
import { LockError, Locks } from './locks.js';
import { newId } from './queue.js';
import { isWellFormed } from './reading.js';
import { State } from './state.js';
import { Alone, Tabs } from './tabs.js';

const STORE_AGAIN_MS = 2_000;
const AGAIN_MS = 1_000;
const AGAIN_MS_MAX = 30_000;
const LOCK_MS = 30_000;
const RATE = 4005;
const ROW_FOLLOWS = ['lost', 'conflict']; // statuses of what is not shown, as the author's own row will say
const PLACED = ['applied', 'merged']; // statuses that tell a write's version
const COUNTERS = { products: ['stock'] };

export class Terminal {
  #options;
  #store;
  #state;
  #tabs;
  #connection;
  #listeners = new Map();
  #locks = new Locks((event) => this.#announce('lock', event));
  #full = false; // the next connection asks for the whole state
  #incomplete = false; // this connection asked for it, and confirmed nothing yet
  #contact = { state: 'disconnected', up: false, code: null, reason: '', clockSkewMs: null, retryInMs: null };
  #session = 0; // counts connections
  #unconfirmed = []; // ids of this session's rows that are applied and not confirmed
  #applying = []; // what listeners promised
  #writing = null; // a promise, while it is being stored
  #again = null; // the timer of what the node could not decide
  #undecided = 0; // how often in a row it could not
  #closed = false;
  #loading = 0; // how often at once
  #posted = []; // by other tabs while it loads

  constructor(options) {
    this.#options = options;
    this.#store = options.store;
    this.#state = new State(options.counters ?? COUNTERS);
    this.#connection = new Connection({
      WebSocket: options.WebSocket,
      timing: options.timing,
      address: () => this.#address(),
      heard: (message) => this.#heard(message),
      contact: (contact) => this.#contacted(contact),
      beat: () => this.#sendUnanswered(),
    });
    const tabs = {
      lead: () => this.#lead(),
      heard: (what) => this.#mirror(what),
      asked: (act, parameters) => this.#asked(act, parameters),
    };
    this.ready = this.#load();
    this.ready.catch((error) => this.#emit('error', { text: error.message, message: null }));
    const { shared } = this.#store;
    this.#tabs = shared && options.tabs ? new Tabs(shared, options.tabs, tabs) : new Alone(tabs);
    this.#tabs.post({ hello: true });
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
    return this.#state.conflicts;
  }

  on(event, listener) {
    if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
    this.#listeners.get(event).add(listener);
    return () => this.#listeners.get(event).delete(listener);
  }

  entities(type) {
    return this.#state.screen.entities(type);
  }

  entity(type, id) {
    return this.#state.screen.entity(type, id);
  }

  operations() {
    return this.#state.queue.told();
  }

  async write(entityType, entityId, operation, data = {}, options = {}) {
    const { id = newId(), tag, version, lock, priority } = options;
    const { userId = this.#options.userId, requiresLock = Boolean(lock) } = options;
    const timestamp = new Date().toISOString();
    checked(data);
    return this.#keep(tag, () => {
      const seen = (each, item) => item.version ?? version ?? this.#state.screen.version(entityType, each) + 1;
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

  async resolve(conflictId, resolution, data = undefined, reason = undefined, { id = newId(), tag } = {}) {
    checked(data);
    const message = { type: 'conflict_resolution', conflict_id: conflictId, resolution };
    if (data) message.resolved_data = data;
    if (reason) message.reason = reason;
    return this.#keep(tag, () => ({ ...message, terminal_id: this.terminalId, id }));
  }

  async send(message, { tag } = {}) {
    const { operation } = message;
    checked(operation ? operation.data : message.resolved_data);
    const named = operation ? { operation: { id: newId(), ...operation } } : { id: newId() };
    return this.#keep(tag, () => ({ ...named, ...message, ...(operation && named) }));
  }

  retry(operationId) {
    return this.#do('retry', { operationId });
  }

  dismiss(operationId) {
    return this.#do('dismiss', { operationId });
  }

  async lock(entityType, entityId, { timeout = LOCK_MS, lockId = newId(), breaks } = {}) {
    try {
      return await this.#do('lock', { entityType, entityId, timeout, lockId, breaks });
    } catch (error) {
      throw new LockError(error.message, error); // that of another tab is no LockError
    }
  }

  unlock(lock) {
    return this.#do('unlock', { lockId: lock.lockId ?? lock });
  }

  async reconnect({ full = false, token = this.#options.token } = {}) {
    await this.#do('reconnect', { full, token });
  }

  async close() {
    if (this.#closed) return;
    this.#closed = true;
    globalThis.removeEventListener?.('online', this.#online);
    clearTimeout(this.#again);
    await this.ready.catch(() => {});
    await this.#save();
    if (this.#tabs.leads) this.#connection.close();
    this.#locks.close();
    this.#tabs.close();
    await this.#store.close();
  }

  // What the tab that leads does, also for the others

  async #do(act, parameters) {
    await this.ready;
    return this.#tabs.leads ? this.#asked(act, parameters) : this.#tabs.ask(act, parameters);
  }

  async #asked(act, { operationId, lockId, ...parameters }) {
    const record = this.#state.queue.get(operationId);
    const send = (message) => this.#connection.send(message, true);
    switch (act) {
      case 'retry': return this.#retry(record);
      case 'dismiss': return this.#dismiss(record);
      case 'reconnect': return this.#reconnect(parameters);
      case 'unlock': {
        const message = { type: 'release_lock', lock_id: lockId, terminal_id: this.terminalId };
        return this.#locks.release(lockId, message, send);
      }
      case 'lock': {
        const { entityType, entityId, timeout, breaks } = parameters;
        const message = { type: 'acquire_lock', entity_type: entityType, entity_id: entityId,
          terminal_id: this.terminalId, timeout, lock_id: lockId, ...(breaks && { breaks }) };
        return this.#locks.acquire(message, send);
      }
      default: throw new Error(`another version of this page asks for ${act}`);
    }
  }

  #retry(record) {
    if (record?.state !== 'refused') return false;
    this.#state.queue.change(record, { state: 'saved', answer: null });
    this.#lay(record);
    this.#state.changed(record);
    this.#tell(record);
    this.#send(record);
    this.#save();
    return true;
  }

  #dismiss(record) {
    if (!record?.answer) return false;
    this.#forget(record);
    this.#save();
    return true;
  }

  #reconnect({ full, token }) {
    this.#options.token = token;
    this.#full ||= full;
    this.#connection.dial();
  }

  // The store

  async #load() {
    this.#loading += 1;
    try {
      this.#become(await this.#store.load());
    } finally {
      this.#loading -= 1;
      if (!this.#loading) for (const what of this.#posted.splice(0)) this.#mirror(what);
    }
  }

  #become(pairs) {
    const gone = this.#state.read(pairs);
    const { terminalId } = this.#options;
    const owner = this.#state.about?.terminalId ?? terminalId;
    if (owner !== terminalId) throw new Error(`the store belongs to terminal ${owner}, not to ${terminalId}`);
    this.#show();
    this.#state.unstored(); // it is what the store holds
    for (const conflict of this.#state.conflicts.values()) this.#emit('conflict', { state: 'open', conflict, message: null });
    for (const record of gone) {
      if (!record.answer) this.#state.queue.change(record, { state: 'confirmed', answer: {} });
    }
  }

  async #lead() {
    try {
      await this.ready;
      if (this.#store.shared) await this.#load(); // what the tab that led before wrote
    } catch {
      return; // was told
    }
    if (this.#closed) return;
    const { url, terminalId } = this.#options;
    if (!this.#state.about) this.#state.about = { url, terminalId, greeted: false, recovered: null };
    this.#tabs.post({ reload: true });
    this.#connection.dial();
  }

  /** What another tab posted. */
  #mirror(what) {
    const { hello, reload, appended, changes, event, about } = what;
    if (this.#loading) this.#posted.push(what);
    else if (hello && this.#tabs.leads) this.#tabs.post({ event: 'contact', about: this.#contact });
    else if (reload) this.#load().catch(() => {});
    else if (appended) this.#added(...appended);
    else if (changes && !this.#tabs.leads) {
      this.#state.mirror(changes);
      this.#show();
    } else if (event && !this.#tabs.leads) this.#heardOf(event, about);
  }

  #heardOf(event, about) {
    const record = event === 'operation' && this.#state.queue.get(about.id);
    if (record) this.#state.queue.change(record, about);
    if (event === 'contact') this.#contact = about;
    this.#emit(event, about);
  }

  // Confirmations leave after what they confirm is stored. Whatever comes meanwhile is stored together next.
  #save() {
    if (this.#tabs.leads && this.#unsaved) this.#writing ??= this.#saving();
    return this.#writing;
  }

  get #unsaved() {
    return this.#state.dirty || this.#unconfirmed.length > 0;
  }

  async #saving() {
    while (this.#unsaved) {
      const [rows, applying, session] = [this.#unconfirmed, this.#applying, this.#session];
      [this.#unconfirmed, this.#applying] = [[], []];
      const changes = this.#state.unstored();
      try {
        await Promise.all(applying);
        if (changes.length) await this.#store.commit(changes);
      } catch (error) {
        this.#state.putBack(changes);
        if (session === this.#session) this.#unconfirmed = [...rows, ...this.#unconfirmed];
        this.#announce('error', { text: `the store failed: ${error.message}`, message: null });
        if (this.#closed) break;
        await new Promise((resolve) => { setTimeout(resolve, STORE_AGAIN_MS); });
        continue;
      }
      if (changes.length) this.#tabs.post({ changes });
      if (session === this.#session) this.#confirm(rows);
    }
    this.#writing = null;
  }

  // The queue

  async #keep(tag, make) {
    await this.ready;
    if (this.#closed) throw new Error('the terminal is closed');
    const message = JSON.parse(JSON.stringify(make())); // the program may change its own objects
    const value = { message, tag: tag ?? null, state: 'saved', landed: false, answer: null };
    const key = await this.#store.append(value);
    this.#tabs.post({ appended: [key, value] });
    const record = this.#added(key, value);
    return { ...this.#state.queue.tell(record), answered: record.answered };
  }

  #added(key, value) {
    const there = this.#state.queue.at(key);
    if (there) return there;
    const record = this.#state.queue.take(key, value);
    this.#lay(record);
    this.#emit('operation', this.#state.queue.tell(record));
    this.#send(record);
    return record;
  }

  #lay({ message }) {
    if (message.type !== 'data_sync') return;
    this.#state.screen.write(message.operation);
    this.#show();
  }

  #send(record) {
    if (!this.#connection.send(record.message, true)) return;
    record.sentAt = performance.now();
    if (record.state === 'sent') return;
    record.state = 'sent';
    this.#tell(record);
  }

  /** All that is not answered, in order. waited: only what was sent as many milliseconds ago, or never. */
  #sendUnanswered(waited = 0) {
    for (const record of this.#state.queue.unanswered()) {
      if (!(performance.now() - record.sentAt < waited)) this.#send(record);
    }
  }

  #tell(record) {
    this.#announce('operation', this.#state.queue.tell(record));
  }

  #forget(record) {
    this.#state.queue.remove(record);
    this.#state.changed(record);
  }

  /** outcome: as the screen's `answered` has it. */
  #answered(record, state, answer, outcome = { taken: false }) {
    const { queue, screen } = this.#state;
    screen.answered(record.id, outcome);
    queue.change(record, { state, answer });
    this.#state.changed(record);
    this.#tell(record);
    const excess = state === 'confirmed' ? record : queue.excess();
    if (excess) this.#forget(excess);
    this.#show();
  }

  // The connection

  #address() {
    const { url, terminalId, type, userId, token } = this.#options;
    const query = new URLSearchParams({ type });
    if (userId) query.set('user_id', userId);
    if (token) query.set('token', token);
    if (this.#asksForAll()) query.set('sync', 'full');
    return `${url.replace(/^http/, 'ws').replace(/\/+$/, '')}/ws/${encodeURIComponent(terminalId)}?${query}`;
  }

  #asksForAll() {
    return this.#full || !this.#state.about.greeted || this.#state.about.url !== this.#options.url;
  }

  #contacted(contact) {
    if (!contact.up && this.#contact.up) {
      this.#session += 1;
      this.#unconfirmed = [];
      this.#incomplete = false;
      this.#locks.lost();
      clearTimeout(this.#again);
      this.#again = null;
      if (contact.code === 1009) this.#refuseLargest();
    }
    this.#contact = contact;
    this.#announce('contact', contact);
  }

  // The node closes with 1009 at a message that is far too big, and does not say which; sent again it would go on so.
  #refuseLargest() {
    const size = ({ message }) => JSON.stringify(message).length;
    const sent = this.#state.queue.unanswered().filter(({ state }) => state === 'sent');
    const largest = sent.reduce((one, other) => (one && size(one) >= size(other) ? one : other), null);
    if (!largest) return;
    this.#answered(largest, 'refused', { code: 1009, error: 'the message is too big' });
    this.#save();
  }

  #confirm(rows) {
    for (const operationId of rows) {
      this.#connection.send({ type: 'sync_confirmation', operation_id: operationId, terminal_id: this.terminalId,
        timestamp: new Date().toISOString() });
    }
    if (rows.length && this.#incomplete) this.#fence();
  }

  // Of a terminal that never confirmed the node takes a pong of the WebSocket for the confirmation of all rows before it,
  // stored here or not. Once it has read a confirmation it does not, so from then on it need not be asked for everything.
  #fence() {
    this.#incomplete = false;
    this.#connection.fence(() => {
      this.#state.about = { ...this.#state.about, greeted: true };
      this.#save();
    });
  }

  #heard(message) {
    this.#announce('message', message);
    try {
      this.#take(message);
    } catch (error) {
      this.#announce('error', { text: `a message that cannot be read: ${error.message}`, message });
    }
    this.#show();
    this.#save();
  }

  #take(message) {
    if (!isWellFormed(message)) throw new TypeError('it is not of the shape of its type');
    switch (message.type) {
      case 'connection_established': return this.#greeted(message);
      case 'data_sync': return this.#row(message.operation);
      case 'sync_confirmation': return this.#confirmed(message);
      case 'sync_error': return this.#refused(message);
      case 'sync_conflict': return this.#conflict(message);
      case 'conflict_resolution': return this.#drop(message.conflict_id, message);
      default: return this.#locks.heard(message);
    }
  }

  #greeted({ recovered = null }) {
    const { url, terminalId } = this.#options;
    if (this.#asksForAll()) {
      this.#state.screen.clear();
      for (const id of [...this.#state.conflicts.keys()]) this.#drop(id, null);
      this.#full = false;
      this.#incomplete = true;
      this.#state.about = { url, terminalId, greeted: false, recovered };
    } else if ((this.#state.about.recovered ?? null) !== recovered) {
      this.#full = true; // the node's database was set back; rows that it does not have any more may be shown
      return this.#connection.dial();
    }
    return this.#sendUnanswered();
  }

  #row(operation) {
    this.#unconfirmed.push(operation.id);
    const mine = operation.terminal_id === this.terminalId;
    if (!this.#state.screen.row(operation, mine)) return;
    const record = this.#state.queue.get(operation.id);
    record.landed = true;
    this.#state.changed(record);
  }

  #confirmed(message) {
    const record = this.#state.queue.get(message.operation_id);
    if (!record || record.answer) return;
    this.#undecided = 0;
    const { status, version, versions = { [record.message.operation?.entity_id]: version } } = message;
    const state = status === 'conflict' || this.#contested(record.id) ? 'conflict' : 'confirmed';
    this.#answered(record, state, message, {
      taken: !ROW_FOLLOWS.includes(status),
      versions: PLACED.includes(status) ? versions : {},
      seen: status === 'applied',
    });
  }

  /** Whether an operation of this terminal is one side of an open conflict. */
  #contested(operationId) {
    return [...this.#state.conflicts.values()].some(({ candidates }) => candidates?.some(
      (each) => each.operation_id === operationId && each.terminal_id === this.terminalId));
  }

  #refused(message) {
    const record = this.#state.queue.get(message.operation_id);
    if (record?.answer) return;
    if (record && (message.retry || message.code === RATE)) this.#sendAgain();
    else if (record) this.#answered(record, 'refused', message);
    else if (!this.#locks.heard(message)) this.#announce('error', { text: message.error, message });
  }

  #sendAgain() {
    this.#again ??= setTimeout(() => {
      this.#again = null;
      this.#undecided += 1;
      this.#sendUnanswered();
    }, AGAIN_MS + Math.random() * Math.min(AGAIN_MS * 2 ** this.#undecided, AGAIN_MS_MAX));
  }

  #conflict(message) {
    const { conflict } = message;
    const place = ({ entity_type, entity_id, path }) => JSON.stringify([entity_type, entity_id, path ?? null]);
    for (const old of [...this.#state.conflicts.values()]) {
      if (old.id !== conflict.id && place(old) === place(conflict)) this.#drop(old.id, null);
    }
    const state = conflict.state ?? 'open';
    if (state === 'open') this.#state.setConflict(conflict);
    this.#announce('conflict', { state, conflict, message });
  }

  #drop(conflictId, message) {
    const conflict = this.#state.conflicts.get(conflictId) ?? { id: conflictId };
    this.#state.dropConflict(conflictId);
    this.#announce('conflict', { state: 'closed', conflict, message });
  }

  // Events

  #show() {
    for (const view of this.#state.views()) this.#emit('entity', view);
  }

  /** In all tabs. */
  #announce(event, about) {
    if (this.#tabs.leads) this.#tabs.post({ event, about });
    this.#emit(event, about);
  }

  #emit(event, about) {
    for (const listener of this.#listeners.get(event) ?? []) {
      const failed = (error) => console.error(`comanda: a listener of "${event}" failed`, error);
      try {
        const promise = listener(about);
        if (promise instanceof Promise && this.#tabs.leads) this.#applying.push(promise.catch(failed));
      } catch (error) {
        failed(error);
      }
    }
  }
}

/** JSON.stringify would make null of these, silently. */
function checked(value, path = 'data') {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError(`${path} is ${value}, which is no JSON`);
  if (['bigint', 'function', 'symbol'].includes(typeof value)) throw new TypeError(`${path} is a ${typeof value}`);
  if (value === null || typeof value !== 'object') return;
  for (const [name, each] of Object.entries(value)) checked(each, `${path}.${name}`);
}
