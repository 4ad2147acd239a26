/** A JSON value. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type Fields = { [name: string]: Json | undefined };
/** A message of the node, as it came. */
export type Message = { type: string; [name: string]: any };

export type TerminalType = 'pos' | 'kds' | 'waiter' | 'monitor';
export type OperationKind = 'CREATE' | 'UPDATE' | 'DELETE' | 'BULK_UPDATE';
export type Resolution = 'accept_local' | 'accept_remote' | 'merge';

export interface Options {
  /** `ws://HOST:PORT` or `wss://`; `http` and `https` are read as these. */
  url: string;
  /** Who this terminal is, the same for its whole life. */
  terminalId: string;
  type: TerminalType;
  userId?: string;
  token?: string | null;
  /** Which of the stores that the node keeps as head office, by its `[node] site`. Default: the node's own. */
  realm?: string;
  /** Where queue, screen and conflicts are kept. Default: the browser's database, else memory. One for each terminal
   * of each realm. */
  store?: Store;
  /** Where there is no global one (Node 20): that of npm's `ws`. */
  WebSocket?: any;
  timing?: Partial<Timing>;
  /** The fields that are counters, by entity type, as the node is configured. Default: `{products: ['stock']}`. */
  counters?: { [entityType: string]: string[] };
  /** How several tabs find each other, or null: not at all. Default: what the browser has. */
  tabs?: { locks?: any; BroadcastChannel: any; lease?: { beat?: number; silence?: number; answer?: number } } | null;
  /** For tests that let an hour pass at once: `MovableClock` of `comanda-client/testing`. Default: the machine's time. */
  clock?: Clock;
}

/** Milliseconds. */
export interface Clock {
  /** Since 1970; somebody may set it. */
  now(): number;
  /** Since whenever; only grows. */
  elapsed(): number;
  /** Calls `act` once, after so long. */
  after(ms: number, act: () => void): unknown;
  /** Takes back what `after` gave. */
  cancel(timer: any): void;
}

/** Milliseconds. */
export interface Timing {
  /** From one ping to the next: 30,000. */
  ping: number;
  /** How long silence is borne before a ping, and again before the connection is given up: 10,000. */
  deadline: number;
  /** A wait is a random part of this, doubled after each failure: 1,000. */
  backoff: number;
  /** The longest wait: 30,000. */
  backoffMax: number;
}

/** One entity as it is shown: the node's rows, and own writes that are not answered laid over them. It is frozen. */
export interface Entity {
  readonly type: string;
  readonly id: string;
  /** Without `version` and `deleted_at`, which are no fields. The same object until something changes. */
  readonly data: Readonly<{ [name: string]: any }>;
  /** Up to which version the node's rows were seen. */
  readonly version: number;
  /** Whether an own write of it is not answered yet. */
  readonly pending: boolean;
}

/** saved: stored here. sent: given to the node. The others are the node's answer; `conflict`: a person must decide. */
export type State = 'saved' | 'sent' | 'confirmed' | 'conflict' | 'refused';

/** An operation or a resolution. */
export interface Operation {
  readonly id: string;
  /** What was given as `label`, or null. */
  readonly label: Json;
  readonly state: State;
  /** As it is sent. */
  readonly message: Message;
  /** The node's sync_confirmation or sync_error, or null. */
  readonly answer: Message | null;
  /** Of a refusal, such as 4009; else null. */
  readonly code: number | null;
}

/** `answered` resolves with the first of confirmed, conflict and refused; never, if none comes before `close`. */
export type Kept = Operation & { readonly answered: Promise<Operation> };

export interface WriteOptions {
  /** The operation's id. Default: a random one. */
  id?: string;
  /** Anything, kept with the operation and given back with it. */
  label?: Json;
  /** Who acted. Default: the `userId` of `connect`. */
  userId?: string;
  /** What the person had seen, plus one. Default: what is shown, plus one. */
  version?: number;
  /** The lock that this write relies on. */
  lock?: Lock | string;
  requiresLock?: boolean;
  priority?: 'critical' | 'high' | 'medium' | 'low';
  /** `TERMINAL/OPERATION`, whose value comes back with this write. No version is sent; `readUpto` says what was seen. */
  restores?: string;
  /** With `restores`: the row up to which the person had read, the `seq` of `GET /api/v1/explain`. */
  readUpto?: number;
}

export interface Lock {
  readonly lockId: string;
  readonly entityType: string;
  readonly entityId: string;
  /** For people, by the node's clock. */
  readonly expiresAt: string;
  readonly token: Json;
  readonly scope: 'store' | 'local' | 'overlapping' | null;
}

/** A lock was not given: another has it (`lockedBy`), it was refused (`code`), or there is no connection. */
export class LockError extends Error {
  readonly code: number | null;
  readonly lockedBy: string | null;
  readonly lockedUntil: string | null;
}

export interface Contact {
  readonly state: 'connecting' | 'connected' | 'disconnected' | 'error';
  /** `connected`. */
  readonly up: boolean;
  /** The close code: 4004, another device has this id; with `error`: 4001, 4002 or 4003, and it is not dialled again. */
  readonly code: number | null;
  readonly reason: string;
  /** Once connected: by how much the own clock is ahead of the node's. Warn the person from a minute on. */
  readonly clockSkewMs: number | null;
  /** Disconnected: after how many milliseconds it is dialled again. */
  readonly retryInMs: number | null;
}

