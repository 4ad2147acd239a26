// A terminal of one node: what it sends, takes, stores and tells.

import { iso } from './clock.js';
import { Connection } from './connection.js';
import { LeaseLost } from './lease.js';
import { Listeners } from './listeners.js';
import { LockError, Locks } from './locks.js';
import { acquiring, checked, releasing, resolved, taken, written } from './messages.js';
import { newId } from './queue.js';
import { isWellFormed } from './reading.js';
import { State } from './state.js';
import { Alone, Tabs } from './tabs.js';

const STORE_AGAIN_MS = 2_000;
const TABS_AGAIN_MS = 2_000;
const AGAIN_MS = 1_000;
const AGAIN_MS_MAX = 30_000;
const LOCK_MS = 30_000;
const RATE = 4005;
const ROW_FOLLOWS = ['lost', 'conflict']; // statuses of what is not shown, as the author's own row will say
const PLACED = ['applied', 'merged']; // statuses that tell a write's version
const SUBPROTOCOL = 'comanda.v1';
const TOKEN_OFFER = 'token.';
const COUNTERS = { products: ['stock'] };

/** Who a store belongs to. A terminal id holds no slash. */
export const nameOf = ({ terminalId, realm }) => (realm ? `${realm}/${terminalId}` : terminalId);

