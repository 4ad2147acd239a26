// One conflict: before, in force, the other side; only what differs is open; what comes out is shown before it is sent.
import { html, say, useEffect, useLayoutEffect, useMemo, useNow, useRef, useState, bare, member } from "../base.js";
import { Balance } from "../balance.js";
import { byUrgency, caseOf, chosen, delta, missing, nameOf, newDraft, resolutions, sideName, who } from "../cases.js";
import { icon } from "../icons.js";
import { clock, clocks, list as join, money, number, signed, skew, when } from "../formats.js";
import { Holds } from "../holds.js";
import { useGet } from "../http.js";
import { joined } from "../joined.js";
import { LONG, Undo, cut, difference, empty, failed, head, historyOf, label, loading, person, pill, plain, plainEach, refusalText, sentence, words } from "../parts.js";
import { bringBack } from "../bring_back.js";
import { session } from "../session.js";
import { loadConflict, loadConflicts, resolve, useCases, useEntity, useStore, useWhyNot } from "../store.js";
import { useStates } from "../waiting.js";
import { prefs, t } from "../words.js";

// What was chosen and not sent, by conflict: kept while one looks elsewhere, and while the node is away.
const drafts = new Map();
function draftOf({ conflict: { parts } }) {
  const draft = parts.map((part) => drafts.get(part.id)).find(Boolean) ?? newDraft();
  for (const part of parts) drafts.set(part.id, draft);
  return draft;
}
// Conflicts as they were when they were last open, for what is shown once they are decided.
const seen = new Map();
// Decided from here, by conflict: {state: "sending"}, {state: "done", at} or {state: "refused", error: a sentence}
const sent = new Map();

// What this view began with, as it was last open, and its part that is open no more: {begun, over}.
function useBegun(id, open) {
  const first = useRef(null), live = open?.find((one) => one.parts.some((part) => part.id === id)), there = new Set(open?.flatMap((one) => one.parts.map((part) => part.id)));
  const over = first.current?.parts.find((part) => !there.has(part.id));
  if (live && !over) {
    first.current = live;
    for (const part of live.parts) seen.set(part.id, live);
  }
  return { live: live && !over, begun: first.current ?? seen.get(id), over };
}

export function Conflict({ args: [id] }) {
  const open = useCases(), refused = useStore((s) => s.refused.conflicts), { live, begun, over } = useBegun(id, open);
  const closed = useStore((s) => s.closed), ends = (begun?.parts ?? [{ id }]).map((part) => closed.get(part.id)).filter(Boolean);
  useEffect(() => { for (const part of (live && begun.parts) || []) loadConflict(part.id); }, [Boolean(live)]);
  const asked = useGet(open && !live && !ends.length ? `/api/v1/conflicts/${encodeURIComponent(over?.id ?? id)}` : null);
  const conflict = begun ?? (asked.data && joined([asked.data])[0]), decided = live || ends.length ? null : asked.data?.decided;
  const entity = useEntity(conflict?.entity_type, conflict?.entity_id);
  const c = useMemo(() => conflict && caseOf(conflict, entity, open ?? []), [conflict, entity, open, prefs.lang]);
  const queue = useMemo(() => byUrgency(open ?? []), [open]);
  const back = html`<a class="back" href="#/conflitos">${icon("back", 18)}${t("case.back")}</a>`;
  if (!c) {
    if (!open && refused !== undefined) return html`${back}${head(t("nav.conflitos"))}${failed({ status: refused, message: String(refused) }, loadConflicts)}`;
    if (asked.error?.status === 404) return html`${back}<h1 class="quiet" tabindex="-1">${t("nav.conflitos")}</h1>${empty(t("empty.case"), t("empty.case.text"), html`<a class="button" href="#/auditoria">${t("nav.auditoria")}</a>`)}`;
    return html`${back}${head(t("nav.conflitos"))}${asked.error ? failed(asked.error, asked.again) : loading("case")}`;
  }
  const i = queue.findIndex((one) => one.id === c.id);
  return html`<div class="crumbs">${back}${i >= 0 && queue.length > 1 ? html`<${Pager} queue=${queue} i=${i} />` : ""}</div>
    <${Case} key=${c.id} c=${c} outcome=${outcomeOf(ends, decided)} next=${queue.find((one) => one.id !== c.id)} />`;
}

