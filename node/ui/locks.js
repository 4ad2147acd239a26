// Who is editing what. Locks are no rows of the log, so they are asked for, while somebody looks.
import { useMemo } from "./base.js";
import { useGet } from "./http.js";
import { useStore } from "./store.js";

const EVERY_MS = 5000;

// Map("type/id" -> {terminal, user, until, scope}). until: a Date. Where there is one node, a lock of it counts everywhere.
export function useLocks() {
  const { data } = useGet("/api/v1/locks", {}, { every: EVERY_MS }), alone = useStore((s) => s.links && !s.links.links.length && !s.links.away.length);
  return useMemo(() => new Map((data?.locks ?? []).map((lock) => [`${lock.entity_type}/${lock.entity_id}`, { terminal: lock.locked_by, user: lock.user_id, until: new Date(lock.expires_at), scope: alone ? "store" : lock.scope }])), [data, alone]);
}
