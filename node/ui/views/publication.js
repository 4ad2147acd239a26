// One list on its way into stores: what it changes, who has it and who not yet.
import { html, say, useEffect, useRef, useState } from "../base.js";
import { number, when } from "../formats.js";
import { post, useGet } from "../http.js";
import { icon } from "../icons.js";
import { cut, empty, failed, fieldOf, head, label, loading, pill, plainEach, refusalOf } from "../parts.js";
import { session } from "../session.js";
import { useStore, useWhyNot } from "../store.js";
import { t } from "../words.js";

const WORKING_MS = 1_000, RESTING_MS = 5_000;
const CHANGES = [["publish.record", ""], ["publish.before", ""], ["publish.after", ""], ["publish.stores", "num"]];
const REFUSED = [["publish.row", "num"], ["publish.column", ""], ["publish.sample", ""], ["publish.why", ""]];
const STORES = [["stores.store", ""], ["publish.created", "num"], ["publish.changed", "num"], ["publish.unchanged", "num"], ["publish.refused", "num"], ["stores.state", ""]];
const COUNTS = ["created", "changed", "unchanged", "refused"];

function Table({ name, columns, children }) {
  return html`<table class="table table-${name}" role="table"><caption class="quiet">${t(`publish.${name}`)}</caption>
    <thead role="rowgroup"><tr role="row">${columns.map(([key, cls]) => html`<th key=${key} role="columnheader" scope="col" class=${cls}>${t(key)}</th>`)}</tr></thead><tbody role="rowgroup">${children}</tbody></table>`;
}
const cell = (key, value, cls = "") => html`<td role="cell" class=${cls} data-name=${t(key)}>${value}</td>`;

// The same change in many stores is one row.
function Changes({ preview }) {
  const { changes, more } = preview;
  if (!changes.length) return html`<p class="nothing">${t("publish.nothing")}</p>`;
  return html`<${Table} name="changes" columns=${CHANGES}>${changes.map((one, at) => {
    const [before, after] = plainEach(fieldOf(one.field, [one.before, one.after]), [one.before, one.after]).map((text) => cut(text));
    return html`<tr key=${at} role="row"><th role="rowheader" scope="row"><bdi>${cut(one.entity_id)}</bdi><small><bdi>${cut(label(one.field))}</bdi></small></th>
      ${cell("publish.before", one.created ? html`<span class="none">${t("publish.new.there")}</span>` : html`<bdi>${before}</bdi>`)}${cell("publish.after", html`<strong><bdi>${after}</bdi></strong>`)}${cell("publish.stores", number(one.stores), "num")}</tr>`;
  })}<//>${more > 0 && html`<p class="hint">${t("publish.more", { n: number(more) })}</p>`}`;
}

function Refused({ refusals }) {
  if (!refusals.length) return null;
  return html`<section class="block" aria-labelledby="refused"><h2 id="refused">${t("publish.refusals")}</h2><p class="lead">${t("publish.refusals.lead")}</p>
    <${Table} name="refusals" columns=${REFUSED}>${refusals.map((one, at) => html`<tr key=${at} role="row"><th role="rowheader" scope="row" class="num">${number(one.line)}</th>
      ${cell("publish.column", html`<bdi>${cut(one.column || "—")}</bdi>`)}${cell("publish.sample", html`<bdi>${one.value == null ? "—" : cut(String(one.value))}</bdi>`)}${cell("publish.why", html`<bdi>${one.reason}</bdi>`)}</tr>`)}<//></section>`;
}

function State({ one }) {
  if (one.wrong) return html`${pill("need")}<small><bdi>${one.wrong}</bdi></small>`;
  if (one.state === "delivered") return html`${pill("synced")}<small>${t("publish.delivered", { node: one.node ?? "" })}</small>`;
  if (one.state === "sent") return html`${pill("queue")}<small>${t("publish.sent")}</small>`;
  return html`<span class="pill pill-none"><span>${t("publish.missing")}</span></span>`;
}

// rows: of what was looked at, what would be done there; else what was.
function Sites({ rows, looked }) {
  return html`<section class="block" aria-labelledby="sites"><h2 id="sites">${t("publish.sites")}</h2><${Table} name="sites" columns=${STORES}>${rows.map((one) => html`<tr key=${one.site} role="row"><th role="rowheader" scope="row"><bdi>${one.site}</bdi></th>
    ${COUNTS.map((name) => cell(`publish.${name}`, number(one[name] ?? 0), "num"))}<td role="cell" class="state">${looked && !one.wrong ? html`<span class="pill pill-none"><span>${t("publish.looked")}</span></span>` : html`<${State} one=${one} />`}</td></tr>`)}<//></section>`;
}

