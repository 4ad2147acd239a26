// What the links report and the monitors' status say, as one picture: nodes and terminals, each with one state.

const WORST = ["need", "queue", "saved", "syncing", "synced"];
export const worstFirst = (a, b) => WORST.indexOf(a.state) - WORST.indexOf(b.state) || (a.id < b.id ? -1 : 1);

const date = (text) => (text ? new Date(text) : null);
const host = (url) => { try { return new URL(url).host; } catch { return url; } };

// report: GET /api/v1/links. A node: {id, state, waiting, up, since, skewMs, delayMs, quarantine, error}
//   waiting   rows that have not got across, either way; null where the node was never met
//   since     up: when the link came up; else when it was last there, null where that is not known
export function nodesOf(report) {
  const parked = report.quarantine?.by_node ?? {};
  const links = report.links.map((link) => {
    const id = link.peer ?? host(link.url), up = link.state === "up", waiting = link.lag === null ? null : (link.lag ?? 0) + (link.behind ?? 0);
    return { id, up, waiting, since: date(link.since), skewMs: up ? link.offset_ms : null, delayMs: up ? link.rtt_ms : null, error: up ? null : link.last_error, quarantine: parked[id] ?? 0 };
  });
  const away = report.away.map((link) => ({ id: link.peer, up: false, waiting: link.lag, since: date(link.last_seen), skewMs: null, delayMs: null, error: link.last_error, quarantine: parked[link.peer] ?? 0 }));
  return [...links, ...away].map((node) => ({ ...node, state: node.quarantine ? "need" : !node.up ? "queue" : node.waiting ? "syncing" : "synced" })).sort(worstFirst);
}

// A tab without a name of its own that was closed comes never again.
const closedTab = ({ id, type, online }) => type === "monitor" && !online && /^painel-[0-9a-f]{6}$/.test(id);

// terminals: Map(id -> as in terminal_status_update). conflicts: the open ones. A terminal:
//   {id, type, user, node, online, seen, since, waiting, skewMs, state, conflict}
export function terminalsOf(terminals, { report, metrics, conflicts, self }) {
  const needs = new Map();
  for (const conflict of conflicts ?? []) for (const candidate of conflict.candidates) needs.set(candidate.terminal_id, needs.get(candidate.terminal_id) ?? conflict);
  return [...terminals].map(([id, told]) => {
    const online = told.status === "online", seen = date(told.last_ping), conflict = needs.get(id) ?? null;
    const waiting = told.waiting ?? (online ? metrics.get(id)?.queue_size : null) ?? 0, offset = report?.clocks?.[id];
    return {
      id, online, conflict, waiting, seen, type: told.type, user: told.user_id ?? null, node: told.node ?? report?.node_id ?? null, here: !told.node, self: id === self, since: date(told.connected_at),
      skewMs: told.clock_skew_ms ?? (offset === undefined ? (online && !told.node ? 0 : null) : -offset), state: conflict ? "need" : !online ? "queue" : waiting ? "syncing" : "synced",
    };
  }).filter((x) => !closedTab(x)).sort(worstFirst);
}
