// Bringing a value back that did not stay, as `comanda explain --restore` does: a new operation in the person's own name.
import { same } from "./changes.js";
import { get } from "./http.js";
import { session } from "./session.js";
import { send } from "./store.js";
import { t } from "./words.js";

const wrote = (write, operation) => write.operation_id === operation.operation_id && write.terminal_id === operation.terminal_id;

// operation: {terminal_id, operation_id} that wrote the value, as the explanation of the field names it. Rejects as `send`.
// path: of the register, where the operation wrote several of the field. data(now): what to write instead, of what the field
// shows now. seen: what it showed as the person was asked; where that is another value now, nothing is written, and it
// rejects with {code: "changed", said}, said: the explanation.
export async function bringBack(entityType, entityId, field, operation, { path, data, ...asked } = {}) {
  const said = await get(`/api/v1/explain/${encodeURIComponent(entityType)}`, { entity_id: entityId, field, limit: 1000 });
  if ("seen" in asked && !same(said.value, asked.seen)) throw { code: "changed", said };
  const over = said.deleted ? (said.deletion?.over ?? []).map((write) => ({ ...write, state: "overruled", path: ["deleted_at"] })) : [];
  const refused = said.refused.map((write) => ({ ...write, state: "refused" }));
  const write = data ? { ...operation, state: "superseded", path: [field], data: data(said.value) } : [...said.candidates, ...said.superseded, ...refused, ...over].find((one) => wrote(one, operation) && !one.absent && (!path || same(one.path, path)));
  if (!write) throw { code: null, message: t("restore.gone") };
  const revives = Boolean(said.deleted) && (field !== "deleted_at" || write.state === "overruled");
  const conflict = said.conflicts.find((one) => (revives ? one.path.join() === "deleted_at" : one.state === "open" && (one.freezes || (["shown", "candidate"].includes(write.state) && one.path.join("/") === write.path.join("/")))));
  if (conflict) return send(decided(conflict, write, field, revives));
  const kind = revives ? "CREATE" : field === "deleted_at" ? "DELETE" : "UPDATE";
  return send({
    type: "data_sync",
    operation: {
      entity_type: entityType, entity_id: entityId, operation: kind,
      data: revives ? { ...said.deletion.entity, ...write.data } : write.data, timestamp: new Date().toISOString(), terminal_id: session.name,
      restores: `${write.terminal_id}/${write.operation_id}`, read_upto: said.seq,
    },
  });
}

// A candidate of an open conflict, whatever is frozen by one, and what a deletion prevailed over come back by a decision.
function decided(conflict, write, field, revives) {
  const side = wrote(conflict.local, write) ? "accept_local" : wrote(conflict.remote, write) || revives || field === "deleted_at" ? "accept_remote" : "merge";
  return { type: "conflict_resolution", conflict_id: conflict.id, resolution: revives ? "accept_remote" : side, resolved_data: write.data };
}