// How it was decided: by whom, where, when, what stands; null while it is open. ends: as the store has them (`closed`).
function outcomeOf(ends, decided) {
  if (ends.length) {
    const [end] = ends, data = Object.assign(bare(), ...ends.map((one) => one.resolved_data));
    return { user: end.user_id ?? "", terminal: end.terminal_id, at: end.at, reason: end.reason ?? "", data, how: end.resolution === "superseded" ? "write" : "person" };
  }
  if (!decided) return null;
  const by = who(decided.by ?? {});
  return { user: by.user, terminal: by.terminal, at: new Date(decided.at ?? Date.now()), reason: decided.reason ?? "", data: decided.data ?? {}, how: decided.how, replacedBy: decided.replaced_by };
}

function Pager({ queue, i }) {
  const at = (n) => `#/conflitos/${encodeURIComponent(queue[(n + queue.length) % queue.length].id)}`, place = t("case.place", { i: number(i + 1), n: number(queue.length) });
  return html`<nav class="pager" aria-label=${place}><span>${place}</span><a class="button square" aria-label=${t("case.prev")} href=${at(i - 1)}>${icon("back", 18)}</a><a class="button square" aria-label=${t("case.next")} href=${at(i + 1)}>${icon("next", 18)}</a></nav>`;
}

function Case({ c, outcome, next }) {
  const [, redraw] = useState(0), change = () => redraw((n) => n + 1), now = useNow();
  const d = draftOf(c), ours = sent.get(c.id), done = ours?.state === "done" || (outcome && outcome.terminal === session.name && ours);
  const result = outcome ?? (done ? { data: {}, terminal: session.name, user: session.user, at: ours.at, how: "person", reason: d.reason } : null);
  const card = useRef(), open = useRef(!outcome); // whether it was open when one came
  useEffect(() => {
    if (!outcome || done || !open.current) return;
    if (document.activeElement === document.body) card.current.focus(); // it was in the form, which is closed
    say(outcome.how === "person" ? otherTitle(outcome) + ". " + otherText(c, outcome) : t("other.written"), true);
  }, [Boolean(outcome)]);
  useEffect(() => { if (done) card.current?.focus(); }, [done]);
  const lead = c.deleting ? t("case.rule.delete") : c.cash ? t("case.rule.cashier_operations") : c.holds.kind === "frozen" ? t("case.rule.frozen") : t("case.rule.customers");
  const columns = c.sides.length > 4 ? { gridTemplateColumns: `repeat(${c.sides.length + 1}, minmax(0, 1fr))` } : null;
  return html`<header class="head case-head"><div><h1 tabindex="-1"><bdi>${c.label}</bdi></h1>${result ? "" : html`<p class="lead">${lead}</p>`}</div>${result ? "" : html`<${Holds} c=${c} now=${now} />`}</header>
    <div ref=${card} tabindex="-1" class="card-place">${done ? html`<${DoneCard} c=${c} d=${d} result=${result} next=${next} />` : result ? html`<${OtherCard} c=${c} d=${d} result=${result} next=${next} />` : ""}</div>
    <div class="decide decide-${Math.min(c.sides.length, 4)} ${result ? "over" : ""}">
      <section class="compare" aria-labelledby="differ-title"><h2 id="differ-title" class="quiet">${t("case.differ")}</h2>
        <div class="sides" style=${columns}><${Before} c=${c} now=${now} />${c.sides.map((_, i) => html`<${Side} key=${i} c=${c} i=${i} d=${d} change=${change} still=${result} />`)}</div>
        ${c.fields.map((field) => html`<${Field} key=${field.name} c=${c} field=${field} d=${d} change=${change} result=${result} columns=${columns} />`)}
        ${c.same.length ? html`<details class="same" open=${c.deleting}><summary>${icon("next", 16)}${c.deleting ? t("case.record") : c.same.length === 1 ? t("case.same1") : t("case.same", { n: number(c.same.length) })}</summary><dl>${c.same.map((field) => html`<div key=${field.name}><dt>${label(field.name)}</dt><dd>${words(plain(field, field.value))}</dd></div>`)}</dl></details>` : ""}
        <p class="compare-foot"><a href=${historyOf(c.entityType, c.entityId)}>${icon("history", 16)}${t("order.history")}</a></p></section>${result ? "" : html`<${Result} c=${c} d=${d} change=${change} />`}</div>`;
}

