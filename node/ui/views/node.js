// The node itself: is it well, what is it set to, where are the copies, what could not be applied.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../base.js";
import { ago, bytes, number, when } from "../formats.js";
import { post, useGet } from "../http.js";
import { icon } from "../icons.js";
import { failed, head, loading } from "../parts.js";
import { useStore, useWhyNot } from "../store.js";
import { own, t } from "../words.js";

const EVERY_MS = 10_000;

// What is looked after, the findings that concern it, and where more is seen.
const AREAS = [
  { id: "store", of: ["no_database", "not_storing", "disk_low", "disk_full", "wal", "not_running", "unwritable", "archive_failed", "archive_held", "archive_late"] },
  { id: "links", of: ["link_down", "link_refused", "node_away", "behind", "twins", "head_alarms", "contradictions", "too_large", "shared_terminals", "version"], go: "#/terminais" },
  { id: "quarantine", of: ["quarantine"] },
  { id: "clock", of: ["clock", "terminal_clock", "node_clock"] },
  { id: "backup", of: ["backup_failed", "backup_old"] },
  { id: "decisions", of: ["conflicts"], go: "#/conflitos" },
  { id: "access", of: ["certificate", "certificate_over", "certificate_unreadable", "exposed", "token_refused", "offered", "configuration", "port_taken", "absent"] },
];
const areaOf = (code) => AREAS.find(({ of }) => of.includes(code)) ?? AREAS.at(-1);

// What the node says has times as programs write them.
const inWords = (said) => own(said).replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, (time) => when(new Date(time)));

function Health({ findings }) {
  return html`<section class="sheet" aria-labelledby="health"><h2 id="health">${t("node.health")}</h2><ul class="checks">${AREAS.map((area) => {
    const wrong = findings.filter(({ code }) => areaOf(code) === area), worst = wrong.some(({ level }) => level === "error") ? "not" : "look";
    return html`<li key=${area.id} class=${wrong.length ? worst : "ok"}>${icon(wrong.length ? "need" : "synced")}<span><strong>${t(`node.area.${area.id}`)}</strong>${
      wrong.length ? wrong.map((one) => html`<small key=${one.code + one.about}>${one.about && html`<bdi>${one.about}</bdi>: `}${inWords(one)}. ${t("node.remedy", { what: inWords({ pt: one.remedy_pt, en: one.remedy_en }) })}</small>`) : html`<small>${t(`node.area.${area.id}.ok`)}</small>`
    }</span>${wrong.length > 0 && area.go && html`<a class="button small" href=${area.go}>${t("node.see")}<span class="quiet"> ${t(`node.area.${area.id}`)}</span></a>`}</li>`;
  })}</ul></section>`;
}

const fact = (key, value) => html`<div><dt>${t(key)}</dt><dd>${value}</dd></div>`;

function Disk({ free, total }) {
  return html`<span class="disk">${t("node.free", { a: bytes(free), b: bytes(total) })}<svg class="gauge" width="100%" height="8" aria-hidden="true"><rect class="gauge-all" width="100%" height="8" rx="4" /><rect class="gauge-used" width=${`${Math.round(100 * (1 - free / total))}%`} height="8" rx="4" /></svg></span>`;
}

function About({ about }) {
  const up = Math.floor((Date.now() - Date.parse(about.started_at)) / 60_000), { free_bytes: free, total_bytes: total } = about.disk;
  return html`<section class="sheet" aria-labelledby="about"><h2 id="about">${t("node.about")}</h2><dl class="facts">
    ${fact("node.version", about.version)}${fact("node.uptime", t("node.hm", { h: number(Math.floor(up / 60)), m: up % 60 }))}${fact("node.engine", html`<code>${about.engine}</code>`)}
    ${fact("node.address", html`<code>${about.addresses.join(", ")}</code>`)}${fact("node.directory", html`<code>${about.directory}</code>`)}
    ${fact("node.database", bytes(about.database_bytes))}${total > 0 && fact("node.disk", html`<${Disk} free=${free} total=${total} />`)}</dl></section>`;
}

// What a button did or why it did not, said at the button.
function Outcome({ said }) {
  return html`<p class=${said?.wrong ? "error" : "hint"} role=${said?.wrong ? "alert" : "status"}>${said?.text}</p>`;
}

// Acts one at a time: {busy, said, act(promise-maker, sentence-maker)}.
function useAct() {
  const [state, set] = useState({ busy: false, said: null });
  const act = async (make, tell) => {
    set({ busy: true, said: null });
    try {
      set({ busy: false, said: { text: tell(await make()) } });
    } catch (error) {
      set({ busy: false, said: { wrong: true, text: t(error.status === 403 ? "node.denied" : error.status ? "node.failed" : "off.button", { why: error.message }) } });
    }
  };
  return { ...state, act };
}

