// The history of one entity as the time line shows it, made of the audit and of what `explain` says of each field.
import { useCallback, useEffect, useRef, useState } from "./base.js";
import { get } from "./http.js";
import { onAudit } from "./store.js";

const PAGE = 1000;
const NO_FIELD = "version";

// ---- What an operation changed in what is shown

const ordered = (value) => {
  if (Array.isArray(value)) return value.map(ordered);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, ordered(value[name])]));
};
export const same = (a, b) => a === b || JSON.stringify(ordered(a)) === JSON.stringify(ordered(b));

const elements = (value) => (Array.isArray(value) && value.every((e) => e !== null && typeof e === "object" && e.id !== undefined) ? value : null);
const namesOf = (...datas) => [...new Set(datas.flatMap((data) => Object.keys(data)))].filter((name) => name !== NO_FIELD);

// What differs between two states of an entity, a change a field:
//   {name, before, after}               one value; undefined where there was none
//   {name, added, removed, altered}     a list: its elements, and of the altered ones {element, fields: [{name, before, after}]}
export function differences(before, after) {
  return namesOf(after, before).filter((name) => !same(before[name], after[name])).map((name) => {
    const was = elements(before[name] ?? []), is = elements(after[name] ?? []);
    return was && is && was.length + is.length ? { name, ...listDifference(was, is) } : { name, before: before[name], after: after[name] };
  });
}

function listDifference(was, is) {
  const old = new Map(was.map((e) => [e.id, e])), kept = new Set(is.map((e) => e.id));
  const altered = is.filter((e) => old.has(e.id)).map((element) => ({ element, fields: differences(old.get(element.id), element) })).filter(({ fields }) => fields.length);
  return { added: is.filter((e) => !old.has(e.id)), removed: was.filter((e) => !kept.has(e.id)), altered };
}

// The two sides of an audit entry, as far as they are of this entity.
function sides(entry, id) {
  const { before = {}, after = {} } = entry.changes ?? {};
  return entry.operation === "BULK_UPDATE" ? [before[id] ?? {}, after[id] ?? {}] : [before, after];
}

// ---- What did not stay

const nameOf = (act) => `${act.terminal_id}/${act.operation_id}`;

// What was written to a field and is not shown. What somebody replaced who had seen it is history and no loss; what lost
// by rule or by a decision, what was taken off a list, and what was refused is. explained: the answer of `explain`.
//   why       open | rule | decided | removed | refused
//   by        the operation that stands in its place: {terminal_id, user_id, accepted_at, operation_id, reason}, or null
//   instead   the value that stood in its place when it lost; undefined where nothing did
export function discardedOf(explained) {
  const live = new Set(explained.candidates.map((write) => write.path.join("/"))), off = new Set(), found = [];
  const shown = explained.candidates.find((write) => write.state === "shown" && !write.absent) ?? null;
  const put = (write, why, by, conflict = null) => found.push({ ...write, field: explained.field, rule: explained.rule, why, by, conflict });
  for (const write of [...explained.candidates, ...explained.superseded]) {
    if (write.absent || write.state === "shown" || write.state === "moved") continue;
    const path = write.path.join("/"), decided = write.superseded_by.find((act) => act.resolves);
    if (write.state !== "superseded") {
      const conflict = explained.conflicts.find((c) => c.state === "open" && c.operations.some((o) => nameOf(o) === nameOf(write)));
      put(write, conflict ? "open" : "rule", shown, conflict?.id);
    } else if (decided) put(write, "decided", decided);
    else if (write.path.length === 2 && write.path[0] === explained.field && !live.has(path) && !off.has(path)) {
      off.add(path);   // the latest that was said of an element that is on the list no longer
      put(write, "removed", write.superseded_by[0] ?? null);
    }
  }
  for (const act of explained.refused) put({ ...act, path: [explained.field], state: "refused" }, "refused", null);
  return found;
}

// ---- All of it

// entity: as GET /api/v1/entities answers, null where nobody wrote it. explained: by field. operations: the oldest
// first, audit entries with `at` and `written` (Dates), `clockSkewMs`, `changes` (as `differences`) and `discarded`.
export async function loadHistory(type, id) {
  const entity = await get(`/api/v1/entities/${encodeURIComponent(type)}`, { entity_id: id });
  const entries = [];
  for (let after = 0; after !== null;) {
    const page = await get("/api/v1/audit", { entity_type: type, entity_id: id, limit: PAGE, after });
    entries.push(...page.entries);
    after = page.next;
  }
  const fields = namesOf(entity.data, ...entries.flatMap((entry) => [...sides(entry, id), entry.refused?.data ?? {}]));
  const explained = new Map();
  await Promise.all([...fields, "deleted_at"].map(async (field) => explained.set(field, await explain(type, id, field))));
  const lost = new Map();
  for (const one of explained.values()) for (const value of discardedOf(one)) lost.set(nameOf(value), [...(lost.get(nameOf(value)) ?? []), value]);
  const operations = entries.map((entry) => ({
    ...entry, at: new Date(entry.accepted_at), written: new Date(entry.effective_timestamp), clockSkewMs: entry.changes?.clock_skew_ms ?? 0,
    changes: differences(...sides(entry, id)), discarded: lost.get(nameOf(entry)) ?? [],
  }));
  operations.sort((a, b) => a.at - b.at || a.seq - b.seq);
  return { entity, explained, operations };
}

export const explain = (type, id, field) => get(`/api/v1/explain/${encodeURIComponent(type)}`, { entity_id: id, field });

// The entity as it was once everything was there that some node had accepted by then; null where it was not there yet.
export async function entityAt(type, id, at) {
  try {
    return await get(`/api/v1/entities/${encodeURIComponent(type)}`, { entity_id: id, at: at.toISOString() });
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

// ---- In a component

const AGAIN_MS = 400;

// The history of an entity, read again when somebody writes to it: {data, error, again}; data: null until it came.
export function useHistory(type, id) {
  const [answer, set] = useState({ data: null, error: null }), count = useRef(0);
  const again = useCallback(async () => {
    const mine = ++count.current;   // of two readings the later one counts
    try {
      const data = await loadHistory(type, id);
      if (mine === count.current) set({ data: { ...data, type, id, again }, error: null });
    } catch (error) {
      if (mine === count.current) set((old) => ({ ...old, error }));
    }
  }, [type, id]);
  useEffect(() => {
    let timer = 0;
    again();
    const stop = onAudit((entry) => {
      if (entry.entity_type !== type || (entry.entity_id !== id && entry.entity_id !== null)) return;
      clearTimeout(timer);
      timer = setTimeout(again, AGAIN_MS);
    });
    return () => { stop(); clearTimeout(timer); count.current += 1; };
  }, [again]);
  return { ...answer, again };
}

// The entity as it was: {entity, error}; entity: undefined until it came; what was shown before stays meanwhile.
export function useMoment(type, id, at) {
  const [moment, set] = useState({ entity: undefined, error: null }), time = at?.getTime();
  useEffect(() => {
    if (time === undefined) return undefined;
    let gone = false;
    entityAt(type, id, new Date(time)).then((entity) => { if (!gone) set({ entity, error: null }); }, (error) => { if (!gone) set({ entity: undefined, error }); });
    return () => { gone = true; };
  }, [type, id, time]);
  return moment;
}
