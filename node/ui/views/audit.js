// The audit: filter, see that the chain is whole, take what is shown away.
import { html, say, useEffect, useMemo, useRef, useState, member } from "../base.js";
import { changes } from "../changes.js";
import { download } from "../export.js";
import { number, clock, clocks, dayOf } from "../formats.js";
import { back, get, useGet } from "../http.js";
import { icon } from "../icons.js";
import { cut, empty, entityLabel, failed, fieldOf, historyOf, kindName, label, loading, plainEach, refusalText, words } from "../parts.js";
import { lineText } from "../order_parts.js";
import { useEntity, useStore } from "../store.js";
import { prefs, t, has } from "../words.js";

const PAGE = 100, DRAWN = 2 * PAGE; // entries that are asked for at once; those in the document, of however many came
const PROPOSED = 100; // terminals, and users, that are proposed while one types
const BLANK = { terminal: "", user: "", type: "", id: "", from: "", to: "", refused: false };
const ASKED = { terminal: "terminal_id", user: "user_id", type: "entity_type", id: "entity_id" };

const READ = { refused: () => true, from: (text) => (Number.isNaN(Date.parse(text)) ? "" : text), to: (text) => READ.from(text) };
const filterOf = (query) => Object.fromEntries(Object.entries(BLANK).map(([name, blank]) => [name, query?.has(name) ? (READ[name] ?? String)(query.get(name)) : blank]));
const isBlank = (filter) => Object.keys(BLANK).every((name) => filter[name] === BLANK[name]);

// What is chosen stands in the address, so that it can be sent. Each choice is no step of the browser's history.
function keepInAddress(filter) {
  const query = new URLSearchParams(Object.entries(filter).filter(([, value]) => value).map(([name, value]) => [name, value === true ? "1" : value]));
  history.replaceState(null, "", `#/auditoria${String(query) && `?${query}`}`);
}

function parametersOf(filter) {
  const found = { newest: 1, limit: PAGE };
  for (const [name, parameter] of Object.entries(ASKED)) found[parameter] = filter[name];
  if (filter.from) found.since = new Date(filter.from).toISOString();
  if (filter.to) found.until = new Date(filter.to).toISOString();
  return found;
}

// Pages of the audit, newest first: {entries, next, error, loading, older()}. entries: null until the first page came.
function useEntries(filter) {
  const [found, set] = useState({ entries: null, next: null, error: null, loading: true }), turn = useRef(0);
  const load = async (kept, before) => {
    const mine = ++turn.current;
    set((was) => ({ ...was, loading: true }));
    try {
      let page = { entries: [], next: before };
      do page = await get(filter.refused ? "/api/v1/refused" : "/api/v1/audit", { ...parametersOf(filter), before: page.next });
      while (mine === turn.current && !page.entries.length && page.next != null); // it looked long, and found none yet
      if (mine === turn.current) set({ entries: [...kept, ...page.entries], next: page.next, error: null, loading: false });
    } catch (error) {
      if (mine === turn.current) set((was) => ({ ...was, error, loading: false }));
    }
  };
  useEffect(() => { load([]); return () => { turn.current++; }; }, [filter]);
  useEffect(() => (found.error ? back.subscribe(() => load([])) : undefined), [found.error, filter]);
  return { ...found, again: () => load([]), older: () => load(found.entries, found.next) };
}

const CHAIN_MS = 60_000;

// The node walks some thousand rows of its chain for each question, so a long one is asked about again at once.
function Chain() {
  const { data, again } = useGet("/api/v1/chain", {}, { every: CHAIN_MS });
  useEffect(() => { if (data && !data.whole && !data.wrong) again(); }, [data]);
  if (!data) return null;
  const { checked, head, whole, whole_at: at, wrong } = data;
  if (wrong) return html`<section class="banner banner-need" role="alert">${icon("need")}<div><h2>${t("audit.broken")}</h2><p>${t("audit.brokentext", { n: number(wrong.seq) })} <bdi>${wrong.what}</bdi></p></div></section>`;
  if (!whole) return html`<p class="chain">${icon("clock", 18)}<span>${t("audit.walking", { n: number(checked), of: number(head) })}</span></p>`;
  return html`<p class="chain chain-whole">${icon("synced", 18)}<span><strong>${t("audit.whole")}.</strong> ${t("audit.wholetext", { n: number(checked), time: clock(new Date(at)) })}</span></p>`;
}

