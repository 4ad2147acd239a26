// Bringing a value back that did not stay, as `comanda explain --restore` does: a new operation in the person's own name.
import { same } from "./changes.js";
import { get } from "./http.js";
import { resolve, write } from "./store.js";
import { t } from "./words.js";

const wrote = (write, operation) => write.operation_id === operation.operation_id && write.terminal_id === operation.terminal_id;

// operation: {terminal_id, operation_id} that wrote the value, as the explanation of the field names it. Rejects as `write` does.
// A deleted record comes back with whatever is brought back; its first field may be the time of its deletion.
// path: of the register, where the operation wrote several of the field. data(now): what to write instead, of what the field
// shows now. seen: what it showed as the person was asked; where that is another value now, nothing is written, and it
// rejects with {code: "changed", said}, said: the explanation.
export async function bringBack(entityType, entityId, field, operation, { path, data, ...asked } = {}) {
  const said = await get(`/api/v1/explain/${encodeURIComponent(entityType)}`, { entity_id: entityId, field, limit: 1000 });
  if ("seen" in asked && !same(said.value, asked.seen)) throw { code: "changed", said };
  const over = said.deleted ? (said.deletion?.over ?? []).map((one) => ({ ...one, state: "overruled", path: ["deleted_at"] })) : [];
  const refused = said.refused.map((one) => ({ ...one, state: "refused" }));
  const lost = data ? { ...operation, state: "superseded", path: [field], data: data(said.value) } : [...said.candidates, ...said.superseded, ...refused, ...over].find((one) => wrote(one, operation) && !one.absent && (!path || same(one.path, path)));
  if (!lost) throw { code: null, message: t("restore.gone") };
  const revives = Boolean(said.deleted) && (Boolean(data) || field !== "deleted_at" || lost.state === "overruled");
  const conflict = said.conflicts.find((one) => (revives ? one.path.join() === "deleted_at" : one.state === "open" && (one.freezes || (["shown", "candidate"].includes(lost.state) && one.path.join("/") === lost.path.join("/")))));
  if (conflict) return resolve(conflict.id, decision(conflict, lost, field, revives), lost.data);
  const kind = revives ? "CREATE" : field === "deleted_at" ? "DELETE" : "UPDATE", whole = revives ? { ...said.deletion.entity, ...lost.data } : lost.data;
  return write(entityType, entityId, kind, whole, { restores: `${lost.terminal_id}/${lost.operation_id}`, readUpto: said.seq });
}

// A candidate of an open conflict, whatever is frozen by one, and what a deletion prevailed over come back by a decision.
function decision(conflict, lost, field, revives) {
  if (revives) return "accept_remote";
  return wrote(conflict.local, lost) ? "accept_local" : wrote(conflict.remote, lost) || field === "deleted_at" ? "accept_remote" : "merge";
}
