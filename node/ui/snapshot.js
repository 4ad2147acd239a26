// An entity as it was at a moment, with what that moment changed marked, and the way back for what is otherwise now.
import { html } from "./base.js";
import { differences, same } from "./history_data.js";
import { isLine } from "./order_data.js";
import { linesTable } from "./order_parts.js";
import { label } from "./parts.js";
import { Restore } from "./restore.js";
import { shownValue } from "./timeline.js";
import { t } from "./words.js";

const APART = ["items", "total", "version"];   // of an order: lines and total stand below

// moment: {entity, error}; entity null where it was not there. op: the operation of that moment, null for now.
export function Snapshot({ moment, op, history }) {
  const { entity, error } = moment;
  if (error) return html`<p class="nothing">${t(error.status === 410 ? "hist.archived" : "fail.away")}</p>`;
  if (!entity) return html`<p class="nothing">${t(entity === null ? "hist.before" : "load")}</p>`;
  const touched = new Map((op?.changes ?? []).map((change) => [change.name, change]));
  const { data } = entity, order = history.type === "orders", now = history.entity.data;
  const scalars = Object.entries(data).filter(([name]) => name !== "version" && !(order && APART.includes(name)));
  const lines = touched.get("items"), fresh = new Set([...(lines?.added ?? []), ...(lines?.altered ?? []).map((change) => change.element)].map((line) => line.id));
  const missing = new Set(op && order ? differences(now, data).find((change) => change.name === "items")?.added?.map((line) => line.id) : []);
  return html`${op ? html`<p class="touched-note"><span class="swatch" aria-hidden="true"></span>${t("hist.touched", { name: op.user_id || op.terminal_id })}</p>` : ""}
    ${entity.deleted ? html`<p class="flag">${t("value.gone")}</p>` : ""}
    <div class=${entity.deleted ? "paper paper-gone" : "paper"}>${scalars.length ? html`<dl class="facts">${scalars.map(([name, value]) => html`<div key=${name} class=${touched.has(name) ? "touched" : ""}><dt>${label(name)}</dt><dd>${shownValue(name, value)}${back(name)}</dd></div>`)}</dl>` : ""}
    ${order ? linesTable(data, { marked: (line) => fresh.has(line.id), totalMarked: touched.has("total"), after: (line) => (missing.has(line.id) ? past(["items", line.id], line) : "") }) : ""}${order ? back("total") : ""}</div>`;

  // The button by which a value of then comes back, where there is another one now.
  function back(name) {
    if (!op || entity.deleted || history.entity.deleted || !(name in data) || same(data[name], now[name]) || isLine(data[name])) return "";
    return past([name], data[name]);
  }
  function past(path, value) {
    const upto = history.operations.indexOf(op), [name] = path;
    const writes = (operation) => operation.changes.some((change) => change.name === name);
    const author = history.operations.slice(0, upto + 1).findLast(writes) ?? op, by = history.operations.slice(upto + 1).findLast(writes) ?? null;
    return html`<${Restore} key=${path.join("/")} value=${{ field: name, path, value, data: { [name]: value }, terminal_id: author.terminal_id, operation_id: author.operation_id, user_id: author.user_id, by }} history=${history} />`;
  }
}