const COLUMNS = [["node.file", ""], ["node.when", ""], ["node.size", "num"]];

function Files({ caption, files }) {
  return html`<table class="table table-files" role="table"><caption class="quiet">${caption}</caption>
    <thead role="rowgroup"><tr role="row">${COLUMNS.map(([key, cls]) => html`<th key=${key} role="columnheader" scope="col" class=${cls}>${t(key)}</th>`)}</tr></thead>
    <tbody role="rowgroup">${files.map((one) => html`<tr key=${one.file} role="row"><th role="rowheader" scope="row"><code>${one.file}</code>${one.rows != null && html`<small>${t("node.rows", { n: number(one.rows) })}</small>`}</th>
      <td role="cell" data-name=${t("node.when")}>${when(new Date(one.at))}</td><td role="cell" data-name=${t("node.size")} class="num">${bytes(one.bytes)}</td></tr>`)}</tbody></table>`;
}

function Backups() {
  const why = useWhyNot("operate", "backup"), found = useGet("/api/v1/backups"), { busy, said, act } = useAct();
  const make = () => act(() => post("/api/v1/backup"), (answer) => { found.again(); return t("node.backup.done", { file: answer.backup }); });
  const files = found.data?.backups;
  return html`<section class="block" aria-labelledby="backups"><div class="row spread"><h2 id="backups">${t("node.backups")}</h2>
      <button type="button" class="button" id="backup" disabled=${Boolean(why) || busy} aria-describedby="backup-why" onClick=${make}>${icon("save", 18)}${t(busy ? "node.backup.run" : "node.backup")}</button></div>
    <p class="hint" id="backup-why">${why}</p><${Outcome} said=${said} />
    ${files?.length ? html`<${Files} caption=${t("node.backups")} files=${files} />` : found.data && html`<p class="nothing">${t("node.nobackups")}</p>`}</section>`;
}

function ArchiveForm({ busy, archive, close }) {
  const until = useRef(null), [missing, setMissing] = useState(false);
  useEffect(() => until.current.focus(), []);
  const submit = (event) => {
    event.preventDefault();
    setMissing(!until.current.value);
    if (until.current.value) archive(new Date(until.current.value).toISOString()); else until.current.focus();
  };
  return html`<form class="ask ask-archive" onSubmit=${submit} noValidate><label for="archive-until">${t("node.archive.until")}</label>
    <input id="archive-until" ref=${until} type="datetime-local" aria-describedby="archive-what" aria-invalid=${missing} /><p class="hint" id="archive-what">${t("node.archive.what")}</p>
    ${missing && html`<p class="error" role="alert">${t("node.archive.missing")}</p>`}
    <div class="row"><button class="button primary small" disabled=${busy}>${t(busy ? "node.archive.run" : "node.archive.go")}</button><button type="button" class="button small" onClick=${close}>${t("settled.no")}</button></div></form>`;
}

function Archives() {
  const why = useWhyNot("operate", "archive"), found = useGet("/api/v1/archives"), { busy, said, act } = useAct(), [open, setOpen] = useState(false), button = useRef(null);
  const close = () => { setOpen(false); requestAnimationFrame(() => button.current?.focus()); };
  const told = ({ archived, file, held_by: holder }) => (archived ? t("node.archive.done", { n: number(archived), file }) : holder ? t("node.archive.held", { node: holder }) : t("node.archive.none"));
  const archive = (until) => act(() => post("/api/v1/archive", { until }), (answer) => { close(); found.again(); return told(answer); });
  const files = found.data?.archives.map((one) => ({ ...one, rows: one.last - one.first + 1 })).reverse();
  return html`<section class="block" aria-labelledby="archives"><div class="row spread"><h2 id="archives">${t("node.archives")}</h2>
      <button type="button" class="button" id="archive" ref=${button} disabled=${Boolean(why)} aria-expanded=${open} aria-describedby="archive-why" onClick=${() => setOpen(true)}>${t("node.archive")}</button></div>
    <p class="hint" id="archive-why">${why}</p>${open && html`<${ArchiveForm} busy=${busy} archive=${archive} close=${close} />`}<${Outcome} said=${said} />
    ${files?.length ? html`<${Files} caption=${t("node.archives")} files=${files} />` : found.data && html`<p class="nothing">${t("node.noarchives")}</p>`}</section>`;
}

