// What the node shows at this moment: the one thing that views read from, and write by.
import { useEffect, useRef, useState, say, changes } from "./base.js";
import { Connection } from "./connection.js";
import { clock } from "./formats.js";
import { get } from "./http.js";
import { session } from "./session.js";
import { t } from "./words.js";

const AT_MOST_EVERY_MS = 250; // views are told of changes
const REPORTS_MS = 5000;      // links are asked for again, while the page is seen
const CONFLICTS_MS = 1000;    // conflicts are asked for again, where messages say that they changed

// contact: {up, since, code, tries, next}; see connection.js
// entities: of each type that somebody looks at, Map(id -> {entity_id, version, data, conflicts, lock}); null until it came
// conflicts: those that are open, as GET /api/v1/conflicts has them; null until they came
// closed: Map(conflict id -> the node's conflict_resolution, with `at`), of those that were closed while this page is open
// terminals: Map(id -> as in terminal_status_update); links: GET /api/v1/links; both null until they came
// refused: the HTTP status with which the node refused to tell a thing, by the thing's name here
const state = {
  contact: { up: false, since: new Date(), code: null, tries: 0, next: 0 },
  begun: false, entities: {}, conflicts: null, closed: new Map(), terminals: null, totalOnline: 0, metrics: new Map(),
  links: null, policies: null, node: null, rights: null, refused: {},
  conflictNews: 0, // grows whenever messages say that a conflict came or ended
  single: new Map(), // `type id` -> an entity that is looked at alone; null where there is none
};

const told = changes();
let last = 0, timer = 0;
function tell() {
  if (timer) return;
  timer = setTimeout(() => { timer = 0; last = performance.now(); told.tell(); }, Math.max(0, last + AT_MOST_EVERY_MS - performance.now()));
}
function set(parts) {
  Object.assign(state, parts);
  tell();
}

// ---------------------------------------------------------------------- reading

// What the selector takes of the state. Drawn again only where that is another value than before.
export function useStore(selector) {
  const latest = useRef(selector), [value, keep] = useState(() => selector(state));
  latest.current = selector;
  useEffect(() => {
    const look = () => keep(() => latest.current(state));
    look();
    return told.subscribe(look);
  }, []);
  const now = selector(state);
  return Object.is(now, value) ? value : now;
}

// All entities of a type, live; null until they came.
export function useEntities(entityType) {
  useEffect(() => { if (!(entityType in state.entities)) refresh(entityType); }, [entityType]);
  return useStore((s) => s.entities[entityType] ?? null);
}

// One entity, live; null until it came, or where there is none.
export function useEntity(entityType, entityId) {
  const key = `${entityType} ${entityId}`;
  useEffect(() => { if (entityType) loadOne(entityType, entityId); }, [key]);
  return useStore((s) => (entityType && (s.entities[entityType]?.get(entityId) ?? s.single.get(key))) || null);
}
async function loadOne(entityType, entityId) {
  const key = `${entityType} ${entityId}`;
  if (state.entities[entityType] || state.single.has(key)) return;
  state.single.set(key, null);
  const answer = await get(`/api/v1/entities/${encodeURIComponent(entityType)}`, { entity_id: entityId }).catch(() => null);
  if (answer) set({ single: new Map(state.single).set(key, answer.deleted ? null : answer) });
  else state.single.delete(key);
}

const arriving = {}; // rows of a type that came while it is being read: they are applied after it
export async function refresh(entityType) {
  if (arriving[entityType]) return;
  state.entities[entityType] ??= null;
  const rows = arriving[entityType] = [];
  const answer = await asked(entityType, () => get(`/api/v1/entities/${encodeURIComponent(entityType)}`));
  delete arriving[entityType];
  if (!answer) return;
  const map = new Map(answer.entities.map((one) => [one.entity_id, one]));
  for (const operation of rows) apply(map, operation);
  set({ entities: { ...state.entities, [entityType]: map } });
}

async function asked(what, asking) {
  try {
    const answer = await asking();
    if (what in state.refused) set({ refused: without(state.refused, what) });
    return answer;
  } catch (error) {
    set({ refused: { ...state.refused, [what]: error.status } });
    return null;
  }
}
const without = (object, name) => Object.fromEntries(Object.entries(object).filter(([key]) => key !== name));

// Operations that wait for a link: those that linked nodes still lack, and those that absent ones do.
export const waiting = (links) => (links ? [...links.links, ...links.away].reduce((sum, link) => sum + (link.lag || 0) + (link.behind || 0), 0) : 0);

// ---------------------------------------------------------------------- rows

function row(operation) {
  const type = operation.entity_type;
  arriving[type]?.push(operation);
  for (const one of operation.operation === "BULK_UPDATE" ? operation.data.updates : [operation]) alone(type, one.entity_id, operation);
  const before = state.entities[type];
  if (!before) return;
  if (!fresh.has(type)) {
    fresh.add(type);
    state.entities = { ...state.entities, [type]: new Map(before) };
  }
  apply(state.entities[type], operation);
  tell();
}
function alone(type, id, operation) {
  const key = `${type} ${id}`;
  if (!state.single.has(key)) return;
  const map = new Map([[id, state.single.get(key) ?? undefined]].filter(([, one]) => one));
  apply(map, operation);
  set({ single: new Map(state.single).set(key, map.get(id) ?? null) });
}
const fresh = new Set(); // types whose map is a copy that no view has seen yet
told.subscribe(() => fresh.clear());

