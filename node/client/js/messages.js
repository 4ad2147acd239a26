// What a terminal says.

/**
 * author: {terminalId, userId}. seen: up to which version the rows of an entity were seen, by its id. options: those of
 * `write`; what `restores` says what it has seen by `readUpto`, and by no version.
 */
export function written({ entityType, entityId, operation: kind, data, timestamp }, author, seen, options) {
  const { id, version, lock, priority, restores, readUpto, requiresLock = Boolean(lock) } = options;
  const told = restores !== undefined;
  const next = (each, item) => item.version ?? version ?? (told ? undefined : seen(each) + 1);
  const operation = { id, entity_type: entityType, operation: kind };
  if (kind === 'BULK_UPDATE') {
    operation.data = { updates: data.updates.map((item) => (
      { ...item, data: { ...item.data, version: next(item.entity_id, item.data) } })) };
  } else {
    operation.entity_id = entityId;
    operation.version = next(entityId, data);
    operation.data = { ...data, version: operation.version };
  }
  Object.assign(operation, { timestamp, terminal_id: author.terminalId });
  if (author.userId) operation.user_id = author.userId;
  if (requiresLock) operation.requires_lock = true;
  if (priority) operation.priority = priority;
  if (lock) operation.lock_id = lock.lockId ?? lock;
  if (told) Object.assign(operation, { restores, read_upto: readUpto });
  return { type: 'data_sync', operation };
}

export function resolved({ conflictId, resolution, data, reason }, terminalId, id) {
  const message = { type: 'conflict_resolution', conflict_id: conflictId, resolution };
  if (data) message.resolved_data = data;
  if (reason) message.reason = reason;
  return { ...message, terminal_id: terminalId, id };
}

export function taken(operationId, terminalId, timestamp) {
  return { type: 'sync_confirmation', operation_id: operationId, terminal_id: terminalId, timestamp };
}

export function acquiring(lockId, { entityType, entityId, timeout, breaks }, terminalId) {
  const named = { entity_type: entityType, entity_id: entityId, terminal_id: terminalId };
  return { type: 'acquire_lock', ...named, timeout, lock_id: lockId, ...(breaks && { breaks }) };
}

export function releasing(lockId, terminalId) {
  return { type: 'release_lock', lock_id: lockId, terminal_id: terminalId };
}

/** JSON.stringify would make null of these, silently. */
export function checked(value, path = 'data') {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError(`${path} is ${value}, which is no JSON`);
  if (['bigint', 'function', 'symbol'].includes(typeof value)) throw new TypeError(`${path} is a ${typeof value}`);
  if (value === null || typeof value !== 'object') return;
  for (const [name, each] of Object.entries(value)) checked(each, `${path}.${name}`);
}
