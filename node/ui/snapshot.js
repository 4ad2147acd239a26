// An entity as it was at a moment, with what that moment changed marked, and the way back for what is otherwise now.
import { html, member } from "./base.js";
import { same } from "./changes.js";
import { brought, lastChange, whose } from "./history_data.js";
import { linesOf } from "./order_data.js";
import { linesTable } from "./order_parts.js";
import { label } from "./parts.js";
import { Restore } from "./restore.js";
import { shownValue } from "./timeline.js";
import { t } from "./words.js";

const BELOW = ["items", "total"];   // of an order: its lines and their total

// moment: {entity, error}; entity null where it was not there. step: of that moment, null for now.
export function Snapshot({ moment, step, history }) {
  const { entity, error } = moment;
  if (error) return html`<p class="nothing">${t(error.status === 410 ? "hist.archived" : "fail.away")}</p>`;
  if (!entity) return html`<p class="nothing">${t(entity === null ? "hist.before" : "load")}</p>`;
  const { data } = entity, order = history.type === "orders", now = history.entity, then = step && !entity.deleted && !now.deleted && !now.conflicts.length;
  const rows = step?.rows ?? [], touched = new Set(rows.map((row) => row.list ?? row.name));
  const lines = new Set(rows.flatMap((row) => (row.element ? [row.element.id] : row.name === "items" && Array.isArray(row.to) ? row.to.map((line) => line.id) : [])));
  const kept = new Set(linesOf(now.data).map((line) => line.id));
  // The button by which a value of then comes back.
  const idOf = (path) => `${step.seq}/${path.join("/")}`;
  const past = (path, value, author) => html`<${Restore} key=${path.join("/")} history=${history} loss=${{ how: "past", fields: [path[0]], path, data: { [path[0]]: path.length > 1 ? [value] : value }, of: author, operation: author, id: idOf(path) }} />`;
  const back = (name) => (then && Object.hasOwn(data, name) && (!same(data[name], member(now.data, name)) || brought.has(idOf([name]))) ? past([name], data[name], lastChange(history.steps.slice(0, history.steps.indexOf(step) + 1), name) ?? step) : "");
  const facts = Object.entries(data).filter(([name]) => name !== "version" && !(order && BELOW.includes(name)));
  return html`${step ? html`<p class="touched-note"><span class="swatch" aria-hidden="true"></span>${t("hist.touched", { name: whose(step) })}</p>` : ""}
    ${entity.deleted ? html`<p class="flag">${t("value.gone")}</p>` : ""}
    <div class=${entity.deleted ? "paper paper-gone" : "paper"}>${facts.length ? html`<dl class="facts">${facts.map(([name, value]) => html`<div key=${name} class=${touched.has(name) ? "touched" : ""}><dt>${label(name)}</dt><dd>${shownValue(name, value)}${back(name)}</dd></div>`)}</dl>` : ""}
    ${order ? html`${linesTable(data, { marked: (line) => lines.has(line.id), totalMarked: touched.has("total"), after: (line) => (then && line.id !== undefined && !kept.has(line.id) ? past(["items", String(line.id)], line, step) : "") })}${back("total")}` : ""}</div>`;
}