// ---------------------------------------------------------------------- the sides

function Before({ c, now }) {
  const { before } = c;
  return html`<div class="side side-was"><h3>${t("case.before")}</h3>${before ? html`${person({ user: nameOf(before) }, 9)}<p class="side-where"><bdi>${before.terminal}</bdi>${before.node ? html` · <bdi>${before.node}</bdi>` : ""}<br /><time datetime=${before.at.toISOString()}>${when(before.at, now)}</time></p>` : ""}<p class="side-hint">${t(c.sides.length > 2 ? "case.before.hintall" : "case.before.hint")}</p></div>`;
}

function Side({ c, i, d, change, still }) {
  const side = c.sides[i], whole = c.fields.every((field) => d.picks[field.name] === i);
  const take = () => { for (const field of c.fields) d.picks[field.name] = i; change(); say(t("case.wholed")); };
  return html`<div class="side side-${i}"><h3>${sideName(c, i)}</h3>${person({ user: nameOf(side) }, i)}
    <p class="side-where"><bdi>${side.terminal}</bdi>${side.node ? html` · <bdi>${side.node}</bdi>` : ""}<br /><time datetime=${side.at.toISOString()}>${clocks(side.at)}</time></p>
    ${side.skew && side.terminalAt ? html`<p class="side-clock">${icon("clock", 16)}<span>${t("case.clock", { time: clocks(side.terminalAt), skew: skew(side.skew) })}</span></p>` : ""}
    ${still ? "" : html`<button type="button" class="button small whole" id=${`whole-${i}`} aria-pressed=${whole} onclick=${take}>${whole ? icon("check", 16) : ""}<span>${whole ? t("case.wholed") : t("case.whole")}</span></button>`}</div>`;
}

// ---------------------------------------------------------------------- a field

// Which side stands after a decision: its number, "typed", or null where that is not known.
function stands(field, result, d) {
  if (!result) return null;
  if (field.kind === "existence") return field.values.indexOf(!("deleted_at" in result.data));
  if (!Object.hasOwn(result.data, field.name)) return result.terminal === session.name ? d.picks[field.name] ?? null : null;
  const i = field.values.findIndex((value) => JSON.stringify(value) === JSON.stringify(result.data[field.name]));
  return i >= 0 ? i : "typed";
}

const TYPED = { time: "datetime-local", day: "date" };

