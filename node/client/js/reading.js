// What a node's text is before the client acts on it. A node may be broken, or somebody else's program: whatever it sends
// ends no terminal, and a message is carried out whole or not at all.

const DEEPEST = 200; // arrays and objects in one another; a node takes 64 unless it is configured otherwise

const isText = (value) => typeof value === 'string';
const isNone = (value) => value === undefined || value === null;
const isPlain = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isVersion = (value) => isNone(value) || Number.isSafeInteger(value);
const perhaps = (fits) => (value) => isNone(value) || fits(value);
const fieldsFit = (value) => isPlain(value) && isVersion(value.version);

function operationFits(operation) {
  if (!isPlain(operation) || ![operation.id, operation.entity_type, operation.operation].every(isText)) return false;
  const { operation: kind, entity_id: id, data, version } = operation;
  if (kind !== 'BULK_UPDATE') return isText(id) && isVersion(version) && perhaps(fieldsFit)(data);
  return isVersion(version) && Array.isArray(data?.updates) && data.updates.every((item) => isPlain(item) && isText(item.entity_id) && fieldsFit(item.data));
}

const conflictFits = (conflict) => isPlain(conflict) && isText(conflict.id) && perhaps(isText)(conflict.state)
  && perhaps((sides) => Array.isArray(sides) && sides.every(isPlain))(conflict.candidates);

const lock = { lock_id: perhaps(isText) };

// By type, what must be so of which members. Other members are taken as they are, and only handed on.
const SHAPES = new Map(Object.entries({
  connection_established: { recovered: isVersion },
  data_sync: { operation: operationFits },
  sync_confirmation: { operation_id: isText, status: perhaps(isText), version: isVersion,
    versions: perhaps((versions) => isPlain(versions) && Object.values(versions).every(isVersion)) },
  sync_error: { operation_id: perhaps(isText), ...lock },
  sync_conflict: { conflict: conflictFits },
  conflict_resolution: { conflict_id: isText },
  lock_acquired: lock,
  lock_failed: lock,
  lock_released: lock,
}));

/** A node's message; null where the text is none. */
export function messageOf(text) {
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    return null; // no message of this protocol
  }
  return isPlain(message) && isText(message.type) && !isTooDeep(message) ? message : null;
}

/** Whether a message has what the client reads of one of its type. One of another type has. */
export function isWellFormed(message) {
  return Object.entries(SHAPES.get(message.type) ?? {}).every(([name, fits]) => fits(Object.hasOwn(message, name) ? message[name] : undefined));
}

function isTooDeep(value) {
  let level = [value];
  for (let depth = 0; depth < DEEPEST && level.length; depth += 1) {
    const next = [];
    for (const each of level) for (const inner of Object.values(each)) if (typeof inner === 'object' && inner !== null) next.push(inner);
    level = next;
  }
  return level.length > 0;
}