// A field whose text is taken when one is done with it. What is typed meanwhile stays, however often the view is drawn.
function Typed({ value, take, ...more }) {
  const [draft, type] = useState(null); // null: what is taken stands there
  return html`<input ...${more} value=${draft ?? value} onInput=${(event) => type(event.target.value)} onChange=${take} onBlur=${() => type(null)} />`;
}

const field = (id, name, control) => html`<div class="control"><label for=${id}>${t(name)}</label>${control}</div>`;

function Filters({ filter, set, known }) {
  const change = (name) => (event) => set({ ...filter, [name]: event.target.type === "checkbox" ? event.target.checked : event.target.value.trim() });
  const typed = (name, values) => html`<${Typed} id=${`a-${name}`} type="text" autocomplete="off" spellcheck=${false} list=${values && `a-${name}-list`} value=${filter[name]} take=${change(name)} />${
    values && html`<datalist id=${`a-${name}-list`}>${values.map((value) => html`<option key=${value} value=${value} />`)}</datalist>`}`;
  const moment = (name) => html`<${Typed} id=${`a-${name}`} type="datetime-local" value=${filter[name]} take=${change(name)} />`;
  return html`<form class="filters filters-audit" aria-label=${t("audit.filters")} onSubmit=${(event) => event.preventDefault()}>
    ${field("a-terminal", "audit.terminal", typed("terminal", known.terminals))}${field("a-user", "audit.user", typed("user", known.users))}
    ${field("a-type", "audit.type", html`<select id="a-type" value=${filter.type} onChange=${change("type")}><option value="">${t("audit.any")}</option>${known.types.map((type) => html`<option key=${type} value=${type}>${has(`kinds.${type}`) ? t(`kinds.${type}`) : type}</option>`)}</select>`)}
    ${field("a-id", "audit.id", typed("id"))}${field("a-from", "audit.from", moment("from"))}${field("a-to", "audit.to", moment("to"))}
    <label class="tick-box"><input id="a-refused" type="checkbox" checked=${filter.refused} onChange=${change("refused")} /><span>${t("audit.refused")}</span></label>
    ${!isBlank(filter) && html`<button type="button" class="button small" id="a-clear" onClick=${() => set(BLANK)}>${t("audit.clear")}</button>`}</form>`;
}

const OWN = ["[backup]", "[retention]"]; // the users of what the node does by the clock
const SIGNS = { refused: "refused", conflict: "need", decided: "check" };
const SHOWN = 8;

const OF_ACTS = ["file", "until", "archived", "terminal_id", "type", "label", "node", "fingerprint", "id", "retried"];

// What an entry says that it changed: of a refused write what it wanted, of many entities each with its own.
function changesOf(entry) {
  const wanted = entry.refused?.data ?? entry.written;
  if (wanted) return changes({}, wanted);
  if (!entry.entity_type) return OF_ACTS.filter((name) => entry.changes.after[name] != null).map((name) => ({ name, to: entry.changes.after[name] }));
  const { before, after } = entry.changes;
  if (entry.operation !== "BULK_UPDATE") return changes(before, after);
  return Object.keys(after).flatMap((id) => changes(member(before, id), after[id]).map((one) => ({ ...one, of: one.of ? `${id}, ${one.of}` : id })));
}

const isElements = (one) => Array.isArray(one) && one.length > 0 && one.every((part) => part?.id !== undefined);
// from, to: undefined where there was nothing.
function changed(name, from, to) {
  const values = [from, to].filter((one) => one !== undefined).map((one) => (isElements(one) ? one.map(lineText).join(", ") : one));
  const texts = plainEach(fieldOf(name, values), values), was = texts[0], is = texts.at(-1);
  return html`${from !== undefined && html`<s>${words(was)}</s>${to !== undefined && " → "}`}${to !== undefined && html`<strong>${words(is)}</strong>`}`;
}