function Field({ c, field, d, change, result, columns }) {
  const id = `f-${field.name.replace(/[^\w-]/g, "_")}`, pick = d.picks[field.name], text = useRef();
  const choose = (value) => () => { d.picks[field.name] = value; change(); };
  const typed = useRef(pick === "typed");
  useLayoutEffect(() => { // at once: who presses keys quickly must not be overtaken
    if (pick === "typed" && !typed.current) text.current?.focus();
    typed.current = pick === "typed";
  });
  const spread = field.kind === "money" && field.values.length === 2 ? Math.abs(field.values[1] - field.values[0]) : 0;
  const texts = plainEach(field, field.known ? [...field.values, field.before] : field.values);
  const stood = stands(field, result, d), lacking = d.tried && chosen(field, d) === undefined, mayType = !["existence", "parts"].includes(field.kind);
  return html`<div class="field ${lacking && !result ? "missing" : ""}" role=${result ? "group" : "radiogroup"} aria-labelledby=${`${id}-label`}>
    <p class="field-label" id=${`${id}-label`}>${label(field.name)}${spread ? html`<span class="spread">${t("case.between", { d: money(spread) })}</span>` : ""}</p>
    <div class="cells" style=${columns}><div class="option was"><span class="option-text"><span class="option-side">${t("case.before")}</span><span class="option-value">${beforeText(field, texts.at(-1))}</span></span></div>
    ${field.values.map((value, i) => html`<${Option} key=${i} c=${c} field=${field} i=${i} id=${id} value=${value} text=${texts[i]} picked=${pick === i} choose=${choose(i)} result=${result} stood=${stood === i} />`)}</div>
    ${stood === "typed" ? html`<div class="option still stood typed-stood"><span class="option-text"><span class="option-value"><bdi>${plain(field, member(result.data, field.name) ?? chosen(field, d))}</bdi></span><span class="flag flag-stood">${icon("check", 16)}${t("other.stood")}</span></span></div>` : ""}
    ${result && pick === "typed" && stood !== "typed" && d.typed[field.name] ? html`<p class="hint">${t("other.yours")}: <bdi>${d.typed[field.name]}</bdi></p>` : ""}
    ${result || !mayType ? "" : html`<label class="other ${pick === "typed" ? "on" : ""}"><input type="radio" name=${id} id=${`${id}-typed`} value="typed" checked=${pick === "typed"} onchange=${choose("typed")} /><span>${t("case.custom")}</span></label>
    ${pick === "typed" ? html`<input class="typed" ref=${text} id=${`${id}-text`} type=${member(TYPED, field.kind) ?? "text"} inputmode=${field.kind === "money" || field.kind === "number" ? "decimal" : null} placeholder=${field.kind === "money" ? "0,00" : t("case.typehere")} aria-label=${t("case.custom.of", { field: label(field.name) })} value=${d.typed[field.name] ?? ""} oninput=${(event) => { d.typed[field.name] = event.target.value; change(); }} />` : ""}`}</div>`;
}

function beforeText(field, text) {
  if (field.kind === "existence") return t("value.existed");
  if (!field.known) return html`<span class="none">${t("case.before.unknown")}</span>`;
  if (field.absent) return t("value.didnotexist");
  return words(text === t("value.none") ? "" : text);
}

function Option({ c, field, i, id, value, text, picked, choose, result, stood }) {
  const side = sideName(c, i), name = nameOf(c.sides[i]), less = delta(field, value);
  const shown = text === t("value.none") ? html`<span class="none">${text}</span>` : typeof value === "string" && text === value && text.length < LONG ? html`<bdi>${difference(field.before || field.values[i ? 0 : 1], value)}</bdi>` : words(text);
  const inner = html`<span class="option-text"><span class="option-side">${side} · <bdi>${name}</bdi></span><span class="option-value">${shown}</span>${less === null ? "" : html`<span class="delta">${signed(less)}<span class="quiet"> ${t("case.delta")}</span></span>`}${stood ? html`<span class="flag flag-stood">${icon("check", 16)}${t("other.stood")}</span>` : ""}${result && picked && !stood ? html`<span class="flag">${t("other.yours")}</span>` : ""}</span>`;
  if (result) return html`<div class="option still ${stood ? "stood" : ""}">${inner}</div>`;
  return html`<label class="option ${picked ? "picked" : ""}"><input type="radio" name=${id} id=${`${id}-${i}`} value=${i} checked=${picked} aria-label=${t("case.choice", { value: text.slice(0, 200), side, name })} onchange=${choose} />${inner}</label>`;
}

// ---------------------------------------------------------------------- how it will be

const REASONS = { cash: ["1", "2", "3", "5"], other: ["4", "3", "5"] };

