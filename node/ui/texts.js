// Values as texts: of any value that a record may hold, and of several side by side so that they can be told apart.
import { t, has } from "./words.js";
import { day, exact, exactMoney, moment, money } from "./formats.js";
import { same } from "./changes.js";

// ---------------------------------------------------------------------- text of people

const NAME = 80;
const CLUSTER = 32; // units of a letter with its marks that is kept whole; more marks than that are nobody's writing
const letters = Intl.Segmenter && new Intl.Segmenter(); // some browsers of 2023 have none

// The last place at or before `at` that is not within a letter: neither half an emoji, nor a letter without its accent.
export function edge(text, at) {
  const begin = letters?.segment(text.slice(Math.max(0, at - CLUSTER), at + CLUSTER)).containing(Math.min(at, CLUSTER))?.index;
  const place = begin === undefined ? at - CLUSTER : Math.max(0, at - CLUSTER) + begin;
  return place > at - CLUSTER ? place : at - (/[\udc00-\udfff]/.test(text[at] ?? "") ? 1 : 0);
}
export const beginning = (text, most) => `${text.slice(0, edge(text, most)).trimEnd()}…`;
// What has to fit in a line: of a text of ten thousand characters, its beginning.
export const cut = (text, most = NAME) => (String(text).length > most ? beginning(String(text), most - 1) : String(text));

// ---------------------------------------------------------------------- kinds

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/, DAY = /^\d{4}-\d\d-\d\d$/;
const isDay = (text) => { const at = new Date(`${text}T00:00:00Z`); return !Number.isNaN(+at) && at.toISOString().startsWith(text); }; // a 30 February is none
const kindOfText = (text) => ((TIME.test(text) && isDay(text.slice(0, 10)) && !Number.isNaN(Date.parse(text)) && "time") || (DAY.test(text) && isDay(text) && "day") || "text");
export const kindOf = (name, value) => (typeof value === "number" ? (/total|amount|price|value|balance|discount|change/.test(name) ? "money" : "number") : /^(status|type)$/.test(name) && typeof value === "string" ? "word" : value !== null && typeof value === "object" ? "parts" : typeof value === "string" ? kindOfText(value) : "text");
// The field of this name as plain() takes it, where it may hold each of these values.
export const fieldOf = (name, values) => ({ kind: kindOf(name, values.find((one) => typeof one === "number") ?? values.find((one) => one != null)) });
export const label = (name) => (name === "@entity" ? t("field.@entity") : has(`field.${name}`) ? t(`field.${name}`) : String(name).replaceAll("_", " "));

// ---------------------------------------------------------------------- a value

// A value as a text. field: {kind}, see kindOf; "existence" of whether the record is there.
export function plain(field, value) {
  if (field.kind === "existence") return t(value ? "value.exists" : "value.gone");
  if (value == null || value === "") return t("value.none");
  if (typeof value === "boolean") return t(value ? "value.yes" : "value.no");
  if (typeof value === "number") return field.kind === "money" ? money(value) : exact(value);
  if (typeof value === "string") return field.kind === "word" && has(`value.${value}`) ? t(`value.${value}`) : { time: moment, day }[kindOfText(value)]?.(new Date(value)) ?? value;
  if (Array.isArray(value)) return value.map((one) => (one && typeof one === "object" ? plain({ kind: "parts" }, one) : plain(field, one))).join(", ") || t("value.none");
  return element(value) || t("value.none");
}

// An item of a list: "2 Feijoada, sem couve"; nobody reads JSON.
export function element(one) {
  if (Array.isArray(one)) return plain({ kind: "parts" }, one);
  const { id, name, quantity, qty, ...rest } = one, n = quantity ?? qty;
  const other = (member, value) => (value != null && typeof value === "object" ? [[member, value]] : []);
  const more = [...other("name", name), ...other("quantity", n), ...Object.entries(rest)].map(([key, value]) => `${label(key).toLowerCase()} ${plain({ kind: kindOf(key, value) }, value)}`);
  const text = (value) => (value == null || typeof value === "object" ? null : plain({ kind: "text" }, value));
  return [[text(n), text(name ?? (n === undefined && !more.length ? id : null))].filter((x) => x != null).join(" "), ...more].filter(Boolean).join(", ");
}

// ---------------------------------------------------------------------- values side by side

// The texts of values between which somebody chooses or compares: what differs reads differently. Two prices that differ by a
// tenth of a centavo, two times by a second, a text by a space or a letter that is not seen are told more exactly than alone.
export function plainEach(field, values) {
  for (const say of [plain, exactly, written]) {
    const texts = values.map((value) => say(field, value));
    if (texts.every((text, i) => texts.every((other, j) => j >= i || text !== other || same(values[i] ?? null, values[j] ?? null)))) return texts;
  }
  return values.map((value) => written(field, value));
}

const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]|(?! )\p{Zs}|^ +| +$| {2,}/gu;
const code = (text) => [...text].map((one) => `[U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`).join("");

function exactly(field, value) {
  if (value == null || typeof value === "boolean" || field.kind === "existence") return plain(field, value);
  if (typeof value === "number") return field.kind === "money" ? exactMoney(value) : exact(value);
  if (typeof value === "string") return `“${value.replace(UNSEEN, code)}”`;
  if (Array.isArray(value)) return `[${value.map((one) => exactly({ kind: kindOf("", one) }, one)).join(", ")}]`;
  return `{${Object.keys(value).sort().map((name) => `${name}: ${exactly({ kind: kindOf(name, value[name]) }, value[name])}`).join(", ")}}`;
}

// The last means: the same letters, composed otherwise.
const written = (field, value) => exactly(field, value).replace(/\P{ASCII}/gu, (one) => (one === "“" || one === "”" ? one : code(one)));