function Diffs({ rows }) {
  const [all, setAll] = useState(false), hidden = rows.length - SHOWN;
  if (!rows.length) return html`<span class="none">${t("hist.nochange")}</span>`;
  return html`<ul class="diffs">${(all || hidden <= 0 ? rows : rows.slice(0, SHOWN)).map(({ name, of, from, to }, i) => html`<li key=${i}>${label(name)}${of && html` (<bdi>${cut(of)}</bdi>)`}: ${changed(name, from, to)}</li>`)}
    ${hidden > 0 && html`<li><button type="button" class="link" aria-expanded=${all} onClick=${() => setAll(!all)}>${all ? t("long.less") : t("audit.morechanges", { n: hidden })}</button></li>`}</ul>`;
}

function resultOf(entry) {
  if (entry.sync_status === "refused" || entry.sync_status === "conflict") return entry.sync_status;
  return entry.conflict_resolved && entry.status !== "lost" ? "decided" : entry.status;
}

// An entity by the name that people know it by. said: what the entries shown tell of it; the node is asked where that is no name.
function Name({ type, id, said }) {
  const named = NAMING.some((name) => said?.[name] !== undefined), entity = useEntity(named ? null : type, id);
  return html`<bdi>${entityLabel(type, id, { ...said, ...entity?.data })}</bdi>`;
}

const NAMING = ["name", "number", "drawer_id"], SAID = [...NAMING, "table", "type"]; // fields that are a name; all that entityLabel reads
const keyOf = (entry) => `${entry.entity_type} ${entry.entity_id}`;

// What the entries tell of each entity: the latest first, so the first that tells a field is right.
function toldBy(entries) {
  const told = new Map();
  for (const entry of entries) if (entry.entity_id != null) told.set(keyOf(entry), { ...entry.changes?.after, ...told.get(keyOf(entry)) });
  return told;
}

// Of what hundreds of entries say, that is worked out again of which something changed.
function Entry({ entry, conflict, said, today }) {
  return useMemo(() => rowOf(entry, conflict, said), [entry, conflict, JSON.stringify(SAID.map((name) => member(said, name))), today, prefs.lang]);
}

function rowOf(entry, conflict, said) {
  const at = new Date(entry.accepted_at), result = resultOf(entry), isAct = !entry.entity_type, who = OWN.includes(entry.user_id) ? t("audit.itself") : entry.user_id || entry.terminal_id;
  const kind = isAct ? t("audit.act") : kindName(entry.entity_type);
  const what = isAct ? (has(`act.${entry.operation}`) ? t(`act.${entry.operation}`) : entry.operation) : entry.entity_id ?? t("audit.several");
  return html`<tr role="row" class=${`r-${result}`}><td role="cell" data-name=${t("audit.time")} class="time"><time datetime=${entry.accepted_at}>${at.toDateString() !== new Date().toDateString() && `${dayOf(at)} `}${clocks(at)}</time></td>
    <td role="cell" data-name=${t("audit.who")}><bdi>${who || t("audit.nobody")}</bdi>${entry.user_id && entry.terminal_id && html`<small>${entry.terminal_id}</small>`}</td>
    <td role="cell" data-name=${t("audit.what")}>${entry.entity_id != null && !isAct ? html`<a href=${historyOf(entry.entity_type, entry.entity_id)} title=${entry.entity_id}><${Name} type=${entry.entity_type} id=${entry.entity_id} said=${said} /></a>` : html`<bdi>${what}</bdi>`}<small>${kind}${entry.operation === "DELETE" && `, ${t("audit.deleted")}`}</small></td>
    <td role="cell" data-name=${t("audit.change")}><${Diffs} rows=${changesOf(entry)} /></td>
    <td role="cell" data-name=${t("audit.result")}><span class=${`outcome outcome-${result}`}>${SIGNS[result] && icon(SIGNS[result], 16)}${has(`result.${result}`) ? t(`result.${result}`) : result}</span>${entry.reason && html`<small><bdi>${entry.reason}</bdi></small>`}${entry.why?.code && html`<small><bdi>${isFrozen(entry) ? t("audit.frozen") : refusalText({ ...entry.why, message: entry.why.error })}</bdi></small>`}${conflict && html`<a class="small-link" href=${`#/conflitos/${encodeURIComponent(conflict)}`}>${t("inbox.decide")}</a>`}</td></tr>`;
}