export class Terminal {
  #options;
  #clock;
  #store;
  #state;
  #tabs;
  #helloAgain = null; // timer
  #connection;
  #listeners = new Listeners();
  #locks;
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
    this.#clock = options.clock;
    this.#locks = new Locks(options.clock, (event) => this.#announce('lock', event));
    this.#store = options.store;
    this.#state = new State(options.counters ?? COUNTERS);
    this.#connection = new Connection({
      WebSocket: options.WebSocket,
      timing: options.timing,
      clock: options.clock,
      address: () => this.#address(),
      offers: () => this.#offers(),
      heard: (message, ignored) => this.#heard(message, ignored),
      contact: (contact) => this.#contacted(contact),
      beat: () => this.#sendUnanswered(),
    });
    const told = {
      lead: () => this.#lead(),
      follow: () => this.#follow(),
      heard: (what) => this.#mirror(what),
      asked: (act, parameters) => this.#asked(act, parameters),
      missed: () => this.#catchUp(),
    };
    this.ready = this.#load();
    this.ready.catch((error) => this.#emit('error', { text: error.message, message: null }));
    const { shared, takeLease } = this.#store;
    this.#tabs = shared && (options.tabs?.locks || (options.tabs && takeLease)) ? new Tabs(this.#store, options.tabs, options.clock, told) : new Alone(told);
    this.#hello();
    globalThis.addEventListener?.('online', this.#online);
    globalThis.document?.addEventListener('resume', this.#catchUp);
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
    return this.#listeners.add(event, listener);
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

  get unanswered() {
    const { queue } = this.#state;
    return queue.unanswered().map((record) => ({ ...queue.tell(record), answered: record.answered }));
  }

  async write(entityType, entityId, operation, data = {}, options = {}) {
    checked(data);
    const timestamp = iso(this.#clock);
    const author = { terminalId: this.terminalId, userId: options.userId ?? this.#options.userId };
    const seen = (id) => this.#state.screen.version(entityType, id);
    return this.#keep(options.label, () => (
      written({ entityType, entityId, operation, data, timestamp }, author, seen, { id: newId(), ...options })));
  }

  create(entityType, entityId, data, options) {
    return this.write(entityType, entityId, 'CREATE', data, options);
  }

  update(entityType, entityId, data, options) {
    return this.write(entityType, entityId, 'UPDATE', data, options);
  }

  updateAll(entityType, updates, options) {
    const items = Object.entries(updates).map(([id, data]) => ({ entity_id: id, data }));
    return this.write(entityType, null, 'BULK_UPDATE', { updates: items }, options);
  }

  delete(entityType, entityId, options) {
    return this.write(entityType, entityId, 'DELETE', { deleted_at: iso(this.#clock) }, options);
  }

  async resolve(conflictId, resolution, data = undefined, reason = undefined, { id = newId(), label } = {}) {
    checked(data);
    return this.#keep(label, () => resolved({ conflictId, resolution, data, reason }, this.terminalId, id));
  }

  async send(message, { label } = {}) {
    const { operation } = message;
    checked(operation ? operation.data : message.resolved_data);
    const named = operation ? { operation: { id: newId(), ...operation } } : { id: newId() };
    return this.#keep(label, () => ({ ...named, ...message, ...(operation && named) }));
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
    globalThis.document?.removeEventListener('resume', this.#catchUp);
    this.#clock.cancel(this.#again);
    this.#clock.cancel(this.#helloAgain);
    await this.ready.catch(() => {});
    await this.#save();
    if (this.#tabs.leads) this.#connection.close();
    this.#locks.close();
    await this.#tabs.close();
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
      case 'unlock': return this.#locks.release(lockId, releasing(lockId, this.terminalId), send);
      case 'lock': return this.#locks.acquire(acquiring(lockId, parameters, this.terminalId), send);
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

  /** Until it succeeds: who showed what was there before would show it for good. */
  async #reload() {
    while (!this.#closed) {
      try {
        return await this.#load();
      } catch (error) {
        this.#emit('error', { text: `the store failed: ${error.message}`, message: null });
      }
      await this.#storeAgain();
    }
    return undefined;
  }

  #storeAgain() {
    return new Promise((resolve) => { this.#clock.after(STORE_AGAIN_MS, resolve); });
  }

  #become(pairs) {
    const gone = this.#state.read(pairs);
    const mine = nameOf(this.#options);
    const owner = this.#state.about ? nameOf(this.#state.about) : mine;
    if (owner !== mine) throw new Error(`the store belongs to terminal ${owner}, not to ${mine}`);
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
    } catch {
      return this.close(); // why was told; another tab may lead
    }
    if (this.#store.shared) await this.#reload(); // what the tab that led before wrote
    if (this.#closed || !this.#tabs.leads) return undefined;
    if (!this.#state.about) this.#state.about = this.#begun(null);
    this.#tabs.post({ reload: true });
    return this.#connection.dial();
  }

  /** Another tab leads: what this one has not stored is not so. */
  #follow() {
    if (this.#closed) return;
    this.#connection.close();
    this.#loading += 1;
    this.#clock.after(0, () => { // of a page that is being frozen: once it is not any more
      this.#loading -= 1;
      this.#catchUp();
    });
  }

  /** What other tabs posted did not come to one that stood still. Who leads knows more than is stored. */
  #catchUp = () => {
    if (this.#closed || this.#tabs.leads) return;
    this.#reload();
    this.#hello();
  };

  /** Asks who leads for the contact, until it is told. */
  #hello() {
    this.#clock.cancel(this.#helloAgain);
    if (this.#closed || this.#tabs.leads) return;
    this.#tabs.post({ hello: true });
    this.#helloAgain = this.#clock.after(TABS_AGAIN_MS, () => this.#hello());
  }

  /** What another tab posted. */
  #mirror(what) {
    const { hello, reload, appended, changes, event, about } = what;
    if (this.#loading) this.#posted.push(what);
    else if (hello && this.#tabs.leads) this.#tabs.post({ event: 'contact', about: this.#contact });
    else if (reload) this.#reload();
    else if (appended) this.#added(...appended);
    else if (changes && !this.#tabs.leads) {
      this.#state.mirror(changes);
      this.#show();
    } else if (event && !this.#tabs.leads) this.#heardOf(event, about);
  }

  #heardOf(event, about) {
    const record = event === 'operation' && this.#state.queue.get(about.id);
    if (record) this.#state.queue.change(record, about);
    if (event === 'contact') {
      this.#contact = about;
      this.#clock.cancel(this.#helloAgain);
    }
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
    while (this.#tabs.leads && this.#unsaved) {
      const { term } = this.#tabs;
      const [rows, applying, session] = [this.#unconfirmed, this.#applying, this.#session];
      [this.#unconfirmed, this.#applying] = [[], []];
      const changes = this.#state.unstored();
      try {
        await Promise.all(applying);
        if (changes.length) await this.#store.commit(changes, term);
      } catch (error) {
        if (error instanceof LeaseLost) {
          this.#tabs.lost();
          break;
        }
        this.#state.putBack(changes);
        if (session === this.#session) this.#unconfirmed = [...rows, ...this.#unconfirmed];
        this.#announce('error', { text: `the store failed: ${error.message}`, message: null });
        if (this.#closed) break;
        await this.#storeAgain();
        continue;
      }
      if (changes.length) this.#tabs.post({ changes });
      if (session === this.#session) this.#confirm(rows);
    }
    this.#writing = null;
  }

  // The queue

  async #keep(label, make) {
    await this.ready;
    if (this.#closed) throw new Error('the terminal is closed');
    const message = JSON.parse(JSON.stringify(make())); // the program may change its own objects
    const value = { message, label: label ?? null, state: 'saved', landed: false, answer: null };
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
    record.sentAt = this.#clock.elapsed();
    if (record.state === 'sent') return;
    record.state = 'sent';
    this.#tell(record);
  }

  /** All that is not answered, in order. waited: only what was sent as many milliseconds ago, or never. */
  #sendUnanswered(waited = 0) {
    for (const record of this.#state.queue.unanswered()) {
      if (!(this.#clock.elapsed() - record.sentAt < waited)) this.#send(record);
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
    const { url, terminalId, type, userId, realm } = this.#options;
    const query = new URLSearchParams({ type });
    if (realm) query.set('realm', realm);
    if (userId) query.set('user_id', userId);
    if (this.#asksForAll()) query.set('sync', 'full');
    return `${url.replace(/^http/, 'ws').replace(/\/+$/, '')}/ws/${encodeURIComponent(terminalId)}?${query}`;
  }

  // A browser's WebSocket sets no other header, and what is in an address is in the logs of proxies.
  #offers() {
    const { token } = this.#options;
    return token ? [SUBPROTOCOL, TOKEN_OFFER + encodeURIComponent(token).replace(/[()]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)] : [];
  }

  /** Of what a store becomes a copy. */
  #begun(recovered) {
    const { url, terminalId, realm } = this.#options;
    return { url, terminalId, ...(realm && { realm }), greeted: false, recovered };
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
      this.#clock.cancel(this.#again);
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
      this.#connection.send(taken(operationId, this.terminalId, iso(this.#clock)));
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

  #heard(message, ignored) {
    this.#announce('message', message);
    if (ignored || this.#isAnothers(message)) return;
    try {
      this.#take(message);
    } catch (error) {
      this.#announce('error', { text: `a message that cannot be read: ${error.message}`, message });
    }
    this.#show();
    this.#save();
  }

  /** Whether it answers another terminal, whose operations may have the same ids. */
  #isAnothers({ type, terminal_id: terminalId }) {
    return ['sync_confirmation', 'sync_error'].includes(type) && (terminalId ?? this.terminalId) !== this.terminalId;
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

  #greeted({ recovered = null, sync }) {
    if (this.#asksForAll()) {
      this.#state.screen.clear();
      for (const id of [...this.#state.conflicts.keys()]) this.#drop(id, null);
      this.#full = false;
      this.#incomplete = sync !== 'full'; // else the node asks to be asked for everything once more
      this.#state.about = this.#begun(recovered);
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
    const wait = AGAIN_MS + Math.random() * Math.min(AGAIN_MS * 2 ** this.#undecided, AGAIN_MS_MAX);
    this.#again ??= this.#clock.after(wait, () => {
      this.#again = null;
      this.#undecided += 1;
      this.#sendUnanswered();
    });
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
    const promises = this.#listeners.tell(event, about);
    if (promises.length && this.#tabs.leads) this.#applying.push(...promises);
  }
}