function Result({ c, d, change }) {
  const why = useWhyNot("resolve", c.entityType), lacking = missing(c, d), state = sent.get(c.id), sending = state?.state === "sending";
  const decide = async () => {
    if (sent.get(c.id)?.state === "sending") return;
    d.tried = true;
    if (lacking.length) {
      change();
      say(t("send.missing", { list: join(lacking) }), true);
      requestAnimationFrame(() => (document.querySelector(".missing input[type=radio]:checked ~ .typed, .missing .typed, .missing input") ?? document.getElementById("reason")).focus());
      return;
    }
    sent.set(c.id, { state: "sending" });
    change();
    say(t("send.sending"));
    let left = c.conflict.parts;
    try {
      for (const decision of resolutions(c, d)) {
        await resolve(...decision);
        left = left.slice(1);
      }
      sent.set(c.id, { state: "done", at: new Date() });
      say(t("done.title", { time: clock(new Date()) }));
    } catch (refusal) {
      sent.set(left[0].id, { state: "refused", error: refusalText(refusal) });
      say(sent.get(left[0].id).error, true);
      if (left[0].id !== c.id) location.hash = `#/conflitos/${encodeURIComponent(left[0].id)}`; // what was decided before is
    }
    change();
  };
  return html`<section class="result ${c.sides.length > 2 ? "result-broad" : ""}" aria-labelledby="result-title"><h2 id="result-title">${t("result.title")}</h2>
    <p class="result-what"><bdi>${c.label}</bdi></p>
    <dl class="slip-lines">${c.fields.map((field) => html`<${Line} key=${field.name} c=${c} field=${field} d=${d} />`)}</dl>
    <${Balance} c=${c} outcome=${Object.fromEntries(c.fields.map((field) => [field.name, chosen(field, d)]))} />
    <div class="reason ${d.tried && c.cash && !d.reason.trim() ? "missing-reason" : ""}"><label for="reason">${t("reason.label")} <span>${t(c.cash ? "reason.required" : "reason.optional")}</span></label>
      <div class="chips" role="group" aria-label=${t("reason.chips")}>${REASONS[c.cash ? "cash" : "other"].map((n) => html`<button type="button" class="chip" key=${n} aria-pressed=${d.reason === t(`reason.${n}`)} onclick=${() => { d.reason = d.reason === t(`reason.${n}`) ? "" : t(`reason.${n}`); change(); }}>${t(`reason.${n}`)}</button>`)}</div>
      <textarea id="reason" rows="2" maxlength="500" required=${c.cash} aria-describedby="reason-hint" value=${d.reason} oninput=${(event) => { d.reason = event.target.value; change(); }} /><p class="hint" id="reason-hint">${t(session.user ? "reason.hint" : "reason.hint.nobody", { name: session.user })}</p></div>
    <ul class="then">${c.holds.kind === "frozen" ? html`<li>${t("send.unfreeze", { what: t(c.cash ? "frozen.drawer" : "frozen.record") })}</li>` : ""}<li>${t("send.told", { list: join([...new Set(c.sides.map((side) => side.terminal))]) })}</li><li>${t("send.kept")}</li></ul>
    <p class="error" id="send-missing" hidden=${!(d.tried && lacking.length)}>${icon("need", 16)}<span>${t("send.missing", { list: join(lacking) })}</span></p>
    ${state?.state === "refused" ? html`<p class="error" id="send-refused">${icon("need", 16)}<span>${state.error}</span></p>` : ""}
    <button type="button" class="button primary big" id="send" aria-describedby="send-why send-missing" disabled=${Boolean(why) && !sending} aria-busy=${sending} onclick=${decide}>${sending ? t("send.sending") : t(c.cash ? "send.button.cash" : "send.button")}</button>
    <p class="hint" id="send-why">${why}</p></section>`;
}

function Line({ c, field, d }) {
  const value = chosen(field, d), pick = d.picks[field.name], text = typeof pick === "number" ? plainEach(field, field.values)[pick] : plain(field, value);
  return html`<div class=${value === undefined ? "undecided" : ""}><dt>${label(field.name)}</dt><dd>${value === undefined ? html`<span class="todo">${t("result.pending")}</span>` : html`<strong><bdi>${short(text)}</bdi></strong><span>${pick === "typed" ? t("result.typed") : sentence("result.from", { name: nameOf(c.sides[pick]) })}</span>`}</dd></div>`;
}
const short = (text) => cut(text, 160);

// ---------------------------------------------------------------------- decided