// Open conflicts by the operations that are in them, and by what they are about.
function byWhat(conflicts) {
  return new Map((conflicts ?? []).flatMap(({ id, candidates, entity_type, entity_id }) => [[`${entity_type} ${entity_id}`, id], ...candidates.map((one) => [`${one.terminal_id}/${one.operation_id}`, id])]));
}

const WRITES = ["CREATE", "UPDATE", "DELETE"];
const isFrozen = (entry) => entry.why?.code === 4010 && WRITES.includes(entry.operation);
// The open conflict that an entry waits for, or was refused for.
const waitsFor = (entry, open) => (entry.status === "conflict" ? open.get(`${entry.terminal_id}/${entry.operation_id}`) : isFrozen(entry) ? open.get(keyOf(entry)) : undefined);

const proposed = (names) => [...new Set(names)].filter(Boolean).slice(0, PROPOSED).sort();

const COLUMNS = ["time", "who", "what", "change", "result"];

export function Audit({ query }) {
  const [filter, setFilter] = useState(() => filterOf(query)), found = useEntries(filter), { entries } = found;
  const terminals = useStore((store) => store.terminals), policies = useGet("/api/v1/policies"), conflicts = useStore((store) => store.conflicts);
  const open = useMemo(() => byWhat(conflicts), [conflicts]);
  const told = useMemo(() => toldBy(entries ?? []), [entries]);
  const came = useRef(query), [below, leave] = useState(0); // entries that came and are older than those drawn
  useEffect(() => leave(0), [filter]);
  useEffect(() => { if (came.current !== query) { came.current = query; setFilter(filterOf(query)); } }, [query]); // a link within the view
  const set = (next) => { setFilter(next); keepInAddress(next); };
  const clear = () => { set(BLANK); document.getElementById("a-terminal").focus(); };
  const shown = entries ?? [], count = shown.length === 1 ? t("audit.count1") : t("audit.count", { n: number(shown.length) });
  useEffect(() => { if (entries && !isBlank(filter)) say(count); }, [entries]);
  const today = new Date().toDateString(), end = shown.length - below, first = Math.max(0, end - DRAWN);
  const further = (id, word, act) => html`<button type="button" class="button wide" id=${id} disabled=${found.loading} onClick=${act}>${t(word)}</button>`;
  const known = {
    terminals: proposed([...(terminals?.keys() ?? []), ...shown.map((entry) => entry.terminal_id)]),
    users: proposed(shown.map((entry) => entry.user_id)),
    types: [...new Set([...(policies.data?.policies ?? []).map((policy) => policy.entity_type), filter.type])].filter(Boolean),
  };
  const take = (kind, word) => html`<button type="button" class="button small" id=${kind} disabled=${!shown.length} onClick=${() => say(download(kind, shown))}>${icon("save", 16)}${t(word)}</button>`;
  return html`<header class="head"><div><h1 tabindex="-1">${t("audit.title")}</h1></div><div class="row" role="group" aria-label=${t("audit.export")}>${take("csv", "audit.csv")}${take("jsonl", "audit.jsonl")}</div></header>
    <${Chain} /><${Filters} filter=${filter} set=${(next) => (isBlank(next) ? clear() : set(next))} known=${known} />
    ${found.error ? failed(found.error, found.again) : !entries ? loading("table")
      : !entries.length ? (isBlank(filter) ? empty(t("empty.audit"), t("empty.audit.text")) : empty(t("audit.none"), "", html`<button type="button" class="button" onClick=${clear}>${t("audit.clear")}</button>`))
      : html`${first > 0 && further("newer", "audit.newer", () => leave(below + Math.min(PAGE, first)))}<table class="table table-audit" role="table" aria-busy=${found.loading}><caption>${count}</caption>
        <thead role="rowgroup"><tr role="row">${COLUMNS.map((name) => html`<th key=${name} role="columnheader" scope="col">${t(`audit.${name}`)}</th>`)}</tr></thead>
        <tbody role="rowgroup">${entries.slice(first, end).map((entry) => html`<${Entry} key=${entry.seq} entry=${entry} said=${told.get(keyOf(entry))} today=${today} conflict=${waitsFor(entry, open)} />`)}</tbody></table>
        ${(below > 0 || found.next != null) && further("older", "audit.load", below > 0 ? () => leave(Math.max(0, below - PAGE)) : found.older)}`}`;
}
