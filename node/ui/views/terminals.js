// Terminals and links at a glance: one drawing, then the same in rows.
import { html, useMemo, useNow, useState } from "../base.js";
import { byUrgency } from "../cases.js";
import { ago, millis, number, skew, when } from "../formats.js";
import { useGet } from "../http.js";
import { icon } from "../icons.js";
import { nodesOf, terminalsOf } from "../network.js";
import { empty, entityLabel, failed, head, loading, pill } from "../parts.js";
import { session } from "../session.js";
import { loadReports, useEntity, useStore } from "../store.js";
import { awayText, Topology } from "../topology.js";
import { has, t } from "../words.js";

const WRONG_MS = 5000, TELL_MS = 60000;   // clocks: off, and worth a sentence
const LISTED = 60, TOLD_MS = 5000;   // rows, and as many more each time; how often terminals are asked for

export function Terminals() {
  const report = useStore((s) => s.links), terminals = useStore((s) => s.terminals), conflicts = useStore((s) => s.conflicts), refused = useStore((s) => s.refused.links);
  const urgent = useMemo(() => byUrgency(conflicts ?? []), [conflicts]);
  const told = useGet("/api/v1/terminals", {}, { every: TOLD_MS, whole: "terminals" }).data?.terminals, now = useNow(), [listed, more] = useState(LISTED);
  if (refused !== undefined && !report) return html`${head(t("net.title"))}${failed({ status: refused, message: String(refused) }, loadReports)}`;
  if (!report || !(terminals ?? told)) return html`${head(t("net.title"))}${loading("table")}`;
  const nodes = nodesOf(report), all = terminalsOf(terminals ?? new Map(), told, { conflicts: urgent, node: report.node_id, self: session.name }), others = all.filter((x) => !x.self);
  const waiting = nodes.reduce((sum, node) => sum + (node.waiting ?? 0), 0), hub = { id: report.node_id, state: "synced", waiting: 0 };
  return html`${head(t("net.title"), waiting === 1 ? t("net.sum1") : waiting ? t("net.sum", { n: number(waiting) }) : t("net.sum0"))}
    <${Topology} ...${{ hub, nodes, terminals: all }} />
    <${Attention} ...${{ report, nodes, all, now }} />
    <section class="block" aria-labelledby="terminals-title"><h2 id="terminals-title">${t("net.terminals")} <span class="n">${number(all.filter((x) => x.online).length)}/${number(all.length)}</span></h2>
      ${others.length ? html`<table class="table table-terminals" role="table"><thead role="rowgroup"><tr role="row">${["terminal", "state", "node", "ping", "clock"].map((name) => html`<th key=${name} scope="col" role="columnheader">${t(`net.${name}`)}</th>`)}</tr></thead>
      <tbody role="rowgroup">${all.slice(0, listed).map((x) => html`<${TerminalRow} key=${x.id} x=${x} now=${now} />`)}</tbody></table>
      ${listed < all.length ? html`<button type="button" class="button wide" onclick=${() => more(listed + LISTED)}>${t("inbox.showmore", { n: number(Math.min(LISTED, all.length - listed)) })}</button>` : ""}` : empty(t("empty.terminals"), t("empty.terminals.text"), html`<code class="address">${`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/caixa-1?type=pos`}</code>`)}</section>
    ${nodes.length ? html`<section class="block" aria-labelledby="links-title"><h2 id="links-title">${t("net.links")} <span class="n">${number(nodes.filter((x) => x.up).length)}/${number(nodes.length)}</span></h2>
      <table class="table table-links" role="table"><thead role="rowgroup"><tr role="row">${["node", "state", "lag", "clock", "quarantine"].map((name) => html`<th key=${name} scope="col" role="columnheader" class=${name === "lag" ? "num" : ""}>${t(`net.${name}`)}</th>`)}</tr></thead>
      <tbody role="rowgroup">${nodes.map((node) => html`<${LinkRow} key=${node.id} node=${node} />`)}</tbody></table></section>` : ""}
    <section class="block" aria-labelledby="legend-title"><h2 id="legend-title">${t("net.legend")}</h2><dl class="legend">${["saved", "queue", "syncing", "synced", "need"].map((s) => html`<div key=${s}><dt>${pill(s, 3)}</dt><dd>${t(`state.${s}.why`)}</dd></div>`)}</dl></section>`;
}

// What waits for a decision, by the name that people know it by.
function Waits({ conflict }) {
  const { entity_type: type, entity_id: id } = conflict, entity = useEntity(type, id);
  return html`<bdi>${t("net.conflict", { what: entityLabel(type, id, { ...entity?.data, ...conflict.candidates[0].data }) })}</bdi>`;
}