function Quarantine() {
  const why = useWhyNot("operate", "quarantine"), found = useGet(why ? null : "/api/v1/quarantine", {}, { every: EVERY_MS }), { busy, said, act } = useAct(), [asking, setAsking] = useState(null);
  const parked = found.data?.quarantine ?? [];
  if (!parked.length && !said) return null;
  const retry = () => act(() => post("/api/v1/quarantine/retry"), ({ retried, left }) => { found.again(); return t("node.quarantine.retried", { n: number(retried), left: number(left) }); });
  const asked = useRef(null), ask = (id) => { asked.current = id === null ? `drop-${asking}` : `drop-yes-${id}`; setAsking(id); };
  const drop = (id) => act(() => post("/api/v1/quarantine/drop", { id }), () => { ask(null); asked.current = "quarantine"; found.again(); return t("node.quarantine.dropped"); });
  useLayoutEffect(() => { if (asked.current) document.getElementById(asked.current)?.focus(); asked.current = null; }, [asking]);
  return html`<section class="block" aria-labelledby="quarantine"><div class="row spread"><h2 id="quarantine" tabindex="-1">${t("net.quarantine")} <span class="n">${number(parked.length)}</span></h2>
      <button type="button" class="button" id="retry" disabled=${busy || !parked.length} onClick=${retry}>${t("node.quarantine.retry")}</button></div>
    <p class="lead">${t("node.quarantine.lead")}</p><${Outcome} said=${said} />
    <ul class="atts">${parked.map((one) => html`<li key=${one.id} class="att att-need">${icon("need")}<span><strong><bdi>${one.entity_type} ${one.entity_id}</bdi></strong>
      <small>${t("node.quarantine.from", { node: one.from, terminal: one.terminal_id, time: when(new Date(one.at)) })} <bdi>${one.reason}</bdi></small></span>${asking === one.id
        ? html`<div class="ask" role="group" aria-label=${t("node.quarantine.ask")} onKeyDown=${(event) => { if (event.key === "Escape") ask(null); }}><p><strong>${t("node.quarantine.ask")}</strong> ${t("node.quarantine.ask2")}</p><div class="row"><button type="button" class="button primary small" id=${`drop-yes-${one.id}`} disabled=${busy} onClick=${() => drop(one.id)}>${t("node.quarantine.drop")}</button><button type="button" class="button small" onClick=${() => ask(null)}>${t("settled.no")}</button></div></div>`
        : html`<button type="button" class="button small" id=${`drop-${one.id}`} onClick=${() => ask(one.id)}>${t("node.quarantine.drop")}<span class="quiet"> ${one.entity_id}</span></button>`}</li>`)}</ul></section>`;
}

const shownSetting = (value) => (value == null || value === "" ? "—" : Array.isArray(value) ? value.map(shownSetting).join(", ") || "—" : typeof value === "object" ? Object.entries(value).map(([name, one]) => `${name}: ${shownSetting(one)}`).join("; ") || "—" : String(value));

function Configuration({ settings, file }) {
  const sections = new Map();
  for (const { key, value } of settings) {
    const at = key.indexOf("."), section = at < 0 ? key : key.slice(0, at);
    if (!sections.has(section)) sections.set(section, []);
    sections.get(section).push([at < 0 ? "" : key.slice(at + 1), value]);
  }
  return html`<section class="block" aria-labelledby="config"><h2 id="config">${t("node.config")}</h2><p class="lead">${t("node.config.lead")} ${file && html`<code>${file}</code>`}</p>
    <div class="config">${[...sections].map(([name, rows]) => html`<section key=${name}><h3><code>[${name}]</code></h3><dl class="facts">${rows.map(([key, value]) => html`<div key=${key}><dt><code>${key || name}</code></dt><dd><code>${shownSetting(value)}</code></dd></div>`)}</dl></section>`)}</div></section>`;
}

export function Node() {
  const about = useGet("/api/v1/node", {}, { every: 60_000 }), doctor = useGet("/api/v1/doctor", {}, { every: EVERY_MS });
  const id = about.data?.node_id ?? doctor.data?.node_id, findings = doctor.data?.findings ?? [], worst = findings.some(({ level }) => level === "error");
  const lead = doctor.data && html`<span class=${`ready ${worst ? "not" : ""}`}>${icon(worst ? "need" : "synced", 18)}<span><strong>${t(worst ? "node.unwell" : "node.ready")}:</strong> ${t(findings.length === 0 ? "node.why.none" : findings.length === 1 ? "node.why.one" : "node.why.some", { n: number(findings.length) })}</span></span>`;
  const error = about.error ?? doctor.error;
  return html`${head(t("node.title", { id: id ?? "" }), lead)}${error && !about.data && !doctor.data ? failed(error, () => { about.again(); doctor.again(); }) : !about.data || !doctor.data ? loading("table")
    : html`<div class="two two-even"><${Health} findings=${findings} /><${About} about=${about.data} /></div><${Quarantine} /><${Backups} /><${Archives} /><${Configuration} settings=${about.data.settings} file=${about.data.file} />`}`;
}
