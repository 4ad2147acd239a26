// The inbox: what only a person can decide, most urgent first, with what it holds up; below, what was decided lately.
import { html, say, useEffect, useMemo, useNow, useRef, useState, member } from "../base.js";
import { same } from "../changes.js";
import { byUrgency, caseOf, nameOf, who } from "../cases.js";
import { icon } from "../icons.js";
import { clock, money, number, ago, when } from "../formats.js";
import { useHeld } from "../held.js";
import { Holds } from "../holds.js";
import { get, useGet } from "../http.js";
import { Undo, cut, entityLabel, failed, head, historyOf, kindOf, label, loading, plain, plainEach } from "../parts.js";
import { bringBack } from "../bring_back.js";
import { loadConflicts, openCount, useCases, useEntities, useEntity, useStore, useWhyNot, waiting } from "../store.js";
import { has, own, prefs, t } from "../words.js";

const FIRST = 12, MORE = 30, MANY = 6, PAGE = 200;
const DAY_MS = 86400000;

function Question({ c }) {
  const [field] = c.fields, rest = c.fields.length - 1;
  if (!field) return null;
  const values = c.deleting ? [t("inbox.keep"), t("inbox.delete")] : plainEach(field, field.values).map((text) => cut(text)).filter((_, i) => field.values.findIndex((one) => same(one, field.values[i])) === i);
  return html`<span class="case-question">${c.deleting ? "" : html`<span class="q-field">${label(field.name)}: </span>`}${values.map((value, i) => html`${i ? ` ${t("inbox.or")} ` : ""}<bdi class="q-value" key=${i}>${value}</bdi>`)}${rest > 0 ? html`<span class="q-more"> ${rest === 1 ? t("inbox.more1") : t("inbox.more", { n: rest })}</span>` : ""}</span>`;
}

