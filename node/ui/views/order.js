// One order: its lines, who has it open, what waits for a decision, and what happened last.
import { html, useNow } from "../base.js";
import { ago, clock } from "../formats.js";
import { useHistory, whose } from "../history_data.js";
import { icon } from "../icons.js";
import { useLocks } from "../locks.js";
import { columnOf, customerOf, numberOf, openedOf, tableOf } from "../order_data.js";
import { linesTable, lockLine, lockOf, statusWord } from "../order_parts.js";
import { cut, empty, failed, head, historyOf, loading, pill, words } from "../parts.js";
import { refresh, useEntities, useStore } from "../store.js";
import { stepRow } from "../timeline.js";
import { useStates } from "../waiting.js";
import { t } from "../words.js";

const LATEST = 5;

export function Order({ args: [id] }) {
  const all = useEntities("orders"), customers = useEntities("customers"), refused = useStore((s) => s.refused.orders);
  const history = useHistory("orders", id), open = useStore((s) => s.conflicts), now = useNow(), lock = lockOf(useLocks(), id), state = useStates("orders", id)(id);
  const crumb = html`<div class="crumbs"><a class="back" href="#/pedidos">${icon("back", 18)}${t("order.back")}</a></div>`;
  if (refused !== undefined && !all) return html`${crumb}${head(t("kind.orders"))}${failed({ status: refused, message: String(refused) }, () => refresh("orders"))}`;
  if (!all) return html`${crumb}${head(t("kind.orders"))}${loading("case")}`;
  const entity = all.get(id), toHistory = historyOf("orders", id);
  if (!entity) return html`${crumb}${head(t("kind.orders"))}${history.data ? empty(t("order.gone"), "", html`<a class="button" href=${toHistory}>${t("order.history")}</a>`) : empty(t("empty.history"), t("empty.history.text"), html`<a class="button" href="#/auditoria">${t("nav.auditoria")}</a>`)}`;
  const { data } = entity, table = tableOf(data), number = numberOf(data, id), opened = openedOf(data) ?? history.data?.steps[0]?.at ?? null;
  const decide = (open ?? []).filter((c) => (c.entity_type === "orders" && c.entity_id === id) || (c.entity_type === "customers" && c.entity_id === data.customer_id));
  const customer = customerOf(data, customers), first = history.data?.steps[0], note = typeof data.note === "string" ? data.note : null;
  return html`${crumb}
    <header class="head"><div><h1 tabindex="-1">${table === null ? `${t("kind.orders")} ` : html`<bdi>${cut(table)}</bdi> `}<span class=${table === null ? "" : "h1-side"}>${table === null ? "" : `${t("kind.orders").toLowerCase()} `}<bdi>${cut(number)}</bdi></span></h1>${opened === null ? "" : html`<p class="lead">${t(first ? "order.opened" : "order.opened0", { time: clock(opened), user: first ? whose(first) : "" })}, ${ago(opened, now)}</p>`}</div><div class="head-side"><span class="status">${statusWord(data.status)}</span>${decide.length ? pill("need") : state ? pill(...state) : ""}</div></header>
    ${decide.map((c) => html`<section key=${c.id} class="banner banner-need">${icon("need")}<div><h2>${t(c.entity_type === "orders" ? "order.decideself" : "order.decide")}</h2></div><a class="button" href=${"#/conflitos/" + encodeURIComponent(c.id)}>${t("inbox.decide")}</a></section>`)}
    <div class="two"><section class="paper" aria-label=${t("field.items")}>
      ${customer ? html`<p class="paper-customer">${words(customer)}</p>` : ""}${linesTable(data)}
      ${note ? html`<div class="paper-note"><h2>${t("order.note")}</h2><p>${words(note)}</p></div>` : ""}${lockLine(lock)}</section>
      <section aria-labelledby="latest"><div class="row spread"><h2 id="latest">${t("order.latest")}</h2><a class="button small" href=${toHistory}>${icon("history", 16)}${t("order.history")}</a></div>
      ${history.error ? failed(history.error, history.again) : history.data ? html`<ol class="line line-short" reversed>${history.data.steps.slice(-LATEST).reverse().map((step) => stepRow(step, { history: history.data, short: true }))}</ol>` : loading("list")}</section></div>`;
}
