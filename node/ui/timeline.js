// One step as a row of a time line: who, where, what it changed, and what of it did not stay.
import { html, useState } from "./base.js";
import { same } from "./changes.js";
import { icon } from "./icons.js";
import { clock, clocks, money, number, skew } from "./formats.js";
import { brought, whose } from "./history_data.js";
import { lineText } from "./order_parts.js";
import { priceOf } from "./order_data.js";
import { cut, fieldOf, label, plainEach, sentence, words } from "./parts.js";
import { lossTexts, Restore } from "./restore.js";
import { has, own, t } from "./words.js";

const SHOWN = 12;   // changes of a step that are shown before one asks for the others

// A value as it is shown in a list of changes; texts of people in their own direction.
export const shownValue = (name, value) => shownValues(name, [value])[0];
// Of several, so that those which differ read differently.
const shownValues = (name, values) => plainEach(fieldOf(name, values), values).map((text, i) => (values[i] == null || text === t("value.none") ? html`<span class="none">${t("value.none")}</span>` : words(text)));

const item = (key, cls, sign, quiet, inside) => html`<li key=${key} class=${cls}><span class="sign" aria-hidden="true">${sign}</span><span>${quiet ? html`<span class="quiet">${quiet} </span>` : ""}${inside}</span></li>`;
const isElements = (value) => Array.isArray(value) && value.length > 0 && value.every((one) => one?.id !== undefined);

// row: of changes.js.
function changeRows({ name, of, element, from, to }) {
  if (!of && from === undefined && isElements(to)) return to.map((line) => item(`+${line.id}`, "plus", "+", t("hist.added"), [words(lineText(line)), priceOf(line) === null ? "" : html` <span class="soft">${money(priceOf(line))}</span>`]));
  if (!of && to === undefined && isElements(from)) return from.map((line) => item(`-${line.id}`, "minus", "−", t("hist.took"), html`<s>${words(lineText(line))}</s>`));
  const what = of ? sentence("hist.of", { field: label(name), name: cut(of) }) : label(name);
  const [is, was] = shownValues(name, from === undefined ? [to] : [to, from]);
  return [item(`${element?.id ?? ""}.${name}`, "", "·", "", [what, ": ", from === undefined ? "" : html`<s>${was}</s> → `, html`<strong>${is}</strong>`])];
}

function Changes({ step }) {
  const rows = step.rows.flatMap(changeRows), [all, setAll] = useState(false), hidden = rows.length - SHOWN;
  if (!rows.length) return html`<p class="changes soft">${t(step.operation === "DELETE" ? "hist.deleted" : "hist.nochange")}</p>`;
  return html`<ul class="changes">${all || hidden <= 0 ? rows : rows.slice(0, SHOWN)}${hidden > 0 ? html`<li key="more"><button type="button" class="link" aria-expanded=${all} onclick=${() => setAll(!all)}>${all ? t("long.less") : t("audit.morechanges", { n: number(hidden) })}</button></li>` : ""}</ul>`;
}

// Why it did not stay, as a sentence.
function why(loss) {
  if (loss.pt) return own(loss);
  if (loss.how === "refused") return has(`refused.${loss.code}`) ? t(`refused.${loss.code}`, loss) : loss.error ?? t("hist.why.refused");
  const said = loss.by ? t(`hist.why.${loss.how}`, { name: whose(loss.by), time: clock(new Date(loss.by.arrived_at)) }) : t(has(`hist.why.${loss.how}0`) ? `hist.why.${loss.how}0` : "hist.why.write0");
  return loss.reason ? `${said}: “${loss.reason}”` : said;
}

const FLAGS = { open: "result.conflict", refused: "result.refused", removed: "hist.off", deleted: "value.gone" };

function Loss({ loss, short, history }) {
  const now = history.entity.data, again = loss.path.length === 1 && !history.entity.deleted && !brought.has(loss.id) && loss.fields.every((name) => Object.hasOwn(now, name) && same(now[name], loss.data[name]));
  return html`<div class="discarded"><p><span class="flag">${t(FLAGS[loss.how] ?? "hist.discarded")}</span> ${lossTexts(loss).map(([field, value]) => html`<span key=${field}><span class="discarded-field">${field}</span> <s>${words(value)}</s> </span>`)}</p>
    ${short ? "" : html`<p class="soft">${why(loss)}${again ? ` ${t("hist.again")}` : ""}</p>${again ? "" : loss.how === "open" ? html`<a class="button small" href=${`#/conflitos/${encodeURIComponent(loss.conflict_id)}`}>${icon("need", 16)}${t("hist.open")}</a>` : html`<${Restore} loss=${loss} history=${history} />`}`}</div>`;
}

// The rule that decided, or the person.
function ruleText(step) {
  if (step.kind === "state") return t("hist.state");
  if (step.resolves) return t("rule.person") + (step.reason ? `: “${step.reason}”` : "");
  if (step.restores) return t("rule.restored");
  const key = { merged: "rule.merged", lost: "rule.lost", conflict: "rule.manual" }[step.status];
  return key ? t(key) : "";
}

// history: as useHistory has it. short: on an order's page, without what can be done.
export function stepRow(step, { history, short = false, current = false, future = false }) {
  const off = step.clock?.skew_ms, lost = step.losses.length > 0;
  return html`<li key=${step.seq} class=${`op ${lost ? "op-lost" : ""} ${current ? "op-current" : ""} ${future ? "op-future" : ""}`} aria-current=${current ? "step" : null}>
    <time datetime=${step.at.toISOString()}>${short ? clock(step.at) : clocks(step.at)}</time><span class="dot" aria-hidden="true"></span>
    <div class="op-body"><p class="op-who"><strong><bdi>${whose(step)}</bdi></strong> <span>${step.user_id ? html`<bdi>${step.terminal_id}</bdi>` : ""}${short || !step.node || !step.terminal_id ? "" : html`${step.user_id ? " · " : ""}<bdi>${step.node}</bdi>`}</span>${future ? html`<span class="quiet">${t("hist.future")}</span>` : ""}</p>
    ${step.kind === "refused" ? "" : html`<${Changes} step=${step} />`}
    ${short ? "" : html`${step.written ? html`<p class="op-note">${icon("queue", 16)}<span>${t("hist.written", { time: clocks(step.written) })}</span></p>` : ""}${off ? html`<p class="op-note">${icon("clock", 16)}<span>${t("case.clock", { time: clocks(new Date(step.terminal_timestamp)), skew: skew(off / 1000) })}</span></p>` : ""}${ruleText(step) ? html`<p class="rule">${ruleText(step)}</p>` : ""}`}
    ${step.losses.map((loss) => html`<${Loss} key=${loss.id} ...${{ loss, short, history }} />`)}</div></li>`;
}
