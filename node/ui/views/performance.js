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
const ACROSS = 120; // points of a line: more would be a smear
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
  const top = Math.max(1, ...values);
  if (!grows) return [0, bars ? Math.max(4, above(top)) : above(Math.max(top, (limit ?? 0) * 1.15))];
  const low = Math.floor(Math.min(top, ...values) / 10) * 10;
  return [low, Math.max(low + 10, Math.ceil(top / 10) * 10)];
}

const total = (values) => values.reduce((a, b) => a + b, 0);
const mean = (values) => total(values) / values.length;
const most = (values) => Math.max(...values);

// Points put together over stretches of time: [times in seconds, values], null where nothing was measured.
function gathered(points, name, over_s, together) {
  const stretches = new Map();
  for (const point of points) {
    const start = Math.floor(Date.parse(point.at) / 1000 / over_s) * over_s;
    if (!stretches.has(start)) stretches.set(start, []);
    if (point[name] != null) stretches.get(start).push(point[name]);
  }
  return [[...stretches.keys()], [...stretches.values()].map((values) => (values.length ? together(values) : null))];
}

function Metric({ chart, points, hours, to, bands }) {
  const { id, unit, limit, bars, grows, scale = 1, of } = chart, over_s = bars ? CONFLICTS_OVER_S : (hours * 3600) / ACROSS;
  const [times, rows] = useMemo(() => {
    const found = of.map((name, i) => gathered(points, name, over_s, bars ? total : i ? most : mean));
    return [found[0][0], found.map(([, values]) => values.map((x) => (x == null ? null : x / scale)))];
  }, [points, over_s]);
  const lines = useMemo(() => rows.map((values, i) => ({ values, quiet: i > 0 })).reverse(), [rows]); // the first is drawn last, on top
  const all = measured(rows.flat()), [low, high] = range(chart, all), worst = rows.at(-1), now = rows.map(last);
  const peak = all.length ? Math.max(...measured(worst)) : null, sum = total(all), first = measured(rows[0])[0] ?? 0;
  const good = limit == null || now.at(-1) == null ? null : now.at(-1) <= limit;
  const foot = !all.length ? "" : bars ? t("perf.total", { n: number(sum) })
    : grows ? t("perf.grown", { x: said(Math.max(0, now[0] - first), unit) })
    : t("perf.max", { x: said(peak, unit), time: clock(new Date(times[worst.indexOf(peak)] * 1000)) });
  const text = `${t(`perf.${id}`)}: ${now.map((x, i) => (of.length > 1 ? `${t(i ? "perf.p99" : "perf.median")} ` : "") + said(bars ? sum : x, unit)).join(", ")}. ${foot}`;
  return html`<section class="metric" aria-labelledby=${`m-${id}`}>
    <div class="metric-top"><div><h2 id=${`m-${id}`}>${t(`perf.${id}`)}</h2><p class="soft">${t(`perf.${id}.why`)}</p></div>
      <p class="metric-now">${said(bars ? sum : now[0], bars ? "" : unit)}${good != null && html`<small class=${good ? "" : "warn"}>${t(good ? "perf.ok" : "perf.high")}</small>`}</p></div>
    <${Chart} times=${times} lines=${lines} limit=${limit} bars=${bars} bands=${bands} from=${to - hours * 3600} to=${to} low=${low} high=${high} text=${text} />
    <p class="metric-foot">${of.length > 1 && html`<span class="key key-p50">${t("perf.median")} ${said(now[0], unit)}</span><span class="key key-p99">${t("perf.p99")} ${said(now[1], unit)}</span>`}
      ${limit != null && html`<span class="key key-limit">${t("perf.good", { x: `${number(limit)}\u00a0${unit}` })}</span>`}${foot && html`<span>${foot}</span>`}</p></section>`;
}

export function Performance() {
  const [hours, setHours] = useState(HOURS.at(-1)), report = useGet("/api/v1/performance", { hours }, { every: EVERY_MS });
  const bands = useMemo(() => (report.data?.outages ?? []).map((one) => [Date.parse(one.from) / 1000, one.to ? Date.parse(one.to) / 1000 : Infinity]), [report.data]);
  const latest = report.data?.points.at(-1), to = latest ? Date.parse(latest.at) / 1000 : 0;
  const choice = html`<fieldset class="segments"><legend class="quiet">${t("perf.range")}</legend><div>${HOURS.map((n) => html`<label key=${n}>
    <input type="radio" name="range" id=${`range-${n}`} value=${n} checked=${hours === n} onChange=${() => setHours(n)} /><span>${t("perf.hours", { n })}</span></label>`)}</div></fieldset>`;
  const lead = html`${t("perf.lead", { n: hours })} ${bands.length > 0 && html`<span class="band-key"><span class="hatch" aria-hidden="true"></span>${t("perf.band")}</span>`}`;
  return html`${head(t("perf.title"), lead, choice)}${
    report.error && !report.data ? failed(report.error, report.again) : !report.data ? loading("charts")
    : !report.data.points.length ? empty(t("empty.perf"), t("empty.perf.text"))
    : html`<div class="metrics">${CHARTS.map((chart) => html`<${Metric} key=${chart.id} chart=${chart} points=${report.data.points} hours=${hours} to=${to} bands=${bands} />`)}</div>`}`;
}
