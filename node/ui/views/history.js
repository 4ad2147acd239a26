// History: who did what, where and by which rule; what did not stay, with its way back; a slider through time.
import { html, say, useCallback, useEffect, useMemo, useRef, useState } from "../base.js";
import { clock, clocks, number, when } from "../formats.js";
import { useHistory, useMoment } from "../history_data.js";
import { icon } from "../icons.js";
import { empty, entityLabel, failed, head, historyOf, kindName, loading } from "../parts.js";
import { Ruler } from "../ruler.js";
import { Snapshot } from "../snapshot.js";
import { operationRow } from "../timeline.js";
import { t } from "../words.js";

const kept = new Map();   // "type/id" -> id of the operation that one stood at, while the tab lives
const LISTED = 60;        // operations of a time line, and as many more each time

export function History({ args: [type, id], query }) {
  return type && id ? html`<${One} type=${type} id=${id} asked=${query.get("op")} />` : html`<${Pick} />`;
}

function Pick() {
  return html`${head(t("hist.title"), t("hist.pick"))}`;
}

function One({ type, id, asked }) {
  const history = useHistory(type, id), key = `${type}/${id}`;
  const [place, stand] = useState(() => asked ?? kept.get(key) ?? null), [onlyLost, only] = useState(false), [listed, more] = useState(LISTED);
  const crumb = html`<div class="crumbs">${type === "orders" ? html`<a class="back" href=${"#/pedidos/" + encodeURIComponent(id)}>${icon("back", 18)}${t("kind.orders")}</a>` : html`<a class="back" href="#/auditoria">${icon("back", 18)}${t("nav.auditoria")}</a>`}</div>`;
  const { data, error } = history, operations = data?.operations ?? [];
  const found = place === null ? -1 : operations.findIndex((op) => op.id === place || op.operation_id === place), index = found < 0 ? null : found;
  const moment = useMoment(type, id, index === null ? null : operations[index].at);
  if (error && error.status !== 404) return html`${crumb}${head(t("hist.title"))}${failed(error, history.again)}`;
  if (error || (data && !operations.length)) return html`${crumb}${head(t("hist.title"))}${empty(t("empty.history"), t("empty.history.text"), html`<a class="button" href="#/auditoria">${t("nav.auditoria")}</a>`)}`;
  if (!data) return html`${crumb}${head(t("hist.title"))}${loading("case")}`;

  const last = operations.length - 1, at = index ?? last, step = index ?? operations.length;   // one place more than operations: now
  const move = (to) => {
    const op = to > last ? null : operations[Math.max(0, to)].id;
    kept.set(key, op);
    stand(op);
  };
  const time = clocks(operations[at].at), lost = operations.filter((op) => op.discarded.length).length;
  const rows = operations.map((op, i) => [op, i]).filter(([op]) => !onlyLost || op.discarded.length).reverse();
  const shown = Math.max(listed, index === null ? 0 : rows.findIndex(([, i]) => i === index) + 1);
  return html`${crumb}
    <header class="head"><div><h1 tabindex="-1"><bdi>${entityLabel(type, id, data.entity.data)}</bdi> <span class="h1-side">${t("hist.title").toLowerCase()}</span></h1>${data.entity.deleted ? html`<p class="lead">${t("hist.isdeleted")}</p>` : ""}</div></header>
    <section class="travel" aria-label=${t("hist.slider")}><div class="travel-top"><p class="travel-when"><span>${t("hist.then")}</span> <strong>${index === null ? t("hist.now") : time}</strong></p>
      <div class="row"><button type="button" class="button square" id="hist-prev" aria-label=${t("hist.prev")} disabled=${step === 0} onclick=${() => move(step - 1)}>${icon("back", 18)}</button><button type="button" class="button square" id="hist-next" aria-label=${t("hist.next")} disabled=${index === null} onclick=${() => move(step + 1)}>${icon("next", 18)}</button>
      <button type="button" class="button" id="hist-now" disabled=${index === null} onclick=${() => move(last + 1)}>${t("hist.backtonow")}</button></div></div>
      <${Ruler} ...${{ operations, index, move, text: index === null ? t("hist.now") : t("hist.step", { time, i: number(at + 1), n: number(operations.length) }) }} /></section>
    <div class="two two-history"><section class="then-now" aria-labelledby="then-title"><h2 id="then-title">${t("hist.then")} ${index === null ? t("hist.now") : t("at", { time })}</h2>
      <${Snapshot} ...${{ moment: index === null ? { entity: data.entity } : moment, op: index === null ? null : operations[index], history: data }} /></section>
    <section aria-labelledby="line-title"><div class="row spread"><h2 id="line-title">${t("hist.line")}</h2>${lost ? html`<button type="button" class="chip" id="only-lost" aria-pressed=${String(onlyLost)} onclick=${() => only(!onlyLost)}>${t("hist.only")} <span>${number(lost)}</span></button>` : ""}</div>
    <ol class="line" reversed>${rows.slice(0, shown).map(([op, i]) => [index !== null && i === at && at < last && !onlyLost ? html`<li key="divider" class="divider">${t("hist.after", { time })}</li>` : "", operationRow(op, { history: data, current: i === index, future: index !== null && i > at })])}</ol>
    ${shown < rows.length ? html`<button type="button" class="button wide" onclick=${() => more(shown + LISTED)}>${t("inbox.showmore", { n: number(Math.min(LISTED, rows.length - shown)) })}</button>` : ""}</section></div>`;
}
