// What the node shows at this moment: the one thing that views read from.
import { useEffect, useRef, useState, say, changes, bare, member } from "./base.js";
import { clock } from "./formats.js";
import { back, get } from "./http.js";
import { casesOf } from "./joined.js";
import { session } from "./session.js";
import { dial, reconnect, tryNow } from "./terminal.js";
import { t } from "./words.js";

export { reconnect, resolve, tryNow, write } from "./terminal.js";

const AT_MOST_EVERY_MS = 250; // views are told of changes
const REPORTS_MS = 5000;      // links are asked for again, while the page is seen
const CONFLICTS_MS = 300;     // conflicts of which messages came are asked for together
const ALONE = 10;             // so many one by one; of more all are
const FIRST = 50;             // conflicts that are asked for first, so that there is something to see

// contact: {up, since, code, tries, next}: the close code and number of failures since, and when it is tried again, in ms; 0: not
// entities: of each type that somebody looks at, Map(id -> {entity_id, version, data, conflicts, lock}); null until it came
// conflicts: those that are open, as GET /api/v1/conflicts has them; null until they came
// closed: Map(conflict id -> the node's conflict_resolution, with `at`), of those that were closed while this page is open
// terminals: Map(id -> as in terminal_status_update); links: GET /api/v1/links, with when it came (`at`); both null until they came
// refused: the HTTP status with which the node refused to tell a thing, by the thing's name here
const state = {
  contact: { up: false, since: new Date(), code: null, tries: 0, next: 0 },
  stores: 0, // how many the node keeps as head office
  begun: false, entities: bare(), conflicts: null, closed: new Map(), terminals: null, totalOnline: 0, metrics: new Map(),
  links: null, policies: null, node: null, rights: null, refused: bare(),
  moreConflicts: false, // whether conflicts are still to come of those that were there when the page began
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
  useEffect(() => { if (!state.entities[entityType]) refresh(entityType); }, [entityType]);
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
  await readOne(entityType, entityId);
}
async function readOne(entityType, entityId) {
  const key = `${entityType} ${entityId}`, mine = { key, changed: [] };
  reading.add(mine);
  const answer = await get(`/api/v1/entities/${encodeURIComponent(entityType)}`, { entity_id: entityId }).catch(() => null);
  reading.delete(mine);
  if (!answer) {
    if (!state.single.get(key)) state.single.delete(key);
    return;
  }
  const read = new Map(answer.deleted ? [] : [[entityId, answer]]);
  for (const one of mine.changed) put(read, one);
  set({ single: new Map(state.single).set(key, read.get(entityId) ?? null) });
}

// What changed while it was being read is laid over what was read, of each single one and of types: messages may overtake an answer.
const reading = new Set();
const arriving = bare();
export async function refresh(entityType) {
  if (arriving[entityType]) return;
  state.entities[entityType] ??= null;
  const changed = arriving[entityType] = [];
  const map = await asked(entityType, async () => {
    const { entities } = await get(`/api/v1/entities/${encodeURIComponent(entityType)}`);
    return new Map(entities.map((one) => [one.entity_id, one]));
  });
  delete arriving[entityType];
  if (!map) return;
  for (const one of changed) put(map, one);
  set({ entities: bare(state.entities, { [entityType]: map }) });
}

async function asked(what, asking) {
  try {
    const answer = await asking();
    if (what in state.refused) set({ refused: without(state.refused, what) });
    return answer;
  } catch (error) {
    set({ refused: bare(state.refused, { [what]: error.status ?? 200 }) });
    return null;
  }
}
const without = (object, name) => bare(Object.fromEntries(Object.entries(object).filter(([key]) => key !== name)));

// Operations that wait for a link: those that linked nodes still lack, and those that absent ones do.
export const waiting = (links) => (links ? [...links.links, ...links.away].reduce((sum, link) => sum + (link.lag || 0) + (link.behind || 0), 0) : 0);

// What is shown of an entity changed. one: {type, id, entity}, as the client tells it.
function shown(one) {
  const { type, id } = one, key = `${type} ${id}`;
  arriving[type]?.push(one);
  for (const other of reading) if (other.key === key) other.changed.push(one);
  if (state.single.has(key)) {
    const map = new Map(state.single.get(key) ? [[id, state.single.get(key)]] : []);
    put(map, one);
    set({ single: new Map(state.single).set(key, map.get(id) ?? null) });
  }
  const before = state.entities[type];
  if (!before) return;
  if (!fresh.has(type)) {
    fresh.add(type);
    state.entities = bare(state.entities, { [type]: new Map(before) });
  }
  put(state.entities[type], one);
  tell();
}
const fresh = new Set(); // types whose map is a copy that no view has seen yet
told.subscribe(() => fresh.clear());

function put(map, { id, entity }) {
  if (entity) map.set(id, { conflicts: [], lock: null, ...map.get(id), entity_id: id, version: entity.version, data: entity.data });
  else map.delete(id);
}

// ---------------------------------------------------------------------- conflicts

const announced = new Set(); // ids of conflicts that came and are not asked for yet
let conflictsTimer = 0;

