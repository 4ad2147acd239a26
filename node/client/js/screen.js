// What a terminal shows: the node's rows in the order received, and the terminal's own unanswered writes laid over them.
//
// Of each entity a copy is kept, and a tail of what came after the first own write that is not answered. An own write
// takes its place in the tail when it is made. Once it is answered, the copy is moved past it. So the confirmation
// of an old write never puts its value over a newer row, and a refused write is gone without a trace.
//
// After a reconnect rows come again, in order, as the node does not know how far the terminal was. They are applied again;
// what was shown before is held meanwhile, so that nobody cooks an order twice.

const GONE_KNOWN = 1_000; // deleted entities of which the version is remembered
const ROWS_KNOWN = 8; // rows of an entity of which it is known that they came

const OWN = 'own'; // merged, with the movements of counters added to what is there
const ROW = 'row'; // merged, as it is
const WHOLE = 'whole'; // the entity is this
const GONE = 'gone';
const KINDS = new Map([['CREATE', WHOLE], ['UPDATE', ROW], ['DELETE', GONE], ['BULK_UPDATE', ROW]]);

/** Whether two JSON values are the same. */
export function same(one, other) {
  if (one === other) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const names = Object.keys(one);
  return names.length === Object.keys(other).length
    && names.every((name) => Object.hasOwn(other, name) && same(one[name], other[name]));
}

/** So that a program's mistake is seen where it is made, and not on the screen later. */
function frozen(value) {
  if (value === null || typeof value !== 'object' || Object.isFrozen(value)) return value;
  for (const each of Object.values(value)) frozen(each);
  return Object.freeze(value);
}

function fields({ version, deleted_at, ...rest }) {
  return rest;
}

/** A member of an object that came from outside: what every object inherits is none. */
function memberOf(object, name) {
  return object && Object.hasOwn(object, name) ? object[name] : undefined;
}

/** A counter after `{"$inc": n}` or `{"$set": n}`. */
function moved(old, value) {
  if (typeof value?.$set === 'number') return value.$set;
  if (typeof value?.$inc !== 'number') return value;
  return typeof old === 'number' ? old + value.$inc : old ?? null;
}

/** The copy after an effect. counters: names of fields. */
function after(copy, { kind, data, version }, counters) {
  const now = { data: copy.data, version: version ?? copy.version };
  if (kind === GONE) now.data = null;
  else if (kind === WHOLE) now.data = data;
  else if (kind === ROW) now.data = { ...copy.data, ...data };
  else now.data = { ...copy.data, ...Object.fromEntries(Object.entries(data).map(
    ([name, value]) => [name, counters.includes(name) ? moved(memberOf(copy.data, name), value) : value])) };
  return now;
}

/** One effect that does what two rows do, one after the other. */
function joined(first, second) {
  if (second.kind !== ROW) return second;
  const data = { ...first.data, ...second.data };
  return { kind: first.kind === ROW ? ROW : WHOLE, data, version: second.version ?? first.version };
}

/** What an operation does, by entity id. own: as its author shows it; a CREATE leaves the other fields of an entity. */
function effects({ entity_id, operation, data, version }, own) {
  const kind = own && operation !== 'DELETE' ? OWN : KINDS.get(operation);
  if (!kind) return new Map();
  const items = operation === 'BULK_UPDATE' ? data.updates : [{ entity_id, data: data ?? {} }];
  return new Map(items.map((item) => [
    item.entity_id, { kind, data: fields(item.data), version: own ? undefined : item.data.version ?? version }]));
}

/** Whether an operation's row came before; it is remembered that it did. An entity's state always counts anew. */
function came(copy, { terminal_id, id }) {
  if (/^(state|current)-/.test(id)) return false;
  const name = `${terminal_id}/${id}`;
  if (copy.rows.includes(name)) return true;
  copy.rows.push(name);
  if (copy.rows.length > ROWS_KNOWN) copy.rows.shift();
  return false;
}

