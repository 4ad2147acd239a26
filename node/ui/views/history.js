// History: who did what, where and by which rule; what did not stay, with its way back; a slider through time.
import { html, useEffect, useState } from "../base.js";
import { clocks, number } from "../formats.js";
import { useHistory, useMoment } from "../history_data.js";
import { useGet } from "../http.js";
import { icon } from "../icons.js";
import { empty, entityLabel, failed, head, loading } from "../parts.js";
import { Ruler } from "../ruler.js";
import { Snapshot } from "../snapshot.js";
import { stepRow } from "../timeline.js";
import { t } from "../words.js";

const kept = new Map();   // "type/id" -> row of the log that one stood at, while the tab lives
const LISTED = 60;        // steps of a time line, and as many more each time
const NEAR = 4;           // that came after the moment shown, where that is far back

export function History({ args: [type, id], query }) {
  return type && id ? html`<${One} type=${type} id=${id} asked=${query.get("op")} />` : html`<${Pick} />`;
}

function Pick() {
  return html`${head(t("hist.title"), t("hist.pick"))}`;
}

function One({ type, id, asked }) {
  const [archives, open] = useState(false), history = useHistory(type, id, archives), key = `${type}/${id}`;
  const [place, stand] = useState(() => (asked === null ? kept.get(key) ?? null : Number(asked))), [onlyLost, only] = useState(false), [listed, more] = useState(LISTED);
  const crumb = html`<div class="crumbs">${type === "orders" ? html`<a class="back" href=${"#/pedidos/" + encodeURIComponent(id)}>${icon("back", 18)}${t("kind.orders")}</a>` : html`<a class="back" href="#/auditoria">${icon("back", 18)}${t("nav.auditoria")}</a>`}</div>`;
  const { data, error } = history, steps = data?.steps ?? [], away = Boolean(data && !steps.length && data.archived !== null && !data.archives);
  useEffect(() => { if (away) open(true); }, [away]);   // nothing of it is left but in archives
  const found = place === null ? -1 : steps.findIndex((step) => step.seq === place), index = found < 0 ? null : found;
  const moment = useMoment(type, id, index === null ? null : place);
  const links = useGet(steps.some((step) => step.written) ? "/api/v1/performance" : null, { hours: 4 });   // what came late had waited for a link
  if (error && error.status !== 404) return html`${crumb}${head(t("hist.title"))}${failed(error, history.again)}`;
  if (error || (data && !steps.length && !away)) return html`${crumb}${head(t("hist.title"))}${empty(t("empty.history"), data?.unread.length ? t("hist.unread", { list: data.unread.join("; ") }) : t("empty.history.text"), html`<a class="button" href="#/auditoria">${t("nav.auditoria")}</a>`)}`;
  if (!steps.length) return html`${crumb}${head(t("hist.title"))}${loading("case")}`;

  const last = steps.length - 1, at = index ?? last, here = index ?? steps.length;   // one place more than steps: now
  const move = (to) => {
    const seq = to > last ? null : steps[Math.max(0, to)].seq;
    kept.set(key, seq);
    stand(seq);
  };
  const time = clocks(steps[at].at), lost = steps.filter((step) => step.losses.length).length;
  const rows = steps.map((step, i) => [step, i]).filter(([step]) => !onlyLost || step.losses.length).reverse();
  // A part of a long line, the moment that is shown in it.
  const stood = index === null ? 0 : Math.max(0, rows.findIndex(([, i]) => i <= index)), first = stood < LISTED ? 0 : Math.max(0, stood - NEAR - (listed - LISTED)), end = Math.min(Math.max(first, stood) + listed, rows.length);
  const further = (n) => (n > 0 ? html`<button type="button" class="button wide" onclick=${() => more(listed + LISTED)}>${t("inbox.showmore", { n: number(Math.min(LISTED, n)) })}</button>` : "");
  return html`${crumb}
    <header class="head"><div><h1 tabindex="-1"><bdi>${entityLabel(type, id, data.entity.data)}</bdi> <span class="h1-side">${t("hist.title").toLowerCase()}</span></h1>${data.entity.deleted ? html`<p class="lead">${t("hist.isdeleted")}</p>` : ""}</div></header>
    <section class="travel" aria-label=${t("hist.slider")}><div class="travel-top"><p class="travel-when"><span>${t(index === null ? "hist.is" : "hist.then")}</span> <strong>${index === null ? t("hist.now") : time}</strong></p>
      <div class="row"><button type="button" class="button square" id="hist-prev" aria-label=${t("hist.prev")} disabled=${here === 0} onclick=${() => move(here - 1)}>${icon("back", 18)}</button><button type="button" class="button square" id="hist-next" aria-label=${t("hist.next")} disabled=${index === null} onclick=${() => move(here + 1)}>${icon("next", 18)}</button>
      <button type="button" class="button" id="hist-now" disabled=${index === null} onclick=${() => move(last + 1)}>${t("hist.backtonow")}</button></div></div>
      <${Ruler} ...${{ steps, index, move, outages: links.data?.outages ?? [], text: index === null ? t("hist.now") : t("hist.step", { time, i: number(at + 1), n: number(steps.length) }) }} /></section>
    <div class="two two-history"><section class="then-now" aria-labelledby="then-title"><h2 id="then-title">${t(index === null ? "hist.is" : "hist.then")} ${index === null ? t("hist.now") : t("at", { time })}</h2>
      <${Snapshot} ...${{ moment: index === null ? { entity: data.entity } : moment, step: index === null ? null : steps[index], history: data }} /></section>
    <section aria-labelledby="line-title"><div class="row spread"><h2 id="line-title">${t("hist.line")}</h2>${lost ? html`<button type="button" class="chip" id="only-lost" aria-pressed=${String(onlyLost)} onclick=${() => only(!onlyLost)}>${t("hist.only")} <span>${number(lost)}</span></button>` : ""}</div>
    ${further(first)}<ol class="line" reversed>${rows.slice(first, end).flatMap(([step, i]) => [...(i === index && i < last && !onlyLost ? [html`<li key="divider" class="divider">${t("hist.after", { time })}</li>`] : []), stepRow(step, { history: data, current: i === index, future: index !== null && i > at })])}</ol>
    ${further(rows.length - end)}
    ${data.archived !== null && !archives ? html`<button type="button" class="button wide" onclick=${() => open(true)}>${t("hist.read")}</button>` : ""}${data.unread.length ? html`<p class="hint">${t("hist.unread", { list: data.unread.join("; ") })}</p>` : ""}</section></div>`;
}