// A message names a conflict; what people need to know of it (who, what there was before, what it holds up) is asked for.
function conflictChanged({ state: kind, conflict, message }) {
  if (kind === "open") {
    announced.add(conflict.id);
    state.closed.delete(conflict.id); // a decision that another one crossed may be asked for again
  }
  if (kind === "closed") {
    announced.delete(conflict.id);
    const closed = message ? new Map(state.closed).set(conflict.id, { ...message, at: new Date() }) : state.closed;
    set({ closed, conflicts: state.conflicts && state.conflicts.filter((one) => one.id !== conflict.id) });
  }
  set({ conflictNews: state.conflictNews + 1 });
  askForConflicts();
}

function askForConflicts() {
  if (conflictsTimer || !announced.size || !state.conflicts || state.moreConflicts) return;
  conflictsTimer = setTimeout(async () => {
    const ids = [...announced].filter((id) => !state.conflicts.some((one) => one.id === id));
    announced.clear();
    if (ids.length > ALONE) await loadConflicts();
    else await Promise.all(ids.map(loadConflict));
    conflictsTimer = 0;
    askForConflicts();
  }, CONFLICTS_MS);
}

// How many decisions are open: while they come one after the other, as the node counts them.
export const openCount = (s) => Math.max(casesOf(s.conflicts).length, s.moreConflicts ? s.links?.conflicts_open ?? 0 : 0);
// What is open, as joined.js has it; null until it came.
export const useCases = () => useStore((s) => s.conflicts && casesOf(s.conflicts));

const isOpen = (conflict) => conflict.state === "open" && !state.closed.has(conflict.id);

// Also what it holds up, which no message says.
export async function loadConflict(id) {
  const conflict = await get(`/api/v1/conflicts/${encodeURIComponent(id)}`).catch(() => null);
  if (!conflict || !isOpen(conflict)) return;
  set({ conflicts: [...state.conflicts.filter((one) => one.id !== id), conflict] });
}

// All that are open. Where none were there yet each page is shown as it comes; else all stay until the last is here.
let conflictsTurn = 0;
export async function loadConflicts() {
  const turn = ++conflictsTurn, none = !state.conflicts, found = [];
  for (let after, limit = FIRST; ; limit = undefined) {
    const answer = await asked("conflicts", () => get("/api/v1/conflicts", { state: "open", limit, after }));
    if (turn !== conflictsTurn) return; // it is asked anew
    if (!answer) {
      set({ moreConflicts: false });
      break;
    }
    const page = answer.conflicts.filter(isOpen), ids = new Set(page.map((one) => one.id));
    found.push(...page);
    after = answer.next;
    if (none) set({ conflicts: [...(state.conflicts ?? []).filter((one) => !ids.has(one.id)), ...page], moreConflicts: after != null });
    else if (after == null) set({ conflicts: found.filter(isOpen), moreConflicts: false });
    if (after == null) break;
  }
  askForConflicts();
}

// ---------------------------------------------------------------------- messages

const handlers = {
  connection_established() {
    for (const type of Object.keys(state.entities)) refresh(type);
    for (const key of state.single.keys()) readOne(key.slice(0, key.indexOf(" ")), key.slice(key.indexOf(" ") + 1));
    loadConflicts();
    loadReports();
    loadOnce();
  },
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

export async function loadReports() {
  if (document.hidden) return;
  const links = await asked("links", () => get("/api/v1/links"));
  if (links) set({ links: { ...links, at: new Date() } });
}
async function loadOnce() {
  const [policies, me, realms] = await Promise.all([
    asked("policies", () => get("/api/v1/policies")),
    asked("whoami", () => get("/api/v1/whoami", { type: session.type })),
    asked("realms", () => get("/api/v1/realms")),
  ]);
  if (policies) set({ policies: policies.policies });
  if (me) set({ rights: me.rights, node: me.node_id });
  if (realms) set({ stores: realms.realms.length + (realms.elsewhere?.length ?? 0) });
}

// ---------------------------------------------------------------------- contact

function contacted({ up, code, retryInMs }) {
  const before = state.contact, lost = before.up && !up;
  if (code === 4004 && !session.token && !before.tries) {
    session.rename();
    setTimeout(reconnect);
    return;
  }
  const contact = { up, code, since: up || lost ? new Date() : before.since, tries: up ? 0 : before.tries + 1, next: retryInMs === null ? 0 : Date.now() + retryInMs };
  if (lost) say(t("off.title", { time: clock(contact.since) }), true);
  if (up && !before.up && state.begun) say(t("off.back"));
  set({ contact, begun: state.begun || up });
  if (up && !before.up) back.tell();
}

export function start() {
  dial({ message: (message) => member(handlers, message.type)?.(message), entity: shown, conflict: conflictChanged, contact: contacted });
  setInterval(() => { if (state.contact.up) loadReports(); }, REPORTS_MS);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    if (state.contact.up) loadReports();
    else if (state.contact.next) tryNow();
  });
}

// ---------------------------------------------------------------------- rights

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