const cell = (name, inside, cls = "") => html`<td role="cell" class=${cls} data-name=${t(`net.${name}`)}>${inside}</td>`;
const clockCell = (ms) => cell("clock", ms === null ? "—" : Math.abs(ms) < WRONG_MS ? html`<span class="fine">${t("net.clockok")}</span>` : html`<span class="warn">${icon("clock", 16)}${skew(ms / 1000)}</span>`, Math.abs(ms ?? 0) < WRONG_MS ? "hush" : "");
const typeWord = (type) => (has(`terminal.${type}`) ? t(`terminal.${type}`) : type);

function TerminalRow({ x, now }) {
  const sign = ["pos", "waiter", "kds", "monitor"].includes(x.type) ? x.type : "terminals";
  return html`<tr role="row" class=${x.online ? "" : "off"} data-terminal=${x.id}><th scope="row" role="rowheader">${icon(sign, 18)}<span><bdi>${x.id}</bdi><small>${typeWord(x.type)}${x.user ? html` · <bdi>${x.user}</bdi>` : ""}${x.self ? ` · ${t("net.this")}` : ""}</small></span></th>
    ${cell("state", html`${pill(x.state, x.waiting)}${x.conflict ? html`<small><${Waits} conflict=${x.conflict} /></small>` : ""}`, "state")}
    ${cell("node", html`<bdi>${x.node}</bdi>`, "nobreak")}
    ${cell("ping", x.online ? (x.here ? ago(x.seen, now) : "—") : html`<span class="warn">${x.seen ? t("net.off", { time: when(x.seen, now) }) : t("net.unreachable")}</span>`)}
    ${clockCell(x.skewMs)}</tr>`;
}

function LinkRow({ node }) {
  return html`<tr role="row" class=${node.up ? "" : "off"} data-node=${node.id}><th scope="row" role="rowheader">${icon("node", 18)}<span><bdi>${node.id}</bdi><small>${node.up ? t("net.since", { time: when(node.since) }) : awayText(node)}</small></span></th>
    ${cell("state", html`${pill(node.state, node.waiting)}${/[a-z]/i.test(node.error ?? "") ? html`<small><bdi>${node.error}</bdi></small>` : ""}`, "state")}${cell("lag", node.delayMs === null ? "—" : millis(node.delayMs), "num nobreak")}${clockCell(node.skewMs)}
    ${cell("quarantine", node.quarantine ? html`<span class="warn">${t("net.quarantine.n", { n: number(node.quarantine) })}</span>` : "—", node.quarantine ? "" : "hush")}</tr>`;
}

// What is worth a look, in sentences.
function Attention({ report, nodes, all, now }) {
  const parked = (report.quarantine?.bad ?? 0) + (report.quarantine?.waiting ?? 0);
  const item = (key, cls, sign, inside, more = "") => html`<li key=${key} class=${"att " + cls}>${icon(sign)}<span>${inside}</span>${more}</li>`;
  const gone = (node) => (node.since ? t(["net.att.away0", "net.att.away1"][node.waiting ?? 0] ?? "net.att.away", { node: node.id, for: ago(node.since, now, "for"), n: number(node.waiting) }) : t("net.att.never", { node: node.id }));
  const items = [
    ...nodes.filter((node) => !node.up).map((node) => item("away/" + node.id, "att-queue", "away", html`${gone(node)} <small>${t("net.away.why")}</small>`)),
    ...all.filter((x) => x.conflict).map((x) => item("need/" + x.id, "att-need", "need", html`<bdi>${x.id}</bdi>: <${Waits} conflict=${x.conflict} />`, html`<a class="button small" href=${"#/conflitos/" + encodeURIComponent(x.conflict.id)}>${t("inbox.decide")}</a>`)),
    ...nodes.filter((node) => node.keptOut).map((node) => item("kept/" + node.id, "att-need", "need", html`${t(node.keptOut.count === 1 ? "net.att.kept1" : "net.att.kept", { node: node.id, n: number(node.keptOut.count) })} <small><bdi>${node.keptOut.why}</bdi></small>`)),
    parked ? item("parked", "att-need", "need", t(parked === 1 ? "net.att.quarantine1" : "net.att.quarantine", { n: number(parked) }), html`<a class="button small" href="#/no">${t("net.see")}</a>`) : null,
    ...all.filter((x) => Math.abs(x.skewMs ?? 0) > TELL_MS).map((x) => item("clock/" + x.id, "", "clock", t("net.att.clock", { node: x.id, skew: skew(x.skewMs / 1000) }))),
    ...nodes.filter((x) => Math.abs(x.skewMs ?? 0) > TELL_MS).map((x) => item("clock/" + x.id, "", "clock", t("net.att.clocknode", { node: x.id, skew: skew(x.skewMs / 1000) }))),
  ].filter(Boolean);
  return items.length ? html`<section class="block" aria-labelledby="att-title"><h2 id="att-title">${t("net.attention")}</h2><ul class="atts">${items}</ul></section>` : "";
}