function Case({ conflict, now, rowId, gone, entered }) {
  const entity = useEntity(conflict.entity_type, conflict.entity_id);
  const c = useMemo(() => caseOf(conflict, entity), [conflict, entity, prefs.lang]);
  const frozen = c.holds.kind === "frozen";
  return html`<li class=${`case case-${c.holds.kind} ${gone ? "case-gone" : ""}`} data-id=${rowId}><a href=${`#/conflitos/${encodeURIComponent(c.id)}`} onfocus=${() => entered(c.label)}>
    <span class="case-icon">${icon(c.entityType, 22)}</span>
    <span class="case-text"><span class="case-title"><bdi>${c.label}</bdi><span class="case-kind">${c.kind}</span></span>
      <${Question} c=${c} />
      <span class="case-who">${c.sides.map((side, i) => html`${i ? " · " : ""}<bdi>${nameOf(side)}</bdi>${side.user ? `, ${side.terminal}` : ""}, ${clock(side.at)}`)}</span></span>
    <span class="case-holds"><${Holds} c=${c} now=${now} />${frozen ? "" : html`<span class="case-age">${t("inbox.open", { ago: ago(c.at, now) })}</span>`}</span>
    <span class="case-go"><span class="case-go-word">${t("inbox.decide")}</span>${icon("next", 18)}</span></a></li>`;
}

// ---------------------------------------------------------------------- the evening in one strip

const FINAL = ["paid", "cancelled"];

function Glance() {
  const orders = useEntities("orders"), terminals = useStore((s) => s.terminals), links = useStore((s) => s.links);
  const tile = (key, href, n, text, small, state = "") => html`<li key=${key}><a class="tile ${state}" href=${href}><span class="tile-n">${n}</span><span class="tile-t">${text}</span><span class="tile-s">${small}</span></a></li>`;
  const tiles = [];
  if (orders) {
    let n = 0, total = 0;
    for (const { data } of orders.values()) if (!FINAL.includes(data.status)) { n++; total += typeof data.total === "number" ? data.total : 0; }
    tiles.push(tile("orders", "#/pedidos", number(n), t(n === 1 ? "glance.orders1" : "glance.orders"), t("glance.open", { money: money(total) })));
  }
  if (terminals) {
    const all = [...terminals.values()], on = all.filter((one) => one.status === "online").length;
    tiles.push(tile("terminals", "#/terminais", t("glance.of", { a: number(on), b: number(all.length) }), t("glance.terminals"), on < all.length ? t("glance.off", { n: number(all.length - on) }) : t("glance.allon")));
  }
  if (links && (links.links.length || links.away.length)) {
    const all = [...links.links, ...links.away], up = links.links.filter((one) => one.state === "up").length, gone = all.find((one) => one.state !== "up");
    const since = gone && (gone.since ?? gone.last_seen), n = waiting(links);
    tiles.push(tile("links", "#/terminais", t("glance.of", { a: number(up), b: number(all.length) }), t("glance.links"), gone ? t(since ? "glance.away" : "glance.gone", { name: gone.peer ?? gone.url, time: since && clock(new Date(since)) }) : t("glance.allup"), gone ? "tile-queue" : ""));
    tiles.push(tile("waiting", "#/terminais", number(n), t("glance.waiting"), n ? t(n === 1 ? "glance.ops1" : "glance.ops") : t("glance.nothing"), n ? "tile-queue" : ""));
  }
  return tiles.length ? html`<section class="glance" aria-label=${t("glance.label")}><ul>${tiles}</ul></section>` : null;
}

// ---------------------------------------------------------------------- settled

// What stands and what was set aside, of the first field in which they differ.
function settledOf(conflict) {
  const { decided, candidates } = conflict;
  const named = (operation) => candidates.find((one) => one.operation_id === operation.operation_id && one.terminal_id === operation.terminal_id);
  const lost = decided.lost.map(named).find(Boolean), kept = decided.kept.map(named).find(Boolean);
  if (!lost) return null;
  const shown = kept?.data ?? decided.data ?? {}, deleting = "deleted_at" in lost.data || "deleted_at" in shown;
  const fields = deleting ? ["deleted_at"] : Object.keys(lost.data).filter((name) => name !== "version" && JSON.stringify(lost.data[name]) !== JSON.stringify(member(shown, name) ?? null));
  if (!fields.length) return null;
  const [name] = fields, field = deleting ? { kind: "existence" } : { kind: kindOf(name, lost.data[name] ?? member(shown, name)) };
  const value = (data) => (deleting ? !("deleted_at" in data) : member(data, name) ?? null);
  return { fields, name: deleting ? "@entity" : name, field, lost: { value: value(lost.data), ...who(lost), operation: lost }, kept: { value: value(shown), ...who(kept ?? decided.by ?? {}) } };
}

function rule(decided) {
  if (decided.how === "person") return html`${t("settled.by", { name: nameOf(who(decided.by ?? {})) })}${decided.reason ? html`: <bdi>“${decided.reason}”</bdi>` : ""}`;
  if (decided.how === "write") return t("settled.written", { name: nameOf(who(decided.by ?? {})) });
  const key = `rule.${decided.rule?.strategy}`;
  return has(key) ? t(key) : own(decided);
}

function Settled({ conflict, now, rowId }) {
  const [wide, widen] = useState(false), entity = useEntity(conflict.entity_type, conflict.entity_id), why = useWhyNot("write", conflict.entity_type);
  const s = useMemo(() => settledOf(conflict), [conflict]);
  if (!s) return null;
  const at = new Date(conflict.decided.at ?? conflict.created_at), name = nameOf(s.lost), [kept, lost] = plainEach(s.field, [s.kept.value, s.lost.value]).map((text) => cut(text));
  const current = member(entity?.data, s.name);
  const changed = current !== undefined && JSON.stringify(current) !== JSON.stringify(s.kept.value) ? t("settled.changed", { value: cut(plain(s.field, current)) }) : "";
  const act = async () => { for (const field of s.fields) await bringBack(conflict.entity_type, conflict.entity_id, field, s.lost.operation); };
  return html`<li class="settled" data-id=${rowId}><time datetime=${at.toISOString()}>${when(at, now)}</time>
    <div class="settled-text"><a href=${historyOf(conflict.entity_type, conflict.entity_id)}><bdi>${entityLabel(conflict.entity_type, conflict.entity_id, { ...s.lost.operation.data, ...entity?.data })}</bdi></a><span class="settled-field">${label(s.name)}</span>
      <span class="rule">${rule(conflict.decided)}</span></div>
    <dl class="settled-values"><div><dt>${t("settled.kept")}</dt><dd><strong><bdi>${kept}</bdi></strong> <span><bdi>${nameOf(s.kept)}</bdi></span></dd></div><div class="lost"><dt>${t("settled.lost")}</dt><dd><s><bdi>${lost}</bdi></s> <span><bdi>${name}</bdi></span></dd></div></dl>
    <div class="settled-do ${wide ? "settled-do-wide" : ""}"><${Undo} id=${conflict.id} value=${lost} name=${name} act=${act} why=${why} warning=${changed} onOpen=${widen} /></div></li>`;
}

// Pages of what was decided in the last day: {list, data, error, again, older, next}. next: null where older ones are all here.
function useSettled() {
  const since = useMemo(() => new Date(Date.now() - DAY_MS).toISOString(), []), news = useStore((s) => s.conflictNews), asked = { state: "decided", since, limit: PAGE };
  const found = useGet("/api/v1/conflicts", asked), { data, again } = found, [earlier, keep] = useState({ list: [] });
  useEffect(() => { if (news) again(); }, [news]);
  const next = earlier.next === undefined ? data?.next : earlier.next;
  const list = useMemo(() => {
    const all = new Map([...(data?.conflicts ?? []), ...earlier.list].map((one) => [one.id, one]));
    return [...all.values()].filter((conflict) => conflict.decided && settledOf(conflict));
  }, [data, earlier]);
  const older = async () => {
    const page = await get("/api/v1/conflicts", { ...asked, after: next }).catch(() => null);
    if (page) keep((had) => ({ list: [...had.list, ...page.conflicts], next: page.next }));
  };
  return { ...found, list, older, next };
}

// rows: [row id, conflict], those that are held still.
function SettledList({ settled, rows, now }) {
  const { data, error, again, older, next } = settled, [shown, show] = useState(FIRST), left = rows.length - shown;
  const more = () => {
    show(shown + MORE);
    if (left <= MORE && next != null) older();
  };
  return html`<section class="block" aria-labelledby="settled-title"><h2 id="settled-title">${t("settled.title")}</h2>
    ${error && !data ? failed(error, again) : !data ? "" : !rows.length ? html`<p class="lead">${t("empty.inbox.settled")}</p>` : html`<p class="lead">${t("settled.lead")}</p><ul class="settleds">${rows.slice(0, shown).map(([id, conflict]) => html`<${Settled} key=${id} rowId=${id} conflict=${conflict} now=${now} />`)}</ul>${left > 0 || next != null ? html`<button type="button" class="button wide" id="settled-more" onclick=${more}>${t("inbox.showmore", { n: number(left > 0 ? Math.min(MORE, left) : MORE) })}</button>` : ""}`}</section>`;
}

// ---------------------------------------------------------------------- the view

const OPEN = "open ", BETWEEN = "between", DECIDED = "decided ";

// Both lists, as one that holds still: a row that came among the open ones would move the decided ones below them too. open,
// decided: conflicts. -> useHeld's, with open and decided as [row id, conflict], and the row ids that are there.
function useStill(open, decided) {
  const known = useRef(new Map()), label = useRef("");
  const there = new Map([...open.map((one) => [OPEN + one.id, one]), ...decided.map((one) => [DECIDED + one.id, one])]);
  const ids = [...there.keys()];
  ids.splice(open.length, 0, BETWEEN); // always there, so that no open one comes after all that is shown
  const held = useHeld(ids, (lost, next) => {
    if (document.activeElement !== document.body) return;
    const gone = label.current; // the row that takes the focus enters another
    (document.querySelector(`[data-id="${CSS.escape(next ?? "")}"] a, .case:last-child a`) ?? document.querySelector("h1")).focus();
    if (lost.startsWith(OPEN)) say(t("inbox.gone", { label: gone }));
  });
  known.current = new Map(held.shown.map((id) => [id, there.get(id) ?? known.current.get(id)]));
  const rows = [...known.current];
  return {
    ...held, there, entered: (name) => { label.current = name; },
    open: rows.filter(([id]) => id.startsWith(OPEN)), decided: rows.filter(([id]) => id.startsWith(DECIDED)),
    waiting: open.filter(({ id }) => !known.current.has(OPEN + id)).length,
  };
}

export function Conflicts() {
  const conflicts = useCases(), refused = useStore((s) => s.refused.conflicts), n = useStore(openCount), coming = useStore((s) => s.moreConflicts), now = useNow();
  const [kind, choose] = useState("all"), [shown, show] = useState(FIRST);
  const all = useMemo(() => byUrgency(conflicts ?? []), [conflicts]);
  const settled = useSettled(), still = useStill(all, settled.list), { waiting: late } = still;
  if (!conflicts) return html`${head(t("nav.conflitos"))}${refused !== undefined ? failed({ status: refused, message: String(refused) }, loadConflicts) : loading("list")}`;
  const rows = still.open, types = [...new Set(rows.map(([, c]) => c.entity_type))], list = rows.filter(([, c]) => kind === "all" || !types.includes(kind) || c.entity_type === kind);
  const title = n > 1 ? t("inbox.title", { n: number(n) }) : t(`inbox.title${n}`);
  const count = (type) => (type === "all" ? all.length : all.filter((c) => c.entity_type === type).length);
  return html`${head(title, t(all.length ? "inbox.lead" : "inbox.lead0"))}
    ${rows.length > MANY ? html`<div class="chips" role="group" aria-label=${t("inbox.filter")}>${["all", ...types].map((type) => html`<button type="button" class="chip" key=${type} aria-pressed=${type === kind} onclick=${() => { choose(type); show(FIRST); }}>${has(`kinds.${type}`) ? t(`kinds.${type}`) : label(type)} <span>${number(count(type))}</span></button>`)}</div>` : ""}
    <div class="inbox" ...${still.props}>
    ${rows.length ? html`<section aria-label=${t("inbox.list")}><ul class="cases">${list.slice(0, shown).map(([id, conflict]) => html`<${Case} key=${id} rowId=${id} conflict=${conflict} now=${now} gone=${!still.there.has(id)} entered=${still.entered} />`)}</ul>${list.length > shown ? html`<button type="button" class="button wide" onclick=${() => show(shown + MORE)}>${t("inbox.showmore", { n: Math.min(MORE, list.length - shown) })}</button>` : ""}</section>` : ""}
    ${coming ? html`<p class="hint" role="status">${t("inbox.coming")}</p>` : ""}
    <${Glance} />
    <${SettledList} settled=${settled} rows=${still.decided} now=${now} />
    ${late ? html`<button type="button" class="button small inbox-new" onclick=${still.letIn}>${t(late === 1 ? "inbox.new1" : "inbox.new", { n: number(late) })}</button>` : ""}</div>`;
}
