// A node in this process that does what the protocol document says, and loses connections on command.

export function dice(seed) {
  let state = seed * 2654435761 >>> 0 || 1;
  const next = () => {
    state ^= state << 13; state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5; state >>>= 0;
    return state / 2 ** 32;
  };
  for (let i = 0; i < 8; i += 1) next();
  return { next, below: (n) => Math.floor(next() * n), chance: (p) => next() < p, of: (list) => list[Math.floor(next() * list.length)] };
}

/** From then on waiting is a number of turns of the event loop, and chance is the seed's: so an evening can be played again. */
export function turns(random) {
  Math.random = () => random.next();
  globalThis.clearTimeout = (timer) => { if (timer) timer.over = true; };
  globalThis.setTimeout = (act, ms) => {
    const timer = { over: ms > 5_000, left: ms };
    const turn = () => {
      if (timer.over) return;
      if (timer.left-- > 0) setImmediate(turn);
      else act();
    };
    setImmediate(turn);
    return timer;
  };
}

/** Resolves once `holds` does, looked at whenever something may have happened. */
export async function until(holds, what = String(holds)) {
  for (let turn = 0; turn < 20_000; turn += 1) {
    if (holds()) return;
    await new Promise(setImmediate);
  }
  throw new Error(`never: ${what}`);
}

export class Node {
  log = []; // {seq, author, operation as it is shown}
  entities = new Map(); // type/id -> {type, id, data or null, version}
  terminals = new Map(); // id -> {confirmed: Set of seq, upTo, known}
  accepted = new Map(); // terminal/operation id -> content
  sockets = new Set();
  received = []; // all messages, with `from`
  mischief = { swallow: () => false, refuse: () => null, lose: () => false };

  constructor(random) {
    this.random = random;
    const node = this;
    /** What a terminal is given as its WebSocket. */
    this.WebSocket = class extends Socket {
      constructor(url) { super(node, url); }
    };
  }

  shown(type) {
    const living = [...this.entities.values()].filter((each) => each.type === type && each.data);
    return Object.fromEntries(living.map(({ id, data }) => [id, data]));
  }

  cut() {
    for (const socket of [...this.sockets]) socket.end(1006);
  }

  opened(socket) {
    this.sockets.add(socket);
    socket.sends({ type: 'connection_established', terminal_id: socket.terminal, server_time: new Date().toISOString() });
    let about = this.terminals.get(socket.terminal);
    if (!about || socket.full) {
      about = { confirmed: new Set(), upTo: this.log.length };
      this.terminals.set(socket.terminal, about);
      for (const { type, id, data, version } of this.entities.values()) this.#state(socket, type, id, data, version);
    } else {
      for (const row of this.log.slice(about.upTo)) this.#row(socket, row);
    }
  }

  heard(socket, message) {
    this.received.push({ ...message, from: socket.terminal });
    if (this.mischief.swallow(message)) return;
    if (message.type === 'ping') socket.answers({ type: 'pong' });
    if (message.type === 'sync_confirmation') this.#confirmed(socket, message.operation_id);
    if (message.type === 'data_sync') this.#operation(socket, message.operation);
  }

