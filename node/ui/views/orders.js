// Orders: a live board by status. Cards are slips; what is fine is silent.
import { html, say, useMemo, useNow, useState } from "../base.js";
import { money, number } from "../formats.js";
import { useHeld } from "../held.js";
import { icon } from "../icons.js";
import { useLocks } from "../locks.js";
import { COLUMNS, customerOf, factsOf, fold, numberOf, tableOf } from "../order_data.js";
import { Card, lockOf, statusWord } from "../order_parts.js";
import { cut, empty, failed, head, loading } from "../parts.js";
import { refresh, useEntities, useStore } from "../store.js";
import { useStates } from "../waiting.js";
import { Windowed } from "../windowed.js";
import { t } from "../words.js";

const CLOSED_SHOWN = 12;   // closed orders that a search lists
let kept = { query: "", only: "all" };   // as one left it, while the tab lives

export function Orders() {
  const all = useEntities("orders"), customers = useEntities("customers"), open = useStore((s) => s.conflicts), refused = useStore((s) => s.refused.orders);
  const now = useNow(), locks = useLocks(), states = useStates("orders"), needs = useMemo(() => new Set((open ?? []).map((c) => `${c.entity_type}/${c.entity_id}`)), [open]);
  const [said, set] = useState(kept);
  const change = (more) => set((old) => (kept = { ...old, ...more }));
  const query = fold(said.query.trim());
  const board = useMemo(() => sorted(all ?? [], customers, query), [all, customers, query]);
  if (refused !== undefined && !all) return html`${head(t("nav.pedidos"))}${failed({ status: refused, message: String(refused) }, () => refresh("orders"))}`;
  if (!all) return html`${head(t("nav.pedidos"))}${loading("board")}`;
  const search = html`<div class="search"><label class="quiet" for="find">${t("orders.search")}</label>${icon("search")}<input id="find" type="search" placeholder=${t("orders.search")} value=${said.query} autocomplete="off" oninput=${(e) => change({ query: e.target.value })} /></div>`;
  const clear = () => { change({ query: "" }); document.getElementById("find")?.focus(); };
  const names = board.other.length ? [...COLUMNS, "other"] : COLUMNS;
  return html`
    ${head(t(board.open === 1 ? "orders.title1" : "orders.title", { n: number(board.open) }), query ? t("orders.of", { a: number(board.found), b: number(board.open) }) : "", board.open || board.closed.length ? search : "")}
    ${board.found ? html`<div class="chips board-chips" role="group" aria-label=${t("field.status")}>${["all", ...names].map((c) => html`<button key=${c} type="button" class="chip" id=${"only-" + c} aria-pressed=${String(said.only === c)} onclick=${() => change({ only: c })}>${t(c === "all" ? "orders.all" : `column.${c}`)} <span>${number(c === "all" ? board.found : board[c].length)}</span></button>`)}</div>
      <div class=${`board board-${said.only} board-of-${names.length}`}>${names.map((name) => html`<${Column} key=${name} name=${name} list=${board[name]} ...${{ customers, needs, states, locks, now, all }} />`)}</div>` : ""}
    ${!board.found && query ? empty(t("orders.none", { q: cut(said.query) }), "", html`<button type="button" class="button" onclick=${clear}>${t("orders.clear")}</button>`) : ""}
    ${!board.open && !query ? empty(t("empty.orders"), t("empty.orders.text")) : ""}
    ${query && board.closed.length ? html`<section class="block" aria-labelledby="closed-title"><h2 id="closed-title">${t("orders.closed")} <span class="n">${number(board.closed.length)}</span></h2>
      <ul class="closed-found">${board.closed.slice(0, CLOSED_SHOWN).map(([id, entity, facts]) => html`<li key=${id}><a href=${"#/pedidos/" + encodeURIComponent(id)}><bdi>${cut(tableOf(entity.data) ?? t("kind.orders"))}</bdi> <bdi class="card-number">${cut(facts.number)}</bdi></a><span>${statusWord(entity.data.status)}</span><b>${amount(facts.total)}</b></li>`)}</ul></section>` : ""}
    ${board.paid || board.cancelled ? html`<p class="closed">${icon("synced", 18)}<span>${t(board.paid === 1 ? "orders.paid1" : "orders.paid", { n: number(board.paid) })}, ${money(board.paidTotal)} · ${t(board.cancelled === 1 ? "orders.cancelled1" : "orders.cancelled", { n: number(board.cancelled) })}</span></p>` : ""}`;
}

const amount = (total) => (total === null ? "—" : money(total));

// The board as it would be if nobody touched it, in lists of [id, entity, facts]. all, customers: Map(id -> entity).
function sorted(all, customers, query) {
  const board = { open: 0, found: 0, paid: 0, paidTotal: 0, cancelled: 0, closed: [], other: [] };
  for (const name of COLUMNS) board[name] = [];
  for (const [id, entity] of all) {
    const facts = factsOf(id, entity, customerOf(entity.data, customers)), { column } = facts, hit = !query || facts.text.includes(query);
    if (column === null) {
      if (entity.data.status === "paid") { board.paid += 1; board.paidTotal += facts.total ?? 0; } else board.cancelled += 1;
      if (query && hit) board.closed.push([id, entity, facts]);
      continue;
    }
    board.open += 1;
    if (!hit) continue;
    board.found += 1;
    board[column].push([id, entity, facts]);
  }
  const newest = ([, , a], [, , b]) => b.opened - a.opened || names.compare(b.number, a.number);
  for (const list of [...COLUMNS.map((name) => board[name]), board.other, board.closed]) list.sort(newest);
  return board;
}
const names = new Intl.Collator("pt", { numeric: true });

function Column({ name, list, all, customers, needs, states, locks, now }) {
  const there = new Set(list.map(([id]) => id));
  const left = (id, next) => {
    const data = all.get(id)?.data, place = next === null ? document.getElementById(`column-${name}`) : document.getElementById("order-" + next);
    place?.focus({ preventScroll: true });
    say(t("orders.left", { order: cut(data ? tableOf(data) ?? numberOf(data, id) : id), status: data ? statusWord(data.status) : t("value.gone") }));
  };
  const held = useHeld(list.map(([id]) => id), left);
  const sum = list.reduce((total, [, , facts]) => total + (facts.total ?? 0), 0);
  const row = (id, place) => {
    const entity = all.get(id), need = needs.has(`orders/${id}`) || needs.has(`customers/${entity?.data.customer_id}`);
    return html`<${Card} key=${id} ...${{ id, entity, state: need ? ["need"] : states(id), now, ...place, gone: !there.has(id), customer: customerOf(entity?.data, customers), lock: lockOf(locks, id) }} />`;
  };
  return html`<section class=${`column column-${name}`} aria-labelledby=${"column-" + name} ...${held.props}><h2 id=${"column-" + name} tabindex="-1">${t(`column.${name}`)} <span class="n">${number(list.length)}</span><span class="column-sum">${money(sum)}</span></h2>
    ${held.waiting ? html`<button type="button" class="button small wide arrived" onclick=${held.letIn}>${t(held.waiting === 1 ? "orders.new1" : "orders.new", { n: number(held.waiting) })}</button>` : ""}
    ${held.shown.length ? html`<${Windowed} ids=${held.shown} row=${row} />` : html`<p class="nothing">${t("orders.empty")}</p>`}</section>`;
}
