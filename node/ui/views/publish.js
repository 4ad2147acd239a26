// Publishing a list in stores: the file, what its columns are, which stores; and the lists that were published.
import { html, useEffect, useRef, useState } from "../base.js";
import { cut, empty, failed, head, kindName, loading, plain, refusalOf } from "../parts.js";
import { number, when } from "../formats.js";
import { post, useGet } from "../http.js";
import { icon } from "../icons.js";
import { session } from "../session.js";
import { useStore, useWhyNot } from "../store.js";
import { t } from "../words.js";

const EVERY_MS = 10_000;
const EARLIER = [["publish.list", ""], ["publish.when", ""], ["publish.written", "num"]];
const COLUMNS = [["publish.column", ""], ["publish.sample", ""], ["publish.field", ""]];
const ACCEPTED = ".csv,.txt,.json,.jsonl,.ndjson";

const listHead = (columns) => html`<thead role="rowgroup"><tr role="row">${columns.map(([key, cls]) => html`<th key=${key} role="columnheader" scope="col" class=${cls}>${t(key)}</th>`)}</tr></thead>`;
const shown = (value) => cut(plain({ kind: "text" }, value));

// What was read of the file: which column has each row's code, and what the others are. fields: by column.
function Columns({ taken, by, set, fields, rename }) {
  const rest = taken.columns.filter(({ column }) => column !== by);
  return html`<div class="control"><label for="publish-key">${t("publish.key")}</label>
      <select id="publish-key" value=${by} onChange=${(event) => set(event.target.value)}>${taken.columns.map(({ column }) => html`<option key=${column} value=${column}>${column}</option>`)}</select></div>
    <table class="table table-columns" role="table"><caption>${t("publish.columns")}</caption>${listHead(COLUMNS)}
      <tbody role="rowgroup">${rest.map(({ column, sample }, at) => html`<tr key=${column} role="row"><th role="rowheader" scope="row"><bdi>${cut(column)}</bdi></th>
        <td role="cell" data-name=${t("publish.sample")}><bdi>${shown(sample)}</bdi></td>
        <td role="cell"><input type="text" id=${`publish-field-${at}`} aria-label=${t("publish.field.of", { column })} placeholder=${t("publish.out")} autocomplete="off" spellcheck=${false} value=${fields.get(column)} onInput=${(event) => rename(column, event.target.value)} /></td></tr>`)}</tbody></table>`;
}

// Rows that cannot be read at all.
function Problems({ problems }) {
  if (!problems.length) return null;
  return html`<div class="att att-need">${icon("need")}<span><strong>${t("publish.problems")}</strong>${problems.map(({ line, reason }) => html`<small key=${line}>${t("publish.line", { n: number(line) })}: <bdi>${reason}</bdi></small>`)}</span></div>`;
}

// chosen: null for all.
function Targets({ stores, chosen, set }) {
  const toggle = (name) => set(chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name]);
  return html`<fieldset class="segments targets"><legend>${t("publish.to")}</legend><div>${[["all", null], ["some", []]].map(([value, first]) => html`<label key=${value}><input type="radio" name="publish-to" value=${value} checked=${(chosen === null) === (first === null)} onchange=${() => set(first)} /><span>${t(`publish.to.${value}`, { n: number(stores.length) })}</span></label>`)}</div></fieldset>
    ${chosen && html`<ul class="picks" aria-label=${t("publish.to")}>${stores.map((name) => html`<li key=${name}><label><input type="checkbox" checked=${chosen.includes(name)} onChange=${() => toggle(name)} /><span><bdi>${name}</bdi></span></label></li>`)}</ul>`}`;
}