export interface Events {
  /** Something else is shown. `entity` is null when it is gone. Also for each entity that the store held at the start. */
  entity: { type: string; id: string; entity: Entity | null };
  /** The state of an operation changed. */
  operation: Operation;
  /** `settled`: decided by rule, for information. `closed`: take it off the list; `message` says how it ended, if known. */
  conflict: { state: 'open' | 'settled' | 'closed'; conflict: Message['conflict']; message: Message | null };
  contact: Contact;
  /** `broken`: another terminal (`lockedBy`) took it. */
  lock: { state: 'held' | 'expired' | 'broken' | 'released'; lock: Lock; lockedBy: string | null };
  /** Every message of the node, before it is applied; also those of monitors. */
  message: Message;
  /** A refusal of the connection itself, or a store that fails. Show it. */
  error: { text: string; message: Message | null };
}

export class Terminal {
  /** Resolves when the store is read; rejects when it cannot be, or is another terminal's. */
  readonly ready: Promise<void>;
  readonly terminalId: string;
  readonly contact: Contact;
  /** The open ones, by id. */
  readonly conflicts: ReadonlyMap<string, any>;

  /**
   * Calls the listener at each event; the answer takes it off again. A promise that a listener gives is waited for before
   * the node is told that its rows are applied.
   */
  on<Name extends keyof Events>(event: Name, listener: (about: Events[Name]) => unknown): () => void;

  /** What is shown of a type, by entity id. It changes with the screen: copy it to keep it. */
  entities(type: string): ReadonlyMap<string, Entity>;
  entity(type: string, id: string): Entity | null;
  /** What is not answered, in order, and what was refused or came into a conflict, until it is dismissed. */
  operations(): Operation[];
  /** What is not answered, in order. */
  readonly unanswered: Kept[];

  /**
   * Writes the fields that changed. It is stored, then shown, then sent; the promise resolves once it is stored and
   * shown, connected or not. `entityId` is null and `data` is `{updates: [{entity_id, data}]}` in BULK_UPDATE.
   */
  write(entityType: string, entityId: string | null, operation: OperationKind, data?: Fields, options?: WriteOptions):
    Promise<Kept>;
  create(entityType: string, entityId: string, data: Fields, options?: WriteOptions): Promise<Kept>;
  update(entityType: string, entityId: string, data: Fields, options?: WriteOptions): Promise<Kept>;
  /** Many entities, all of them or none. updates: fields by entity id. */
  updateAll(entityType: string, updates: { [entityId: string]: Fields }, options?: WriteOptions): Promise<Kept>;
  delete(entityType: string, entityId: string, options?: WriteOptions): Promise<Kept>;

  /** A person decided. Kept and sent like an operation. `data` is what `merge` needs. */
  resolve(conflictId: string, resolution: Resolution, data?: Fields, reason?: string, options?: { id?: string; label?: Json }):
    Promise<Kept>;

  /** A `data_sync` or `conflict_resolution` as the program made it: kept, shown and sent like `write` and `resolve`. */
  send(message: Message, options?: { label?: Json }): Promise<Kept>;

  /** Sends a refused operation once more, under its id, and shows it again. False: it is not a refused one. */
  retry(operationId: string): Promise<boolean>;
  /** Forgets an operation that was refused or came into a conflict. */
  dismiss(operationId: string): Promise<boolean>;

  /** Rejects with LockError. Asked again with the `lockId` of a lock that is held, it lasts longer. */
  lock(entityType: string, entityId: string, options?: { timeout?: number; lockId?: string; breaks?: string }):
    Promise<Lock>;
  /** False: it was not held any more, or the answer was lost. */
  unlock(lock: Lock | string): Promise<boolean>;

  /** Dials anew; after 4003 with another token. full: forgets what is shown, and asks for all. */
  reconnect(options?: { full?: boolean; token?: string | null }): Promise<void>;
  /** Stores what is not stored, and ends. What is not answered stays in the store. */
  close(): Promise<void>;
}

/** A terminal that dials the node at once, and for ever. */
export function connect(options: Options): Terminal;

/** Where a terminal keeps what it must not lose. Each promise resolves when it is durable. */
export interface Store {
  /** Names what several tabs share. Missing: nobody else uses this store. */
  readonly shared?: string;
  load(): Promise<[key: string, value: any][]>;
  /**
   * All of it or nothing. undefined takes a key away. term: of a shared store without Web Locks, the lease that it is
   * written under; rejects with LeaseLost when that is not the last.
   */
  commit(changes: [key: string, value: any][], term?: number): Promise<void>;
  /** Of a shared store: takes the next term if none is held, or `after` is; in one transaction over all tabs. */
  takeLease?(after: number | null): Promise<{ term: number; mine: boolean }>;
  /** Gives a term back, if it is the last. */
  endLease?(term: number): Promise<void>;
  /** Adds to the queue. Keys begin with `queue/`, and each is greater than those before. Calls take effect in order. */
  append(value: any): Promise<string>;
  close(): Promise<void>;
}

/** Keeps nothing beyond the page or process: connects with `sync=full`. */
export class MemoryStore implements Store {
  load(): Promise<[string, any][]>;
  commit(changes: [string, any][]): Promise<void>;
  append(value: any): Promise<string>;
  close(): Promise<void>;
}

/** A browser's database, shared by the tabs of one origin. */
export class IndexedDBStore implements Store {
  constructor(name: string);
  readonly shared: string;
  load(): Promise<[string, any][]>;
  commit(changes: [string, any][], term?: number): Promise<void>;
  takeLease(after: number | null): Promise<{ term: number; mine: boolean }>;
  endLease(term: number): Promise<void>;
  append(value: any): Promise<string>;
  close(): Promise<void>;
}
