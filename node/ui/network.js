// What the links report and the monitors' status say, as one picture: nodes and terminals, each with one state.

import { member } from "./base.js";

const WORST = ["need", "queue", "saved", "syncing", "synced"];
export const worstFirst = (a, b) => WORST.indexOf(a.state) - WORST.indexOf(b.state) || (a.id < b.id ? -1 : 1);

const date = (text) => (text ? new Date(text) : null);
const host = (url) => { try { return new URL(url).host; } catch { return url; } };

// report: GET /api/v1/links. A node: {id, state, waiting, up, since, skewMs, delayMs, quarantine, keptOut, error}
//   waiting   rows that have not got across, either way; null where the node was never met
//   keptOut   {count, why} of what was written here and it cannot apply, or null
//   since     up: when the link came up; else when it was last there, null where that is not known
export function nodesOf(report) {
  const parked = report.quarantine?.by_node ?? {};
  const links = report.links.map((link) => {
    const id = link.peer ?? host(link.url), up = link.state === "up", waiting = link.lag === null ? null : (link.lag ?? 0) + (link.behind ?? 0);
    return { id, up, waiting, since: date(link.since), skewMs: up ? link.offset_ms : null, delayMs: up ? link.rtt_ms : null, error: up ? null : link.last_error, quarantine: member(parked, id) ?? 0, keptOut: up ? (link.kept_out ?? null) : null };
  });
  const away = report.away.map((link) => ({ id: link.peer, up: false, waiting: link.lag, since: date(link.last_seen), skewMs: null, delayMs: null, error: link.last_error, quarantine: member(parked, link.peer) ?? 0, keptOut: null }));
  return [...links, ...away].map((node) => ({ ...node, state: node.quarantine || node.keptOut ? "need" : !node.up ? "queue" : node.waiting ? "syncing" : "synced" })).sort(worstFirst);
}

// A tab without a name of its own that was closed comes never again.
const closedTab = ({ id, type, online }) => type === "monitor" && !online && /^painel-[0-9a-f]{6}$/.test(id);

// live: Map(id -> as in terminal_status_update). told: the list of GET /api/v1/terminals, which says more and comes more
// seldom. conflicts: the open ones, the most urgent first: of each terminal the first counts. node: this one. self: this terminal. A terminal:
//   {id, type, user, node, here, online, seen, waiting, skewMs, state, conflict}
export function terminalsOf(live, told, { conflicts, node, self }) {
  const needs = new Map(), more = new Map((told ?? []).map((one) => [one.terminal_id, one]));
  for (const conflict of conflicts) for (const candidate of conflict.candidates) if (!needs.has(candidate.terminal_id)) needs.set(candidate.terminal_id, conflict);
  return [...new Set([...live.keys(), ...more.keys()])].map((id) => {
    const now = live.get(id), known = more.get(id), { type, status } = now ?? known, online = status === "online", conflict = needs.get(id) ?? null;
    const at = now?.node ?? known?.node ?? node, waiting = known?.waiting ?? 0;
    return {
      id, type, online, conflict, waiting, node: at, here: at === node, self: id === self, user: known?.user_id ?? null, seen: date(now?.last_ping ?? known?.last_seen), skewMs: known?.clock_skew_ms ?? null,
      state: conflict ? "need" : !online ? "queue" : waiting ? "syncing" : "synced",
    };
  }).filter((x) => !closedTab(x)).sort(worstFirst);
}