function Form({ stores }) {
  const denied = useWhyNot("operate", "publish"), up = useStore((s) => s.contact.up), policies = useStore((s) => s.policies);
  const [file, choose] = useState(null), [taken, take] = useState(null), [type, setType] = useState("products"), [by, setKey] = useState(""), [chosen, pick] = useState(null);
  const [fields, setFields] = useState(new Map()), [busy, work] = useState(false), [wrong, fail] = useState(""), alert = useRef(null);
  const why = denied && t(up ? "publish.deny" : "off.button");
  useEffect(() => { if (wrong) alert.current?.focus(); }, [wrong]);
  const act = async (make) => {
    work(true);
    fail("");
    try { await make(); } catch (error) { fail(refusalOf(error)); }
    work(false);
  };
  const read = (one) => act(async () => {
    take(null);
    choose(one);
    if (!one) return;
    const found = await post("/api/v1/publish/list", { file: one.name }, one);
    setFields(new Map(found.columns.map(({ column, field }) => [column, field])));
    setKey(found.key);
    take(found);
  });
  const look = (event) => {
    event.preventDefault();
    const columns = Object.fromEntries(taken.columns.map(({ column }) => [column, column === by ? "" : fields.get(column)]));
    act(async () => {
      const { publication } = await post("/api/v1/publish/look", {}, { list: taken.list, file: taken.file, type, key: by, columns, ...(chosen && { sites: chosen }), user: session.user });
      session.awaited = publication;
      location.hash = `#/publicar/${publication}`;
    });
  };
  const types = (policies ?? []).map(({ entity_type: name }) => name);
  return html`<form class="sheet publish" onSubmit=${look} aria-labelledby="publish-new"><h2 id="publish-new">${t("publish.new")}</h2>
    <div class="control"><label for="publish-file">${t("publish.file")}</label><input type="file" id="publish-file" accept=${ACCEPTED} disabled=${Boolean(why) || busy} aria-describedby="publish-what" onChange=${(event) => read(event.target.files[0])} /><p class="hint" id="publish-what">${why || t("publish.what")}</p></div>
    ${wrong && html`<p class="error" role="alert" tabindex="-1" ref=${alert}>${icon("need", 16)}<span>${wrong}</span></p>`}
    ${busy && !taken && file && html`<p class="hint" role="status">${t("publish.reading")}</p>`}
    ${taken && html`<p class="lead" role="status">${t("publish.read", { n: number(taken.rows), file: taken.file })}</p><${Problems} problems=${taken.problems} />
      <div class="control"><label for="publish-type">${t("publish.type")}</label><select id="publish-type" value=${type} onChange=${(event) => setType(event.target.value)}>${(types.length ? types : [type]).map((name) => html`<option key=${name} value=${name}>${kindName(name)}</option>`)}</select></div>
      <${Columns} taken=${taken} by=${by} set=${setKey} fields=${fields} rename=${(column, field) => setFields(new Map([...fields, [column, field]]))} />
      <${Targets} stores=${stores} chosen=${chosen} set=${pick} />
      <div class="row"><button class="button primary" id="publish-look" disabled=${busy || Boolean(why) || chosen?.length === 0}>${t(busy ? "publish.sending" : "publish.look")}</button><span class="hint">${t("publish.look.what")}</span></div>`}</form>`;
}

function Earlier({ rows }) {
  return html`<section class="block" aria-labelledby="publish-earlier"><h2 id="publish-earlier">${t("publish.earlier")}</h2>
    <table class="table table-files" role="table"><caption class="quiet">${t("publish.earlier")}</caption>${listHead(EARLIER)}
    <tbody role="rowgroup">${rows.map((one) => html`<tr key=${one.publication} role="row"><th role="rowheader" scope="row"><a href=${`#/publicar/${encodeURIComponent(one.publication)}`}><bdi>${cut(one.file)}</bdi></a><small>${kindName(one.entity_type)}</small></th>
      <td role="cell" data-name=${t("publish.when")}>${Number.isNaN(Date.parse(one.begun)) ? "—" : when(new Date(one.begun))}</td><td role="cell" data-name=${t("publish.written")} class="num">${t("publish.of", { n: number(one.written), of: number(one.stores) })}</td></tr>`)}</tbody></table></section>`;
}

export function Publish() {
  const denied = useStore((s) => Boolean(s.rights && !s.rights.operate.includes("publish")));
  const realms = useGet("/api/v1/realms"), found = useGet(denied ? null : "/api/v1/publications", {}, { every: EVERY_MS });
  const stores = [...(realms.data?.realms ?? []), ...(realms.data?.elsewhere ?? [])].map(({ realm }) => realm).sort(), rows = found.data?.publications ?? [];
  const back = html`<a class="button" href="#/lojas">${icon("back", 18)}<span>${t("publish.back")}</span></a>`, error = realms.error ?? found.error;
  if (!realms.data) return html`${head(t("publish.title"), "", back)}${error ? failed(error, () => { realms.again(); found.again(); }) : loading("table")}`;
  return html`${head(t("publish.title"), t("publish.lead"), back)}${!stores.length ? empty(t("stores.none"), t("stores.none.text")) : html`<${Form} stores=${stores} />`}
    ${found.error && !found.data ? failed(found.error, found.again) : rows.length > 0 && html`<${Earlier} rows=${rows} />`}`;
}
