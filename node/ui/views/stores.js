// The stores that head office keeps: who is in contact, who lacks something, what waits for a decision, and the last business day.
import { html } from "../base.js";
import { dayOf, number, when } from "../formats.js";
import { useGet } from "../http.js";
import { icon } from "../icons.js";
import { empty, failed, head, loading, pill, sentence } from "../parts.js";
import { storeAddress } from "../session.js";
import { t } from "../words.js";

const EVERY_MS = 5_000;
const DAY_BEGINS_MS = 5 * 3_600_000; // a business day goes on after midnight
const COLUMNS = [["stores.store", ""], ["stores.day", ""], ["stores.conflicts", "num"], ["stores.state", ""]];

const time = (said) => (Number.isNaN(Date.parse(said)) ? null : new Date(said));
const businessDay = (at) => (at ? dayOf(new Date(at - DAY_BEGINS_MS)) : "—");
const away = (one) => !one.wrong && !one.linked?.length;

function State({ one }) {
  const waits = (one.lag ?? 0) + (one.behind ?? 0), seen = time(one.last_seen);
  if (one.wrong) return html`${pill("need")}<small><bdi>${one.wrong}</bdi></small>`;
  if (away(one)) return html`<span class="pill pill-none">${icon("away", 16)}<span>${t("state.nocontact")}</span></span><small>${seen ? t("stores.seen", { time: when(seen) }) : t("stores.never")}${one.lag ? ` · ${t("stores.lag", { n: number(one.lag) })}` : ""}</small>`;
  return waits ? html`${pill("queue", waits)}<small>${t("stores.waits", { lag: number(one.lag ?? 0), behind: number(one.behind ?? 0) })}</small>` : pill("synced");
}

function Row({ one }) {
  return html`<tr role="row" class=${away(one) ? "off" : ""}><th role="rowheader" scope="row"><a href=${storeAddress(one.realm)}><bdi>${one.realm}</bdi></a></th>
    <td role="cell" data-name=${t("stores.day")}>${businessDay(time(one.last_operation))}</td>
    <td role="cell" data-name=${t("stores.conflicts")} class="num">${number(one.conflicts ?? 0)}</td>
    <td role="cell" class="state"><${State} one=${one} /></td></tr>`;
}

// Of which nothing is kept here: another process of head office says how it is.
function Elsewhere({ one }) {
  return html`<tr role="row"><th role="rowheader" scope="row"><a href=${storeAddress(one.realm)}><bdi>${one.realm}</bdi></a></th>
    <td role="cell" data-name=${t("stores.day")}>—</td><td role="cell" data-name=${t("stores.conflicts")} class="num">—</td>
    <td role="cell" class="state"><small>${one.owner ? sentence("stores.elsewhere", { owner: one.owner }) : t("stores.elsewhere.nobody")}</small></td></tr>`;
}

export function Stores() {
  const { data, error, again } = useGet("/api/v1/realms", {}, { every: EVERY_MS }), kept = data?.realms ?? [], elsewhere = data?.elsewhere ?? [], stores = [...kept, ...elsewhere];
  const gone = kept.filter(away).length, open = kept.reduce((sum, one) => sum + (one.conflicts ?? 0), 0);
  const lead = data && t("stores.lead", { n: number(stores.length), gone: number(gone), open: number(open) });
  const publish = stores.length > 0 && html`<a class="button" id="to-publish" href="#/publicar">${icon("next", 18)}<span>${t("stores.publish")}</span></a>`;
  return html`${head(t("stores.title"), lead, publish)}${!data ? (error ? failed(error, again) : loading("table")) : !stores.length ? empty(t("stores.none"), t("stores.none.text"))
    : html`<table class="table table-stores" role="table"><caption class="quiet">${t("stores.title")}</caption>
      <thead role="rowgroup"><tr role="row">${COLUMNS.map(([key, cls]) => html`<th key=${key} role="columnheader" scope="col" class=${cls}>${t(key)}</th>`)}</tr></thead>
      <tbody role="rowgroup">${kept.map((one) => html`<${Row} key=${one.realm} one=${one} />`)}${elsewhere.map((one) => html`<${Elsewhere} key=${one.realm} one=${one} />`)}</tbody></table>`}`;
}
