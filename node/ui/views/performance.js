// Performance: six small charts of the last hours, each with its verdict in words.
import { html, useMemo, useState } from "../base.js";
import { Chart } from "../chart.js";
import { number, clock } from "../formats.js";
import { useGet } from "../http.js";
import { head, empty, failed, loading } from "../parts.js";
import { t } from "../words.js";

const HOURS = [1, 2, 4];
const EVERY_MS = 60_000;
const CONFLICTS_OVER_S = 600;
const MEGABYTE = 1_000_000;

// What is asked of the product: an operation stored within 10 ms and at the other terminal within 50, for 99 of 100.
const CHARTS = [
  { id: "confirmation", unit: "ms", limit: 10, of: ["confirmation_p50_ms", "confirmation_p99_ms"] },
  { id: "delivery", unit: "ms", limit: 50, of: ["delivery_p50_ms", "delivery_p99_ms"] },
  { id: "operations", unit: "/min", of: ["operations"] },
  { id: "conflicts", unit: "", bars: true, of: ["conflicts"] },
  { id: "database", unit: "MB", scale: MEGABYTE, grows: true, of: ["database_bytes"] },
  { id: "memory", unit: "MB", scale: MEGABYTE, grows: true, of: ["memory_bytes"] },
];

const said = (x, unit) => (x == null ? "—" : `${number(x, unit === "ms" && x < 100 ? 1 : 0)}${unit ? `\u00a0${unit}` : ""}`);
const measured = (values) => values.filter((x) => x != null);
const last = (values) => measured(values).at(-1) ?? null;

// The next of 1, 2, 4, 5, 10 and their tenfolds, so that the middle is a plain number too.
function above(x) {
  const ten = 10 ** Math.floor(Math.log10(x));
  return ten * [1, 2, 4, 5, 10].find((step) => x / ten <= step);
}

function range({ grows, bars, limit }, values) {
  const most = Math.max(1, ...values);
  if (!grows) return [0, bars ? Math.max(4, above(most)) : above(Math.max(most, (limit ?? 0) * 1.15))];
  const low = Math.floor(Math.min(most, ...values) / 10) * 10;
  return [low, Math.max(low + 10, Math.ceil(most / 10) * 10)];
}

// Sums over stretches of time: a conflict a minute would be a hair.
function gathered(times, values, over_s) {
  const sums = new Map();
  times.forEach((at, i) => { const start = Math.floor(at / over_s) * over_s; sums.set(start, (sums.get(start) ?? 0) + (values[i] ?? 0)); });
  return [[...sums.keys()], [...sums.values()]];
}

function Metric({ chart, points, bands }) {
  const { id, unit, limit, bars, grows, scale = 1, of } = chart;
  let times = points.map((point) => Date.parse(point.at) / 1000);
  let rows = of.map((name) => points.map((point) => (point[name] == null ? null : point[name] / scale)));
  if (bars) [times, rows[0]] = gathered(times, rows[0], CONFLICTS_OVER_S);
  const all = measured(rows.flat()), [low, high] = range(chart, all), worst = rows.at(-1), now = rows.map(last);
  const peak = all.length ? Math.max(...measured(worst)) : null, sum = all.reduce((a, b) => a + b, 0), first = measured(rows[0])[0] ?? 0;
  const good = limit == null || now.at(-1) == null ? null : now.at(-1) <= limit;
  const foot = !all.length ? "" : bars ? t("perf.total", { n: number(sum) })
    : grows ? t("perf.grown", { x: said(Math.max(0, now[0] - first), unit) })
    : t("perf.max", { x: said(peak, unit), time: clock(new Date(times[worst.indexOf(peak)] * 1000)) });
  const text = `${t(`perf.${id}`)}: ${now.map((x, i) => (of.length > 1 ? `${t(i ? "perf.p99" : "perf.median")} ` : "") + said(bars ? sum : x, unit)).join(", ")}. ${foot}`;
  const lines = rows.map((values, i) => ({ values, quiet: i > 0 })).reverse(); // the first is drawn last, on top
  return html`<section class="metric" aria-labelledby=${`m-${id}`}>
    <div class="metric-top"><div><h2 id=${`m-${id}`}>${t(`perf.${id}`)}</h2><p class="soft">${t(`perf.${id}.why`)}</p></div>
      <p class="metric-now">${said(bars ? sum : now[0], bars ? "" : unit)}${good != null && html`<small class=${good ? "" : "warn"}>${t(good ? "perf.ok" : "perf.high")}</small>`}</p></div>
    <${Chart} times=${times} lines=${lines} limit=${limit} bars=${bars} bands=${bands} low=${low} high=${high} text=${text} />
    <p class="metric-foot">${of.length > 1 && html`<span class="key key-p50">${t("perf.median")} ${said(now[0], unit)}</span><span class="key key-p99">${t("perf.p99")} ${said(now[1], unit)}</span>`}
      ${limit != null && html`<span class="key key-limit">${t("perf.good", { x: `${number(limit)}\u00a0${unit}` })}</span>`}${foot && html`<span>${foot}</span>`}</p></section>`;
}

export function Performance() {
  const [hours, setHours] = useState(HOURS.at(-1)), report = useGet("/api/v1/performance", { hours }, { every: EVERY_MS });
  const bands = useMemo(() => (report.data?.outages ?? []).map((one) => [Date.parse(one.from) / 1000, one.to ? Date.parse(one.to) / 1000 : Infinity]), [report.data]);
  const choice = html`<fieldset class="segments"><legend class="quiet">${t("perf.range")}</legend><div>${HOURS.map((n) => html`<label key=${n}>
    <input type="radio" name="range" id=${`range-${n}`} value=${n} checked=${hours === n} onChange=${() => setHours(n)} /><span>${t("perf.hours", { n })}</span></label>`)}</div></fieldset>`;
  const lead = html`${t("perf.lead", { n: hours })} ${bands.length > 0 && html`<span class="band-key"><span class="hatch" aria-hidden="true"></span>${t("perf.band")}</span>`}`;
  return html`${head(t("perf.title"), lead, choice)}${
    report.error && !report.data ? failed(report.error, report.again) : !report.data ? loading("charts")
    : !report.data.points.length ? empty(t("empty.perf"), t("empty.perf.text"))
    : html`<div class="metrics">${CHARTS.map((chart) => html`<${Metric} key=${chart.id} chart=${chart} points=${report.data.points} bands=${bands} />`)}</div>`}`;
}
