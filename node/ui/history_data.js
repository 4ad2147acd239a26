// The history of one entity as the time line shows it.
import { useCallback, useEffect, useRef, useState, member } from "./base.js";
import { changes } from "./changes.js";
import { back, get } from "./http.js";
import { onAudit, useEntity } from "./store.js";

const AGAIN_MS = 400;   // an entity that somebody writes to is read again after so long a pause

const path = (what, type) => `/api/v1/${what}/${encodeURIComponent(type)}`;
export const nameOf = (act) => `${act.terminal_id}/${act.operation_id}`;
export const whose = (act) => act.user_id || act.terminal_id || act.node;

// What was brought back at this page, so that the line which says so stays where it was: id of a loss -> the loss
export const brought = new Map();

// steps: GET /api/v1/history's, the oldest first, each with
//   at         when it came to this node; written: when that is another time, which its author's node took it (Dates)
//   rows       what it changed, as changes.js has it
//   losses     what did not stay, or is there no more: {id, how, fields, data, path, by, operation, ...}; how: open | rule |
//              person | write | replaced | refused, as the node says, or removed (an element) or deleted (the entity)
export async function loadHistory(type, id, archives) {
  const entity = await get(path("entities", type), { entity_id: id });
  const steps = [], head = { archived: null, unread: [] };
  for (let after = 0; after !== null;) {
    const page = await get(path("history", type), { entity_id: id, after, archives: archives ? 1 : "" });
    steps.push(...page.steps.map(read));   // a page at a time: of thousands at once the page would stand still
    head.archived = page.archived;
    head.unread.push(...page.unread.filter((text) => !head.unread.includes(text)));
    after = page.next;
  }
  return { ...head, entity, steps: withLosses(steps, entity) };
}

const SECOND_MS = 1000;
function read(step) {
  const sides = (which) => Object.fromEntries(Object.entries(step.changed).filter(([, change]) => Object.hasOwn(change, which)).map(([name, change]) => [name, change[which]]));
  const at = new Date(step.arrived_at), accepted = new Date(step.accepted_at);
  return { ...step, at, written: at - accepted > SECOND_MS ? accepted : null, rows: changes(sides("from"), sides("to")), losses: step.discarded.flatMap((one) => lossesOf(step, one)) };
}

// A refused write is as many losses as it has fields; else they stand or fall together.
function lossesOf(step, one) {
  const names = Object.keys(one.data), operation = { terminal_id: step.terminal_id, operation_id: step.operation_id };
  const loss = (fields, where) => ({ ...one, fields, path: where, operation, of: step, id: [nameOf(operation), ...where].join("/"), data: Object.fromEntries(fields.map((name) => [name, one.data[name]])) });
  return one.how === "refused" ? names.map((name) => loss([name], [name])) : [loss(names, one.path)];
}

// What was taken off a list that has no element of that id now, and the deletion of what is deleted.
function withLosses(steps, entity) {
  const gone = new Set(), writers = new Map();
  for (const step of steps) {
    for (const row of step.rows) for (const element of [...(Array.isArray(row.to) ? row.to : []), ...(row.element ? [row.element] : [])]) if (element?.id !== undefined) writers.set(`${row.list ?? row.name}/${element.id}`, step);
    for (const { name, from, to } of step.rows) {
      if (to !== undefined || !Array.isArray(from)) continue;
      for (const element of from) step.losses.push({ how: "removed", fields: [name], path: [name, String(element.id)], data: { [name]: [element] }, by: step, of: writers.get(`${name}/${element.id}`) ?? step, operation: writers.get(`${name}/${element.id}`) ?? step, id: `${nameOf(step)}/off/${name}/${element.id}` });
    }
  }
  for (const step of [...steps].reverse()) {
    step.losses = step.losses.filter((loss) => {
      if (loss.how !== "removed" || brought.has(loss.id)) return true;
      const key = loss.path.join("/"), [name] = loss.path, now = member(entity.data, name);
      if (gone.has(key) || (Array.isArray(now) && now.some((element) => String(element?.id) === loss.path[1]))) return false;
      gone.add(key);
      return true;
    });
  }
  const deletion = entity.deleted ? steps.findLast((step) => step.operation === "DELETE") : null;
  if (deletion) deletion.losses.push({ how: "deleted", fields: [], path: ["deleted_at"], data: {}, by: deletion, of: deletion, operation: null, id: `${nameOf(deletion)}/deleted` });
  for (const loss of brought.values()) {
    const at = loss.how === "removed" || loss.how === "deleted" ? loss.by : loss.of, step = steps.find((one) => nameOf(one) === nameOf(at));
    if (step && loss.how !== "past" && !step.losses.some((other) => other.id === loss.id)) step.losses.push(loss);
  }
  return steps;
}

// The last step that changed what is shown of a field, up to a place among the steps, or after it.
export const lastChange = (steps, field) => steps.findLast((step) => Object.hasOwn(step.changed, field)) ?? null;

// Who wrote a field after a loss of it was decided: his step, or null.
export function since(steps, loss) {
  const [field] = loss.fields, place = steps.findIndex((step) => nameOf(step) === nameOf(loss.of)), last = lastChange(steps, field);
  if (!field || loss.path.length > 1 || place < 0 || !last || steps.indexOf(last) <= place) return null;
  const instead = Object.hasOwn(steps[place].changed, field) ? steps.slice(place + 1).find((step) => Object.hasOwn(step.changed, field)) : null;
  return last === instead ? null : last;
}

// ---- In a component

// {data, error, again}; data: null until it came, else as loadHistory has it, with type, id, archives, again.
export function useHistory(type, id, archives = false) {
  const [answer, set] = useState({ data: null, error: null }), count = useRef(0);
  const again = useCallback(async () => {
    const mine = ++count.current;   // of two readings the later one counts
    try {
      const data = await loadHistory(type, id, archives);
      if (mine === count.current) set({ data: { ...data, type, id, archives, again }, error: null });
    } catch (error) {
      if (mine === count.current) set((old) => ({ ...old, error }));
    }
  }, [type, id, archives]);
  const version = useEntity(type, id)?.version, timer = useRef(0);
  const later = () => { clearTimeout(timer.current); timer.current = setTimeout(again, AGAIN_MS); };
  useEffect(() => {
    again();
    const stop = onAudit((entry) => { if (entry.entity_type === type && (entry.entity_id === id || entry.entity_id === null)) later(); });
    const unheard = back.subscribe(later);   // what was written meanwhile nobody said
    return () => { stop(); unheard(); clearTimeout(timer.current); count.current += 1; };
  }, [again]);
  // Who may not read the audit is told of what is shown at least.
  useEffect(() => { if (answer.data && version > answer.data.entity.version) later(); }, [version]);
  return { ...answer, again };
}

// The entity as of a row of the log: {entity, error}. entity: undefined until it came, null where it was not there yet;
// what was shown before stays meanwhile. seq: null for none.
export function useMoment(type, id, seq) {
  const [moment, set] = useState({ entity: undefined, error: null });
  useEffect(() => {
    if (seq === null) return undefined;
    let gone = false;
    const put = (entity, error = null) => { if (!gone) set({ entity, error }); };
    get(path("entities", type), { entity_id: id, seq }).then((entity) => put(entity), (error) => (error.status === 404 ? put(null) : put(undefined, error)));
    return () => { gone = true; };
  }, [type, id, seq]);
  return moment;
}