export class Screen {
  // key -> {type, id, data: object or null, version, tail: [{own: operation id} or an effect], rows: names of the last ones,
  //         held: {data, version} that is shown until the rows that come again have come that far, or null}
  #copies = new Map();
  #open = new Map(); // operation id -> {operation, landed, effects}: own writes that are not answered, in order
  #writes = new Map(); // key -> ids of #open, in order
  #shown = new Map(); // type -> Map of id -> {type, id, data, version, pending}
  #gone = new Set(); // keys of copies of what was deleted, the oldest first
  #touched = new Set(); // keys of entities whose copy or view may have changed

  #counters;

  /** counters: names of the fields that are counters, by entity type. */
  constructor(counters) {
    this.#counters = counters;
  }

  static key = (type, id) => `entity/${type.length}/${type}/${id}`;

  /** What is shown of a type, by entity id. */
  entities(type) {
    return this.#shown.get(type) ?? new Map();
  }

  entity(type, id) {
    return this.#shown.get(type)?.get(id) ?? null;
  }

  /** The version up to which the rows of an entity were seen. */
  version(type, id) {
    const copy = this.#copies.get(Screen.key(type, id));
    return copy ? (copy.held ?? this.#folded(copy)).version : 0;
  }

  /** What is to be stored of an entity, undefined: nothing. */
  stored(key) {
    return this.#copies.get(key);
  }

  /** Takes what `stored` gave. */
  restore(key, copy) {
    if (!copy) return this.#discard(key);
    this.#copies.set(key, { ...copy, tail: [...copy.tail], rows: [...copy.rows] });
    this.#touched.add(key);
    if (copy.data === null && !copy.tail.length) this.#gone.add(key);
  }

  /** A row of the node. mine: its author is this terminal. */
  row(operation, mine) {
    const landed = mine && this.#open.get(operation.id);
    if (landed) this.#land(operation.id);
    for (const [id, effect] of effects(operation, false)) {
      const copy = this.#copy(operation.entity_type, id);
      const before = copy.held ?? this.#folded(copy);
      const last = copy.tail.at(-1);
      if (last && !last.own && last.kind !== OWN) copy.tail[copy.tail.length - 1] = joined(last, effect);
      else copy.tail.push(effect);
      const behind = came(copy, operation) && this.#folded(copy).version < before.version;
      copy.held = behind ? before : null;
      this.#fold(copy);
    }
    return Boolean(landed);
  }

  /** An own write that is not answered. landed: its row came already. */
  write(operation, landed = false) {
    this.forget(operation.id);
    const open = { operation, landed, effects: effects(operation, true) };
    this.#open.set(operation.id, open);
    for (const id of open.effects.keys()) {
      const key = Screen.key(operation.entity_type, id);
      this.#writes.set(key, [...(this.#writes.get(key) ?? []), operation.id]);
      const copy = this.#copy(operation.entity_type, id);
      if (!landed && !copy.tail.some((item) => item.own === operation.id)) copy.tail.push({ own: operation.id });
    }
  }

  /**
   * An own write was answered. taken: it stands. versions: which it got, by entity id, where that is known: rows that came
   * after it was made may lie before it. seen: nothing unseen lies before it.
   */
  answered(operationId, { taken, versions = {}, seen = false }) {
    const open = this.#open.get(operationId);
    if (!open) return;
    this.#open.delete(operationId);
    for (const [id, effect] of open.effects) {
      const copy = this.#copy(open.operation.entity_type, id);
      this.#close(Screen.key(copy.type, copy.id), operationId);
      const place = copy.tail.findIndex((item) => item.own === operationId);
      const version = memberOf(versions, id);
      const done = { ...effect, version: seen ? version : undefined };
      if (place >= 0) copy.tail.splice(place, 1);
      if (place >= 0 && taken) {
        const before = copy.tail.findLastIndex((item, index) => index >= place && !item.own && item.version < version);
        copy.tail.splice(before < 0 ? place : before + 1, 0, done);
      }
      if (taken) came(copy, open.operation);
      if (taken && copy.held) copy.held = after(copy.held, done, this.#countersOf(copy.type));
      this.#fold(copy);
    }
  }

  /** Forgets an own write, whose place was taken by what `restore` is given. */
  forget(operationId) {
    const open = this.#open.get(operationId);
    if (!open) return;
    this.#open.delete(operationId);
    for (const id of open.effects.keys()) this.#close(Screen.key(open.operation.entity_type, id), operationId);
  }

  /** Forgets all rows. Own writes that are not answered stay. */
  clear() {
    const open = [...this.#open.values()];
    this.empty();
    for (const { operation } of open) this.write(operation);
  }

  empty() {
    for (const key of [...this.#copies.keys(), ...this.#writes.keys()]) this.#touched.add(key);
    for (const each of [this.#copies, this.#open, this.#writes, this.#gone]) each.clear();
  }

  /** The keys that were touched since it was asked last, and the views that changed: [{type, id, entity or null}]. */
  changes() {
    const keys = [...this.#touched];
    this.#touched.clear();
    return { keys, views: keys.map((key) => this.#look(key)).filter(Boolean) };
  }

  #land(operationId) {
    const open = this.#open.get(operationId);
    open.landed = true;
    for (const id of open.effects.keys()) {
      const copy = this.#copy(open.operation.entity_type, id);
      copy.tail = copy.tail.filter((item) => item.own !== operationId);
      this.#fold(copy);
    }
  }

  #close(key, operationId) {
    const left = this.#writes.get(key).filter((each) => each !== operationId);
    if (left.length) this.#writes.set(key, left);
    else this.#writes.delete(key);
    this.#touched.add(key);
  }

  #copy(type, id) {
    const key = Screen.key(type, id);
    let copy = this.#copies.get(key);
    if (!copy) this.#copies.set(key, copy = { type, id, data: null, version: 0, tail: [], rows: [], held: null });
    this.#touched.add(key);
    return copy;
  }

  #countersOf(type) {
    return Object.hasOwn(this.#counters, type) ? this.#counters[type] : [];
  }

  /** Data and version without own writes that are not answered. */
  #folded(copy) {
    const counters = this.#countersOf(copy.type);
    const { data, version } = copy;
    return copy.tail.reduce((state, item) => (item.own ? state : after(state, item, counters)), { data, version });
  }

  #fold(copy) {
    while (copy.tail.length && !copy.tail[0].own) Object.assign(copy, after(copy, copy.tail.shift(), this.#countersOf(copy.type)));
    const key = Screen.key(copy.type, copy.id);
    this.#gone.delete(key);
    if (copy.data !== null || copy.tail.length) return;
    if (!copy.version) return this.#discard(key);
    this.#gone.add(key);
    if (this.#gone.size > GONE_KNOWN) this.#discard(this.#gone.values().next().value);
  }

  #discard(key) {
    this.#gone.delete(key);
    this.#copies.delete(key);
    this.#touched.add(key);
  }

  #look(key) {
    const [, length, ...rest] = key.split('/');
    const name = rest.join('/');
    const [type, id] = [name.slice(0, length), name.slice(Number(length) + 1)];
    const copy = this.#copies.get(key);
    const open = (this.#writes.get(key) ?? []).map((each) => this.#open.get(each));
    const counters = this.#countersOf(type);
    let state = copy ? copy.held ?? this.#folded(copy) : { data: null, version: 0 };
    for (const each of open) if (!each.landed) state = after(state, each.effects.get(id), counters);
    const before = this.entity(type, id);
    const entity = state.data && frozen({ type, id, data: state.data, version: state.version, pending: open.length > 0 });
    if (same(before, entity)) return null;
    if (!this.#shown.has(type)) this.#shown.set(type, new Map());
    if (entity) this.#shown.get(type).set(id, entity);
    else this.#shown.get(type).delete(id);
    return { type, id, entity };
  }
}
