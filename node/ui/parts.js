// What several views share.
import { html, say, useState, useEffect, useLayoutEffect, useRef } from "./base.js";
import { icon } from "./icons.js";
import { t, has } from "./words.js";
import { number, clock } from "./formats.js";
import { named, numberOf, tableOf } from "./order_data.js";
import { beginning, cut, edge, label, plain } from "./texts.js";

export { cut, element, fieldOf, kindOf, label, plain, plainEach } from "./texts.js";

// One word, one colour, one shape for each state. Nothing else on the page may use these colours.
export function pill(state, n) {
  const key = state === "queue" ? (n ? "state.queue" : "state.queue0") : `state.${state}`;
  return html`<span class="pill pill-${state}">${icon(state, 16)}<span>${t(key, { n: n && number(n) })}</span></span>`;
}

// who: {user, terminal}; a terminal where nobody is named. place: 0 in force, 1.. the other sides, 9 before.
export function person(who, place = 0) {
  const name = who.user || who.terminal;
  return html`<span class="person"><span class="face face-${place}" aria-hidden="true">${[...name].slice(0, 2).join("")}</span><bdi class="person-name">${name}</bdi></span>`;
}

export const LONG = 280;
const CUT = 150;

// Text of people: its own direction, never longer than a screen.
export function Words({ text }) {
  const [open, set] = useState(false);
  if (text == null || text === "") return html`<span class="none">${t("value.none")}</span>`;
  if (text.length < LONG) return html`<bdi class="said">${text}</bdi>`;
  return html`<span class="said-long"><bdi class="said">${open ? text : beginning(text, CUT)}</bdi> <button type="button" class="link" aria-expanded=${open} onclick=${() => set(!open)}>${open ? t("long.less") : t("long.more", { n: number(text.length) })}</button></span>`;
}
export const words = (text) => html`<${Words} text=${text} />`;

// A sentence with names in it that must not break at their hyphen.
export function sentence(key, vars) {
  return t(key).split(/\{(\w+)\}/).map((part, i) => (i % 2 ? html`<bdi class=${/\s/.test(vars[part]) ? "" : "nobreak"}>${vars[part]}</bdi>` : part));
}

// ---------------------------------------------------------------------- fields and values

export const kindName = (entityType) => (has(`kind.${entityType}`) ? t(`kind.${entityType}`) : label(entityType));

// Where two texts differ: a common start and a common end stay plain. A letter is marked whole.
export function difference(a, b) {
  if (typeof a !== "string" || typeof b !== "string" || !a || !b || a === b) return b;
  let i = 0, j = 0;
  while (i < a.length && i < b.length && a[i] === b[i]) i++;
  while (j < a.length - i && j < b.length - i && a[a.length - 1 - j] === b[b.length - 1 - j]) j++;
  let end = b.length - j;
  while (j > 0 && end < b.length && edge(b, end) !== end) { end++; j--; }
  i = edge(b, i);
  while (i < end && /[\s,]/.test(b[i])) i++;
  if (i + j < 2 || i >= end) return b;
  return html`<bdi>${b.slice(0, i)}<mark>${b.slice(i, end)}</mark>${b.slice(end)}</bdi>`;
}

// What to call an entity: a name that people gave it, else its kind and id.
export function entityLabel(entityType, entityId, data) {
  const { name, drawer_id, type } = data ?? {}, table = tableOf(data);
  if (entityType === "orders") return [`${kindName("orders")} ${cut(numberOf(data, entityId))}`, ...(table === null ? [] : [cut(table)])].join(" · ");
  if (entityType === "cashier_operations") return [typeof type === "string" && type ? plain({ kind: "word" }, type) : kindName(entityType), named(drawer_id, entityId)].map((part) => cut(part)).join(" · ");
  return cut(typeof name === "string" && name.trim() ? name : `${kindName(entityType)} ${entityId}`);
}
export const historyOf = (entityType, entityId) => `#/historico/${encodeURIComponent(entityType)}/${encodeURIComponent(entityId)}`;

// ---------------------------------------------------------------------- a view's frame

export function head(title, lead, more) {
  return html`<header class="head"><div><h1 tabindex="-1">${title}</h1>${lead ? html`<p class="lead">${lead}</p>` : ""}</div>${more || ""}</header>`;
}

export function empty(title, text, more) {
  return html`<section class="empty"><svg class="empty-art" width="72" height="72" viewBox="0 0 72 72" fill="none" aria-hidden="true"><path class="slip" d="M17 8h38v56l-6.300-5-6.300 5-6.400-5-6.400 5-6.300-5-6.300 5z" /><path class="lines" d="M26 22h20M26 31h20M26 40h11" /></svg><h2>${title}</h2>${text ? html`<p>${text}</p>` : ""}${more || ""}</section>`;
}

