// A conflict as people see it: its sides, the fields in which they differ, what it holds up, what a choice sends.
import { bare, member } from "./base.js";
import { kindOf, label, plain, entityLabel, kindName } from "./parts.js";
import { locale, t } from "./words.js";

const BESIDE = ["version", "deleted_at"];
const date = (text) => (text ? new Date(text) : null);

// who: {user, terminal, node, at, terminalAt, skew}; at: when it counts, by the node's clock; skew: seconds, 0 where the
// device's clock was right.
export function who(said) {
  return {
    user: said.user_id ?? "", terminal: said.terminal_id ?? "", node: said.node ?? "", at: date(said.timestamp ?? said.accepted_at),
    terminalAt: date(said.terminal_timestamp), skew: said.clock ? said.clock.skew_ms / 1000 : 0,
  };
}
export const nameOf = (side) => side.user || side.terminal || t("who.nobody");

// conflict: of joined.js; what a node says less of is left out. entity: the record as it is, or null. others: conflicts of
// which some may be about the same record.
export function caseOf(conflict, entity, others = []) {
  const all = conflict.candidates.map((one, i) => ({ ...who(one), i, data: one.data, deletes: "deleted_at" in one.data, operation: one }));
  const deleting = all.some((side) => side.deletes) && all.some((side) => !side.deletes);
  // Where one side deletes, the one question is whether the record stays, however many say so.
  const sides = deleting ? all.filter((side) => side === all.find((one) => one.deletes === side.deletes)) : all;
  const known = { ...entity?.data, ...Object.assign({}, ...[...sides].reverse().map((side) => side.data)) };
  const fields = deleting ? [existence(sides)] : differing(conflict, sides);
  const beside = others.filter((one) => one.id !== conflict.id && one.entity_type === conflict.entity_type && one.entity_id === conflict.entity_id);
  const open = new Set([...fields.map((field) => field.name), ...beside.flatMap((one) => one.candidates.flatMap((side) => Object.keys(side.data)))]);
  const same = Object.entries({ ...entity?.data, ...(deleting ? {} : sides[0].data) })
    .filter(([name, value]) => !open.has(name) && !BESIDE.includes(name) && name !== "id" && value !== "" && value != null)
    .map(([name, value]) => ({ name, kind: kindOf(name, value), value }));
  const before = fields.map((field) => field.beforeBy).find(Boolean) ?? null;
  return {
    id: conflict.id, conflict, entityType: conflict.entity_type, entityId: conflict.entity_id, deleting, sides, fields, same, before,
    at: date(conflict.created_at), priority: conflict.priority ?? "medium", cash: conflict.entity_type === "cashier_operations",
    label: entityLabel(conflict.entity_type, conflict.entity_id, known), kind: kindName(conflict.entity_type), holds: holdsOf(conflict),
  };
}

const existence = (sides) => ({ name: "@entity", kind: "existence", before: true, known: true, values: sides.map((side) => !side.deletes) });

function differing(conflict, sides) {
  const names = [...new Set(sides.flatMap((side) => Object.keys(side.data)))].filter((name) => !BESIDE.includes(name));
  const found = names.map((name) => {
    const values = sides.map((side) => member(side.data, name) ?? null), before = member(conflict.before, name);
    return {
      name, values, kind: kindOf(name, values.find((value) => value != null)),
      before: before?.value ?? null, known: Boolean(before), absent: Boolean(before?.absent), beforeBy: before?.by ? who(before.by) : null,
    };
  });
  const apart = found.filter((field) => new Set(field.values.map((value) => JSON.stringify(value))).size > 1);
  return (apart.length ? apart : found).sort((a, b) => (b.kind === "money") - (a.kind === "money") || label(a.name).localeCompare(label(b.name), locale()));
}

// ---------------------------------------------------------------------- what it holds up

function holdsOf(conflict) {
  const said = conflict.holds ?? { frozen: conflict.entity_type === "cashier_operations", refused: 0, used_by: [] };
  const kind = said.frozen ? "frozen" : said.used_by?.length ? "orders" : "none";
  return { kind, since: date(said.since ?? conflict.created_at), refused: said.refused ?? 0, users: said.used_by ?? [] };
}