  #operation(socket, operation) {
    const name = `${socket.terminal}/${operation.id}`;
    const content = JSON.stringify([operation.entity_type, operation.entity_id, operation.operation, operation.data]);
    const answer = { type: 'sync_confirmation', operation_id: operation.id, terminal_id: socket.terminal };
    if (this.accepted.has(name)) {
      if (this.accepted.get(name) !== content) throw new Error(`${name} came with other content`);
      return socket.answers({ ...answer, status: 'duplicate' });
    }
    const refusal = this.mischief.refuse(operation);
    if (refusal) {
      socket.answers({ type: 'sync_error', operation_id: operation.id, error: 'no', ...refusal });
      if (refusal.kept) {
        const { type, id, data, version } = this.#entity(operation);
        this.#state(socket, type, id, data, version, 'current');
      }
      return undefined;
    }
    this.accepted.set(name, content);
    const entity = this.#entity(operation);
    const { upTo, confirmed } = this.terminals.get(socket.terminal);
    const ofIt = (each) => each.entity_type === entity.type && each.entity_id === entity.id;
    const unseen = socket.underWay.some((row) => ofIt(row.operation)) || this.log.some(({ seq, author, operation: each }) => (
      seq >= upTo && !confirmed.has(seq) && author !== socket.terminal && ofIt(each)));
    const stale = operation.version <= entity.version && this.log.some(({ author, operation: each }) => (
      author !== socket.terminal && each.entity_id === entity.id && each.version >= operation.version));
    const lost = this.mischief.lose(operation);
    const existed = entity.data !== null;
    const { version: _, deleted_at: __, ...data } = operation.data ?? {};
    entity.version += 1;
    let { operation: kind } = operation;
    if (lost) kind = existed ? 'CREATE' : 'DELETE';
    else if (kind === 'DELETE') entity.data = null;
    else entity.data = { ...entity.data, ...data };
    if (kind === 'UPDATE' && !existed) kind = 'CREATE';
    const shown = kind === 'DELETE' ? {} : kind === 'CREATE' ? entity.data
      : Object.fromEntries(Object.keys(data).filter((each) => each in entity.data).map((each) => [each, entity.data[each]]));
    const row = { seq: this.log.length, author: socket.terminal, operation: {
      ...operation, operation: kind, terminal_id: socket.terminal, version: entity.version,
      data: { ...shown, version: entity.version } } };
    this.log.push(row);
    const apart = lost ? 'lost' : unseen || stale ? 'merged' : null;
    const differs = apart || (operation.operation === 'CREATE' && existed);
    for (const other of this.sockets) if (other.open && (other !== socket || differs)) this.#row(other, row);
    return socket.answers({ ...answer, status: apart ?? 'applied', version: entity.version });
  }

  #entity({ entity_type: type, entity_id: id }) {
    const key = `${type}/${id}`;
    if (!this.entities.has(key)) this.entities.set(key, { type, id, data: null, version: 0 });
    return this.entities.get(key);
  }

  #row(socket, row) {
    socket.underWay.push(row);
    socket.sends({ type: 'data_sync', operation: row.operation });
  }

  #state(socket, type, id, data, version, name = 'state') {
    this.#row(socket, { seq: null, operation: { id: `${name}-${version}-${id}`, entity_type: type, entity_id: id,
      operation: data ? 'CREATE' : 'DELETE', data: { ...data, version }, version, terminal_id: 'node' } });
  }

  #confirmed(socket, operationId) {
    const place = socket.underWay.findIndex(({ operation }) => operation.id === operationId);
    if (place < 0) return;
    const [{ seq }] = socket.underWay.splice(place, 1);
    if (seq === null) return;
    const about = this.terminals.get(socket.terminal);
    about.confirmed.add(seq);
    const own = () => this.log[about.upTo]?.author === socket.terminal
      && !socket.underWay.some((row) => row.seq === about.upTo);
    while (about.confirmed.delete(about.upTo) || own()) about.upTo += 1;
  }
}

/** A WebSocket whose messages arrive in turns of the event loop: answers and rows each in order, but not together. */
class Socket {
  readyState = 0;
  underWay = [];
  #outbox = { rows: [], answers: [] };
  #inbox = [];

  constructor(node, url) {
    const { pathname, searchParams } = new URL(url);
    this.node = node;
    this.url = url;
    this.terminal = decodeURIComponent(pathname.split('/').at(-1));
    this.full = searchParams.get('sync') === 'full';
    setImmediate(() => this.#turn());
  }

  get open() {
    return this.readyState === 1;
  }

  send(text) {
    if (this.open) this.#inbox.push(JSON.parse(text));
  }

  sends(message) { this.#outbox.rows.push(message); }

  answers(message) { this.#outbox.answers.push(message); }

  close() { this.end(1000, false); }

  /** What was under way either way is lost, or, of what the terminal sent, has arrived. */
  end(code, told = true) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.node.sockets.delete(this);
    if (told) setImmediate(() => this.onclose?.({ code, reason: '' }));
  }

  #turn() {
    if (this.readyState === 3) return;
    if (this.readyState === 0) {
      this.readyState = 1;
      this.node.opened(this);
    }
    const { random } = this.node;
    for (let n = random.below(4); n > 0 && this.#inbox.length && this.open; n -= 1) this.node.heard(this, this.#inbox.shift());
    for (let n = random.below(4); n > 0 && this.open; n -= 1) {
      const { rows, answers } = this.#outbox;
      const first = rows[0]?.type === 'connection_established' || (rows.length && random.chance(0.5)) ? rows : answers;
      const message = (first.length ? first : rows).shift();
      if (message) this.onmessage?.({ data: JSON.stringify(message) });
    }
    setImmediate(() => this.#turn());
  }
}
