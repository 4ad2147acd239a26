// One operation as a row of a time line: who, where, what it changed, and what of it did not stay.
import { html } from "./base.js";
import { icon } from "./icons.js";
import { clock, clocks, exact, money, skew } from "./formats.js";
import { priceOf, quantityOf, lineName } from "./order_data.js";
import { element, kindOf, label, plain, sentence, words } from "./parts.js";
import { Restore } from "./restore.js";
import { has, own, t } from "./words.js";

const LATER_MS = 2000;   // that much later than written is worth saying

// A value as it is shown in a list of changes; texts of people in their own direction.
export function shownValue(name, value) {
  if (value == null || value === "") return html`<span class="none">${t("value.none")}</span>`;
  const kind = kindOf(name, value);
  return kind === "text" && typeof value === "string" ? words(value) : html`<bdi>${plain({ kind }, value)}</bdi>`;
}

// A line of an order, or any other element of a list, in words.
export function lineText(line) {
  const named = line.name !== undefined || line.product_name !== undefined || line.product_id !== undefined;
  return named ? `${exact(quantityOf(line))}× ${lineName(line)}` : element(line);
}

const arrow = (name, before, after) => [before === undefined ? "" : html`<s>${shownValue(name, before)}</s> → `, html`<strong>${shownValue(name, after)}</strong>`];
const item = (key, cls, sign, quiet, inside) => html`<li key=${key} class=${cls}><span class="sign" aria-hidden="true">${sign}</span><span>${quiet ? html`<span class="quiet">${quiet} </span>` : ""}${inside}</span></li>`;

function changeRows(change) {
  const { name } = change;
  if (!change.altered) return [item(name, "", "·", "", [`${label(name)}: `, arrow(name, change.before, change.after)])];
  const priced = (line) => (priceOf(line) === null ? "" : html` <span class="soft">${money(priceOf(line))}</span>`);
  return [
    ...change.added.map((line) => item(`+${line.id}`, "plus", "+", t("hist.added"), [html`<bdi>${lineText(line)}</bdi>`, priced(line)])),
    ...change.removed.map((line) => item(`-${line.id}`, "minus", "−", t("hist.took"), html`<s><bdi>${lineText(line)}</bdi></s>`)),
    ...change.altered.flatMap(({ element: line, fields }) => fields.map((field) => item(`${line.id}.${field.name}`, "", "·", "", [sentence("hist.of", { field: label(field.name), name: lineName(line) }), ": ", field.altered ? t("hist.changed") : arrow(field.name, field.before, field.after)]))),
  ];
}

function Changes({ op }) {
  const rows = op.changes.flatMap(changeRows);
  if (rows.length) return html`<ul class="changes">${rows}</ul>`;
  return html`<p class="changes soft">${t(op.operation === "DELETE" ? "hist.deleted" : "hist.nochange")}</p>`;
}

const whose = (act) => act.user_id || act.terminal_id;

// Why a value did not stay, as a sentence.
function why(value) {
  const by = value.by ? whose(value.by) : "", time = value.by?.accepted_at ? clock(new Date(value.by.accepted_at)) : "";
  if (value.why === "rule") return own(value.rule);
  return t(`hist.why.${value.why}${value.by ? "" : "0"}`, { name: by, time }) + (value.by?.reason ? ` “${value.by.reason}”` : "");
}

export const discardedText = (value) => (value.value !== null && typeof value.value === "object" && !Array.isArray(value.value) ? lineText(value.value) : plain({ kind: kindOf(value.path.at(-1) ?? value.field, value.value) }, value.value));
const fieldText = (value) => (value.path.length > 2 ? `${label(value.field)}, ${label(value.path.at(-1))}` : label(value.field));

function Discarded({ value, short, history }) {
  return html`<div class="discarded"><p><span class="flag">${t(value.why === "refused" ? "result.refused" : value.why === "open" ? "result.conflict" : "hist.discarded")}</span> <span class="discarded-field">${fieldText(value)}</span> <s><bdi>${discardedText(value)}</bdi></s></p>
    ${short ? "" : html`<p class="soft">${why(value)}</p>${value.why === "open" ? html`<a class="button small" href=${"#/conflitos/" + encodeURIComponent(value.conflict)}>${icon("need", 16)}${t("hist.open")}</a>` : html`<${Restore} value=${value} history=${history} />`}`}</div>`;
}

// The rule that decided, or the person.
function ruleText(op) {
  if (op.resolves) return t("rule.person") + (op.reason ? `: “${op.reason}”` : "");
  if (op.restores) return t("rule.restored");
  const key = { merged: "rule.merged", lost: "rule.lost", conflict: "rule.manual" }[op.status];
  return key && has(key) ? t(key) : "";
}

// history: what `loadHistory` gives, with `reload`; short: on the order's page, without what can be done.
export function operationRow(op, { history, short = false, current = false, future = false }) {
  const late = op.at - op.written > LATER_MS, off = op.clockSkewMs, device = new Date(op.timestamp);
  const node = op.origin;
  return html`<li key=${op.id} class=${`op ${op.discarded.length ? "op-lost" : ""} ${current ? "op-current" : ""} ${future ? "op-future" : ""}`} aria-current=${current ? "step" : null} data-operation=${op.operation_id}>
    <time datetime=${op.at.toISOString()}>${short ? clock(op.at) : clocks(op.at)}</time><span class="dot" aria-hidden="true"></span>
    <div class="op-body"><p class="op-who"><strong><bdi>${whose(op)}</bdi></strong> <span>${op.user_id ? html`<bdi>${op.terminal_id}</bdi>` : ""}${short || !node ? "" : html`${op.user_id ? " · " : ""}<bdi>${node}</bdi>`}</span>${future ? html`<span class="quiet">${t("hist.future")}</span>` : ""}</p>
    ${op.status === "refused" ? "" : html`<${Changes} op=${op} />`}
    ${short ? "" : html`${late ? html`<p class="op-note">${icon("queue", 16)}<span>${t("hist.written", { time: clocks(op.written) })}</span></p>` : ""}${Math.abs(off) >= LATER_MS ? html`<p class="op-note">${icon("clock", 16)}<span>${t("case.clock", { time: clocks(device), skew: skew(off / 1000) })}</span></p>` : ""}${ruleText(op) ? html`<p class="rule">${ruleText(op)}</p>` : ""}`}
    ${op.discarded.map((value) => html`<${Discarded} key=${value.path.join("/")} ...${{ value, short, history }} />`)}</div></li>`;
}
