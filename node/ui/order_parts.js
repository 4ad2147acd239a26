// What the board and one order show alike: the card, the lines, the lock.
import { html, useMemo, member } from "./base.js";
import { LATE, lineName, linesOf, numberOf, openedOf, priceOf, quantityOf, tableOf, totalOf } from "./order_data.js";
import { icon } from "./icons.js";
import { ago, clock, exact, money } from "./formats.js";
import { cut, element, pill, sentence, words } from "./parts.js";
import { has, prefs, t } from "./words.js";

const SHOWN = 2;   // lines on a card

export const statusWord = (status) => (has(`value.${status ?? "pending"}`) ? t(`value.${status ?? "pending"}`) : String(status));
export const lockOf = (locks, id) => locks.get(`orders/${id}`) ?? null;

// An element of a list in words.
export function lineText(line) {
  const named = line.name !== undefined || line.product_name !== undefined || line.product_id !== undefined;
  return named ? `${exact(quantityOf(line))}× ${lineName(line)}` : element(line);
}

// lock: {terminal, user, until, scope}, or null.
export function lockLine(lock) {
  if (!lock) return "";
  return html`<p class="lock">${icon("lock", 16)}<span>${sentence(lock.user ? "orders.editing" : "orders.editing0", { user: lock.user, terminal: lock.terminal, time: clock(lock.until) })}${lock.scope === "store" ? "" : html`<small>${t(lock.scope === "overlapping" ? "orders.overlapping" : "orders.local")}</small>`}</span></p>`;
}

// gone: it has left the column, and stands there only because a finger is on the column. Of 2,000 cards those are drawn
// again of which something changed.
// state: [name, n] of pill(); what everybody has shows no sign.
export function Card({ id, entity, index, size, gone, customer, state, lock, now }) {
  const [sign, n] = state?.[0] === "synced" ? [] : state ?? [];
  const opened = entity ? openedOf(entity.data) : null, age = opened === null ? "" : ago(opened, now, "age");
  const slow = opened !== null && (now - opened) / 60000 > (member(LATE, entity.data.status ?? "pending") ?? Infinity);
  return useMemo(() => html`<li data-id=${id} data-index=${index} class=${gone ? "card-gone" : ""} aria-setsize=${size} aria-posinset=${index + 1}>${entity ? slip(id, entity.data, { age, slow, gone, customer, sign, n, lock }) : html`<span class="card"><span class="status">${t("value.gone")}</span></span>`}</li>`, [id, entity, index, size, gone, customer, sign, n, lock, age, slow, prefs.lang]);
}

function slip(id, data, { age, slow, gone, customer, sign, n, lock }) {
  const lines = linesOf(data), rest = lines.length - SHOWN, table = tableOf(data), total = totalOf(data);
  return html`<a class=${sign === "need" ? "card card-need" : "card"} id=${"order-" + id} href=${"#/pedidos/" + encodeURIComponent(id)}>
    <span class="card-top"><bdi class="card-table">${cut(table ?? numberOf(data, id))}</bdi>${table === null ? "" : html`<bdi class="card-number">${cut(numberOf(data, id))}</bdi>`}${age ? html`<span class=${slow ? "card-age slow" : "card-age"}>${slow ? icon("clock", 16) : ""}${age}${slow ? html`<span class="quiet">, ${t("orders.late")}</span>` : ""}</span>` : ""}</span>
    ${customer ? html`<bdi class="card-customer" title=${customer}>${cut(customer)}</bdi>` : ""}
    ${lines.length ? html`<span class="card-items">${lines.slice(0, SHOWN).map((line, i) => html`<span key=${i} class="card-item"><b>${exact(quantityOf(line))}</b><bdi>${cut(lineName(line))}</bdi></span>`)}${rest > 0 ? html`<span class="card-rest">${t(rest === 1 ? "orders.items1" : "orders.items", { n: rest })}</span>` : ""}</span>` : ""}
    <span class="card-foot"><b>${total === null ? "" : money(total)}</b>${gone ? html`<span class="status">${statusWord(data.status)}</span>` : sign ? pill(sign, n) : ""}</span>${lockLine(lock)}</a>`;
}

// marked: whether a line is one that the moment shown changed. foot: what stands below the total.
export function linesTable(data, { marked = () => false, totalMarked = false, after = () => "" } = {}) {
  const lines = linesOf(data), total = totalOf(data);
  if (!lines.length && total === null) return "";
  return html`<table class="lines"><tbody>${lines.map((line, i) => {
    const price = priceOf(line);
    return html`<tr key=${line.id ?? i} class=${marked(line) ? "touched" : ""}><td class="qty">${exact(quantityOf(line))}×</td><th scope="row">${words(lineName(line))}${price === null ? "" : html`<small>${money(price)}</small>`}${more(line)}${after(line)}</th><td class="num">${price === null ? "" : money(quantityOf(line) * price)}</td></tr>`;
  })}</tbody><tfoot><tr class=${totalMarked ? "touched" : ""}><th scope="row" colspan="2">${t("order.total")}</th><td class="num">${total === null ? "—" : money(total)}</td></tr></tfoot></table>`;
}

// A line's own note and status, where it has them.
function more(line) {
  const said = [typeof line.note === "string" && line.note, typeof line.status === "string" && statusWord(line.status)].filter(Boolean);
  return said.length ? html`<small>${words(said.join(" · "))}</small>` : "";
}