// As the protocol has it: CREATE replaces, UPDATE merges, DELETE removes.
function apply(map, { operation, entity_id, data, version, user_id, terminal_id }) {
  if (operation === "BULK_UPDATE") {
    for (const one of data.updates) apply(map, { operation: "UPDATE", entity_id: one.entity_id, data: one.data, user_id, terminal_id });
    return;
  }
  if (operation === "DELETE") { map.delete(entity_id); return; }
  const { version: shown = version, ...fields } = data, had = map.get(entity_id);
  map.set(entity_id, {
    conflicts: [], lock: null, ...had, entity_id, version: shown,
    data: operation === "CREATE" ? fields : { ...had?.data, ...fields },
  });
}

// ---------------------------------------------------------------------- conflicts

let conflictsTimer = 0, conflictsAsked = 0;
function conflictsChanged() {
  set({ conflictNews: state.conflictNews + 1 });
  if (conflictsTimer) return;
  conflictsTimer = setTimeout(loadConflicts, Math.max(0, conflictsAsked + CONFLICTS_MS - performance.now()));
}
export async function loadConflicts() {
  conflictsAsked = performance.now();
  const answer = await asked("conflicts", () => get("/api/v1/conflicts", { state: "open" }));
  conflictsTimer = 0;
  if (answer) set({ conflicts: answer.conflicts.filter((c) => !state.closed.has(c.id)) });
}

function closedConflict(message) {
  const closed = new Map(state.closed).set(message.conflict_id, { ...message, at: new Date() });
  set({ closed, conflicts: state.conflicts && state.conflicts.filter((c) => c.id !== message.conflict_id) });
}

// ---------------------------------------------------------------------- messages

const handlers = {
  connection_established() {
    for (const type of Object.keys(state.entities)) refresh(type);
    loadConflicts();
    loadReports();
    loadOnce();
  },
  data_sync(message) { row(message.operation); },
  sync_conflict: conflictsChanged,
  conflict_resolution(message) { closedConflict(message); conflictsChanged(); },
  terminal_status_update(message) {
    set({ terminals: new Map(Object.entries(message.terminals)), totalOnline: message.total_online });
  },
  performance_metrics(message) { set({ metrics: new Map(state.metrics).set(message.terminal_id, message.metrics) }); },
  audit_log(message) { for (const listener of audit) listener(message.entry); },
};

const audit = new Set();
// Each entry of the audit as it is written. listener(entry); returns how to stop.
export function onAudit(listener) {
  audit.add(listener);
  return () => audit.delete(listener);
}

async function loadReports() {
  if (document.hidden) return;
  const links = await asked("links", () => get("/api/v1/links"));
  if (links) set({ links });
}
async function loadOnce() {
  const [policies, me] = await Promise.all([
    asked("policies", () => get("/api/v1/policies")),
    asked("whoami", () => get("/api/v1/whoami", { type: session.type })),
  ]);
  if (policies) set({ policies: policies.policies });
  if (me) set({ rights: me.rights, node: me.node_id });
}

const connection = new Connection({
  message(message) { handlers[message.type]?.(message); },
  contact(contact) {
    const lost = state.contact.up && !contact.up, back = !state.contact.up && contact.up && state.begun;
    if (contact.code === 4004 && !session.token && contact.tries === 1) session.rename();
    if (lost) say(t("off.title", { time: clock(contact.since) }), true);
    if (back) say(t("off.back"));
    set({ contact, begun: state.begun || contact.up });
  },
});

export function start() {
  connection.open();
  setInterval(() => { if (state.contact.up) loadReports(); }, REPORTS_MS);
  document.addEventListener("visibilitychange", () => { if (state.contact.up) loadReports(); });
}
export const tryNow = () => connection.now();
// As somebody else: another token, name or person.
export const reconnect = () => connection.now(true);

// ---------------------------------------------------------------------- writing

// The node's answer to a message; rejects with {code, message}: the node's sync_error, or 4003 where it let us out.
export const send = (message) => connection.send(message);

export const write = (entityType, entityId, operation, data) => send({
  type: "data_sync",
  operation: { entity_type: entityType, entity_id: entityId, operation, data, timestamp: new Date().toISOString(), terminal_id: session.name },
});

// Whether this page may: verb as in node/rights.py ("write", "resolve", "read", "operate"). Where the node says nothing of
// rights they are taken for granted; what is refused then is said where it was pressed.
export function may(verb, what) {
  const held = state.rights?.[verb];
  return !held || held.includes(what);
}
// Why a button does nothing: "" where it does something.
export function whyNot(verb, what) {
  if (!state.contact.up) return t("off.button");
  if (!may(verb, what)) return t(verb === "operate" ? "deny.nodes" : "deny.button");
  return "";
}
// In a component: whyNot, drawn again where it changes.
export const useWhyNot = (verb, what) => useStore(() => whyNot(verb, what));