// What was asked of the node and refused or not answered. error: of http.js.
export function failed(error, again) {
  const text = error.status === 403 ? t("fail.denied") : error.status === 0 ? t("fail.away") : error.status === 200 ? t("fail.odd") : t("fail.other", { error: error.message });
  return html`<section class="banner" role="group">${icon(error.status === 403 ? "lock" : "away")}<div><p>${text}</p></div>${again && error.status !== 403 ? html`<button type="button" class="button" onclick=${again}>${t("off.retry")}</button>` : ""}</section>`;
}

// The same, as a sentence at what was pressed.
export function refusalOf(error) {
  if (error.status === 413) return t("publish.toolong");
  return error.status === 403 ? t("node.denied") : error.status ? error.message : t("fail.away");
}

const SHAPES = { list: 4, board: 8, charts: 6, table: 7, case: 3 };
// The shape of what is coming, so that nothing jumps when it arrives. It appears after 200 ms: fast answers do not blink.
export function Loading({ shape }) {
  const [shown, show] = useState(false);
  useEffect(() => { const timer = setTimeout(() => show(true), 200); return () => clearTimeout(timer); }, []);
  const bar = (w) => html`<span class="bone bone-${w}" />`;
  return html`<div class="loading loading-${shape}" aria-busy="true"><p class="quiet" role="status">${t("load")}…</p>${shown && Array.from({ length: SHAPES[shape] }, (_, i) => html`<div class="ghost" key=${i}>${bar("m")}${bar("l")}${bar("s")}</div>`)}</div>`;
}
export const loading = (shape) => html`<${Loading} shape=${shape} />`;

// ---------------------------------------------------------------------- undo

// "Undo" is one small conversation everywhere: what comes back, what it means, yes or no.
// value, name: what comes back and whose it was, as texts. act: does it; rejects with {code, message}. why: not, or "".
// warning: what else there is to know first, such as that the value has changed since.
const undone = new Map(); // id -> what was done, as long as the page is open
export function Undo({ id, value, name, act, why = "", word = t("settled.undo"), size = "small", warning = "", onOpen }) {
  const [asking, ask] = useState(false), [busy, work] = useState(false), [error, fail] = useState(""), focus = useRef("");
  const box = useRef();
  useLayoutEffect(() => { box.current?.querySelector(focus.current || "nothing")?.focus({ preventScroll: true }); focus.current = ""; }, [asking, busy, error]);
  useEffect(() => onOpen?.(asking || undone.has(id)), [asking]);
  const go = async () => {
    work(true);
    try {
      await act();
      undone.set(id, t("settled.done", { time: clock(new Date()), value }));
      focus.current = ".undone";
      ask(false);
      say(undone.get(id));
    } catch (refusal) {
      fail(refusalText(refusal));
      focus.current = ".yes";
    }
    work(false);
  };
  if (undone.has(id)) return html`<div class="undo" ref=${box}><p class="undone" tabindex="-1">${icon("undo", 16)}<span>${undone.get(id)}</span></p></div>`;
  if (!asking) return html`<div class="undo" ref=${box}><button type="button" class="button ${size} undo-ask" disabled=${Boolean(why)} title=${why || null} onclick=${() => { focus.current = ".yes"; fail(""); ask(true); }}>${icon("undo", 16)}<span>${word}</span><span class="quiet"> ${value}, ${name}</span></button></div>`;
  return html`<div class="undo ask" ref=${box} role="group" aria-label=${t("settled.ask", { value, name })} onkeydown=${(event) => { if (event.key === "Escape") { focus.current = ".undo-ask"; ask(false); } }}>
    <p><strong>${t("settled.ask", { value, name })}</strong> ${warning ? html`<strong>${warning}</strong> ` : ""}${t("settled.ask2")}</p>
    ${error ? html`<p class="error" role="alert">${icon("need", 16)}<span>${error}</span></p>` : ""}
    <div class="row"><button type="button" class="button primary small yes" disabled=${busy} onclick=${go}>${busy ? t("send.sending") : t("settled.yes")}</button>
    <button type="button" class="button small" disabled=${busy} onclick=${() => { focus.current = ".undo-ask"; ask(false); }}>${t("settled.no")}</button></div></div>`;
}

// Why the node did not take it, as a sentence. refusal: {code, message, ...} of write().
export function refusalText(refusal) {
  const key = `refused.${refusal.code}`;
  return has(key) ? t(key, refusal) : t("refused.other", { error: refusal.message || "", code: refusal.code ?? "" });
}