const urgency = { critical: 0, high: 1, medium: 2, low: 3 }, weight = { frozen: 0, orders: 1, none: 2 };
// Priority, then what it holds up, then age: of conflicts as the node gives them.
export function byUrgency(conflicts) {
  const key = (c) => [member(urgency, c.priority) ?? (c.entity_type === "cashier_operations" ? 0 : 2), weight[holdsOf(c).kind], Date.parse(c.created_at)];
  return conflicts.map((c) => [key(c), c]).sort(([a], [b]) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]).map(([, c]) => c);
}

export const sideName = (c, i) => (i === 0 ? t("case.force") : c.sides.length > 2 ? t("case.others", { n: i }) : t("case.other"));

// ---------------------------------------------------------------------- choosing

// draft: {picks: {field: side number or "typed"}, typed: {field: text}, reason}
export const newDraft = () => ({ picks: bare(), typed: bare(), reason: "", tried: false });

// What the person typed as a value of the field's kind: undefined where it is none. A number may have its decimals after a
// comma or a dot. Before three digits a mark groups thousands where it does in this language, in money, or stands several times.
export function parsed(field, text) {
  if (text === undefined || text.trim() === "") return undefined;
  if (field.kind === "time") return Number.isNaN(Date.parse(text)) ? undefined : new Date(text).toISOString();
  if (field.kind !== "money" && field.kind !== "number") return text;
  const bare = text.replace("−", "-").replace(/R\$|\s/g, ""), marks = bare.replace(/[^.,]/g, ""), last = marks.at(-1);
  if (!/^-?\d[\d.,]*$/.test(bare)) return undefined;
  if (!marks) return Number(bare);
  const alone = marks.length === 1, alike = new Set(marks).size === 1, grouped = alike && /^-?\d{1,3}([.,]\d{3})+$/.test(bare);
  if (grouped && (!alone || field.kind === "money" || last === (locale() === "pt-BR" ? "." : ","))) return Number(bare.replace(/[.,]/g, ""));
  if (marks.split(last).length > 2) return undefined;
  const [whole, decimals] = [bare.slice(0, bare.lastIndexOf(last)), bare.slice(bare.lastIndexOf(last) + 1)];
  return Number(`${whole.replace(/[.,]/g, "")}.${decimals || 0}`);
}

// undefined: not chosen yet.
export function chosen(field, draft) {
  const pick = draft.picks[field.name];
  return pick === undefined ? undefined : pick === "typed" ? parsed(field, draft.typed[field.name]) : field.values[pick];
}

export function missing(c, draft) {
  const fields = c.fields.filter((field) => chosen(field, draft) === undefined)
    .map((field) => t(draft.picks[field.name] === "typed" ? "send.missing.value" : "send.missing.field", { field: label(field.name).toLowerCase() }));
  return c.cash && !draft.reason.trim() ? [...fields, t("send.missing.reason")] : fields;
}

// What `resolve` of terminal.js is given for each conflict that the case is made of.
export const resolutions = (c, draft) => c.conflict.parts.map((part) => resolution(c, draft, part));

// One side whole is said so; anything else is a merge.
function resolution(c, draft, { id, candidates }) {
  const fields = c.deleting ? c.fields : c.fields.filter((field) => candidates.some((one) => Object.hasOwn(one.data, field.name)));
  const picks = new Set(fields.map((field) => draft.picks[field.name])), reason = draft.reason.trim().slice(0, 500) || undefined;
  const [only] = picks, whole = picks.size === 1 && only !== "typed" ? c.sides[only].i : null;
  const named = whole === null ? undefined : ["accept_local", "accept_remote"][whole];
  if (named) return [id, named, undefined, reason];
  const { version, ...data } = whole === null ? Object.fromEntries(fields.map((field) => [field.name, chosen(field, draft)])) : candidates[whole].data;
  return [id, "merge", data, reason];
}

export function delta(field, value) {
  return field.kind === "money" && typeof field.before === "number" && typeof value === "number" && value !== field.before ? value - field.before : null;
}
