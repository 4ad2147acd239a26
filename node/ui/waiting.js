// Whether everybody has what was written of an entity, in the words of pill().
import { useMemo } from "./base.js";
import { useGet } from "./http.js";
import { useStore } from "./store.js";

const EVERY_MS = 5000;

// report: GET /api/v1/links, or null. nodes: {id of a node: how many operations on the entity it lacks}.
// -> [state, n]; n: how many wait in a queue; null where nothing is known.
function stateOf(report, nodes = {}) {
  if (!report) return null;
  const others = [...report.links, ...report.away];
  if (others.length && others.every((one) => one.confirmed === null)) return ["saved"]; // nobody else was ever met
  const up = new Set(report.links.filter((link) => link.state === "up").map((link) => link.peer));
  const queued = Object.entries(nodes).filter(([id]) => !up.has(id)).map(([, n]) => n);
  return queued.length ? ["queue", Math.max(...queued)] : [Object.keys(nodes).length ? "syncing" : "synced"];
}

// (entity id) -> as stateOf, of a type. Asked for only while something waits. only: the one entity that is looked at.
export function useStates(entityType, only = null) {
  const report = useStore((s) => s.links), some = report && [...report.links, ...report.away].some((one) => one.lag > 0);
  const { data } = useGet(some ? `/api/v1/waiting/${encodeURIComponent(entityType)}` : null, { entity_id: only }, { every: EVERY_MS });
  const lacked = useMemo(() => new Map((data?.entities ?? []).map((one) => [one.entity_id, one.nodes])), [data]);
  return (id) => stateOf(report, lacked.get(id));
}