function Next({ next }) {
  const entity = useEntity(next?.entity_type, next?.entity_id);
  if (!next) return html`<a class="button primary" id="done-next" href="#/conflitos">${t("done.none")}</a>`;
  return html`<a class="button primary" id="done-next" href=${`#/conflitos/${encodeURIComponent(next.id)}`}><span>${sentence("done.next", { label: caseOf(next, entity).label })}</span></a>`;
}

// Brings back what did not stay: of the first side that lost.
function UndoDecision({ c, result, d, word }) {
  const why = useWhyNot("write", c.entityType);
  const settled = c.fields.filter((field) => stands(field, result, d) !== null), losing = c.sides.findIndex((_, i) => settled.some((field) => stands(field, result, d) !== i));
  if (losing < 0) return null;
  const fields = settled.filter((field) => stands(field, result, d) !== losing), [first] = fields, side = c.sides[losing];
  const act = async () => { for (const field of fields) await bringBack(c.entityType, c.entityId, field.name === "@entity" ? "deleted_at" : field.name, side.operation); };
  return html`<${Undo} id=${`decision-${c.id}`} value=${short(plain(first, first.values[losing]))} name=${nameOf(side)} act=${act} why=${why} word=${word} size="" />`;
}

// What was decided is on the node's disk; who else has it is known from the first report after it on.
function Way({ c, at }) {
  const report = useStore((s) => s.links), state = useStates(c.entityType, c.entityId)(c.entityId);
  return state && report.at > at ? pill(...state) : pill("saved");
}

function DoneCard({ c, d, result, next }) {
  return html`<section class="done" id="done" aria-labelledby="done-title">${icon("synced", 28)}<div><h2 id="done-title">${t("done.title", { time: clock(result.at) })}${c.holds.kind === "frozen" ? html`. <span>${t("done.released", { what: t(c.cash ? "frozen.drawer" : "frozen.record") })}</span>` : ""}</h2><p>${t("done.text")} <${Way} c=${c} at=${result.at} /></p>
    <div class="row"><${Next} next=${next} /><${UndoDecision} c=${c} d=${d} result=${result} word=${t("done.undo")} />
    <a class="button" href=${historyOf(c.entityType, c.entityId)}>${t("settled.history")}</a></div></div></section>`;
}

const otherTitle = (result) => t("other.title", { name: result.user || result.terminal, time: clock(result.at) });
function otherText(c, result) {
  const stood = c.fields.map((field) => [field, field.kind === "existence" ? !("deleted_at" in result.data) : member(result.data, field.name)]).filter(([, value]) => value !== undefined);
  const texts = stood.map(([field, value]) => short(plain(field, value))), value = join(texts.length > 1 ? texts.map((text, i) => `${label(stood[i][0].name)} ${text}`) : texts);
  return result.reason ? t("other.text", { terminal: result.terminal, value, reason: result.reason }) : t("other.text.plain", { terminal: result.terminal, value });
}

function OtherCard({ c, d, result, next }) {
  const mine = Object.keys(d.picks).length > 0, replaced = result.how === "replaced";
  if (replaced) return html`<section class="done done-other" aria-labelledby="other-title">${icon("conflicts", 28)}<div><h2 id="other-title">${t("other.replaced")}</h2><p>${t("other.replaced.text")}</p><div class="row"><a class="button primary" href=${`#/conflitos/${encodeURIComponent(result.replacedBy)}`}>${t("other.replaced.go")}</a></div></div></section>`;
  const by = result.how === "person";
  return html`<section class="done done-other" aria-labelledby="other-title">${icon("person", 28)}<div><h2 id="other-title">${by ? otherTitle(result) : result.how === "rule" ? t("other.rule") : t("other.written")}</h2>
    <p>${by || result.how === "write" ? html`<bdi>${result.user || result.terminal}</bdi>, ${otherText(c, result)}` : ""}${mine ? ` ${t("other.draft")}` : ""}</p>
    <div class="row"><${Next} next=${next} />${by || result.how === "write" ? html`<${UndoDecision} c=${c} d=${d} result=${result} word=${t("other.undo", { name: result.user || result.terminal })} />` : ""}
    <a class="button" href=${historyOf(c.entityType, c.entityId)}>${t("settled.history")}</a></div></div></section>`;
}