function Working({ work, stop, busy }) {
  return html`<section class="banner" aria-labelledby="working" aria-busy="true">${icon("syncing")}<div><h2 id="working">${t(`publish.${work.what}.run`, { n: number(work.stores), of: number(work.of) })}</h2>
    <p>${work.site ? html`<bdi>${work.site}</bdi>${work.what === "send" && work.total > 0 ? ` · ${t("publish.of", { n: number(work.done), of: number(work.total) })}` : ""}` : ""}</p></div>
    <progress max=${work.of} value=${work.stores + (work.what === "send" && work.total ? work.done / work.total : 0)} aria-labelledby="working" /><button type="button" class="button" id="publish-stop" disabled=${busy} onClick=${stop}>${t("publish.stop")}</button></section>`;
}

const lacks = (one) => one.state === "missing" || Boolean(one.wrong);

function leadOf(data, looked) {
  const all = data.stores.length, there = data.stores.filter(({ state, wrong }) => state === "delivered" && !wrong).length, missing = data.stores.filter(lacks).length;
  if (!looked) return t("publish.state", { there: number(there), of: number(all), missing: number(missing) });
  const { created, changed, stores, refused } = data.work.preview;
  return t("publish.would", { created: number(created), changed: number(changed), stores: number(stores), refused: number(refused) });
}

export function Publication({ args }) {
  const [every, setEvery] = useState(WORKING_MS), [busy, work] = useState(false), [wrong, fail] = useState(""), button = useRef(null);
  const found = useGet(`/api/v1/publications/${encodeURIComponent(args[0])}`, {}, { every }), { data, error, again } = found;
  const denied = useWhyNot("operate", "publish"), up = useStore((s) => s.contact.up), why = denied && t(up ? "publish.deny" : "off.button");
  const running = Boolean(data?.work?.running), was = useRef(session.awaited === args[0]);
  const looked = data?.work?.what === "look" && !running, planned = looked ? data.planned : null;
  useEffect(() => setEvery(running || !data ? WORKING_MS : RESTING_MS), [running, !data]);
  // What was waited for is said once, and the next step has the focus where nothing else was chosen meanwhile.
  useEffect(() => {
    if (!data) return;  // a short look may be over before anything is known of it
    if (was.current && !running) {
      say(leadOf(data, looked));
      if (document.activeElement === document.body || document.activeElement?.tagName === "H1") button.current?.focus();
    }
    was.current = running;
    session.awaited = null;
  }, [running, !data]);
  const act = async (path, body) => {
    work(true);
    fail("");
    try { await post(path, {}, body); await again(); } catch (refusal) { fail(refusalOf(refusal)); }
    work(false);
  };
  const back = html`<a class="button" href="#/publicar">${icon("back", 18)}<span>${t("publish.title")}</span></a>`;
  if (!data) return html`${head(t("publish.title"), "", back)}${error?.status === 404 ? empty(t("publish.gone"), t("publish.gone.text")) : error ? failed(error, again) : loading("table")}`;
  const missing = data.stores.filter(lacks).map(({ site }) => site), whole = !looked || data.work.stores === data.work.of;
  const does = looked ? whole && (data.work.preview.created + data.work.preview.changed > 0 || missing.length > 0) : data.kept && missing.length > 0;
  const send = () => act("/api/v1/publish/send", { publication: data.publication, user: session.user, ...(looked ? {} : { sites: missing }) });
  return html`${head(html`<bdi>${cut(data.file)}</bdi>`, running ? "" : leadOf(data, looked), back)}
    ${running && html`<${Working} work=${data.work} busy=${busy} stop=${() => act("/api/v1/publish/stop", {})} />`}
    ${data.work?.wrong && html`<section class="banner banner-need" role="alert">${icon("need")}<div><p><bdi>${data.work.wrong}</bdi></p></div></section>`}
    ${!running && does && html`<div class="row publish-do"><button type="button" class="button primary" id="publish-send" ref=${button} disabled=${busy || Boolean(why)} aria-describedby="publish-why" onClick=${send}>${t(busy ? "publish.sending" : looked ? "publish.send" : "publish.rest", { n: number(looked ? data.work.of : missing.length) })}</button><p class="hint" id="publish-why">${why || t(looked ? "publish.send.what" : "publish.rest.what")}</p></div>`}
    ${!running && !whole && html`<p class="hint">${t("publish.cut")}</p>`}
    ${!running && !looked && missing.length > 0 && !data.kept && html`<p class="hint">${t("publish.notkept")}</p>`}
    ${wrong && html`<p class="error" role="alert">${icon("need", 16)}<span>${wrong}</span></p>`}
    ${looked && html`<section class="block" aria-labelledby="changes"><h2 id="changes">${t("publish.changes")}</h2><${Changes} preview=${data.work.preview} /></section>`}
    ${data.work && !running && html`<${Refused} refusals=${data.work.preview.refusals} />`}
    <${Sites} rows=${planned ?? data.stores} looked=${looked} />${Number.isNaN(Date.parse(data.begun)) ? "" : html`<p class="hint">${t("publish.begun", { time: when(new Date(data.begun)) })}</p>`}`;
}
