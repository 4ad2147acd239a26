// One chart by uPlot: ink on paper, a colour only above what is good and where a link was down.
import { html, useEffect, useRef } from "./base.js";
import { number, clock } from "./formats.js";
import { locale } from "./words.js";
import uPlot from "./vendor/uplot.js";

const HEIGHT = 148;
const LABEL = 24; // half the width of a time below the level axis: nearer to the edge it would be cut
const FEW = 3; // so many values make no line that can be seen

// A canvas takes no custom properties, so the page's colours are looked up when it is drawn.
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const font = () => `13px ${colour("font")}`;

// Ink up to what is good, the colour of waiting above it.
function stroke(name, limit) {
  return (u) => {
    const { top, height } = u.bbox;
    if (limit == null || !height) return colour(name);
    const at = Math.min(1, Math.max(0, (u.valToPos(limit, "y", true) - top) / height));
    const fade = u.ctx.createLinearGradient(0, top, 0, top + height);
    for (const [place, word] of [[0, "queue"], [at, "queue"], [at, name], [1, name]]) fade.addColorStop(place, colour(word));
    return fade;
  };
}

function drawBands(u, bands) {
  const { top, height, left, width } = u.bbox;
  u.ctx.fillStyle = colour("queue-wash");
  for (const [from, to] of bands) {
    const start = Math.max(left, u.valToPos(from, "x", true)), end = Math.min(left + width, u.valToPos(to, "x", true));
    if (end > start) u.ctx.fillRect(start, top, end - start, height);
  }
}

function drawLimit(u, limit) {
  const { left, width } = u.bbox, y = Math.round(u.valToPos(limit, "y", true)), { ctx } = u;
  ctx.save();
  ctx.strokeStyle = colour("edge");
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(left, y);
  ctx.lineTo(left + width, y);
  ctx.stroke();
  ctx.restore();
}

function options({ times, lines, limit, bars, bands, from, to, low, high }, width) {
  const paths = bars ? uPlot.paths.bars({ size: [0.8, 14], radius: 0.15 }) : undefined;
  const line = ({ quiet }) => ({
    stroke: stroke(quiet ? "edge" : bars ? "ink-2" : "ink", limit), width: bars ? 0 : quiet ? 1.5 : 2, paths,
    fill: bars ? () => colour("ink-2") : undefined, points: { show: !bars && times.length < FEW, size: 5 }, spanGaps: false,
  });
  return {
    width, height: HEIGHT, legend: { show: false }, cursor: { show: false }, padding: [8, 0, 0, 2],
    scales: { x: { time: true, range: () => [from, to] }, y: { range: () => [low, high] } },
    series: [{}, ...lines.map(line)],
    axes: [
      { stroke: () => colour("ink-3"), font: font(), size: 24, gap: 4, space: 64, grid: { show: false }, ticks: { show: false }, values: (_, at) => at.map((s) => ((s - from) * width < (to - from) * LABEL ? "" : clock(new Date(s * 1000)))) },
      { side: 1, stroke: () => colour("ink-3"), font: font(), size: 46, gap: 6, grid: { stroke: () => colour("line"), width: 1 }, ticks: { show: false }, splits: () => [low, (low + high) / 2, high], values: (_, at) => at.map((v) => number(v, v % 1 ? 1 : 0)) },
    ],
    hooks: {
      drawClear: [(u) => drawBands(u, bands)],
      draw: [(u) => { if (limit != null) drawLimit(u, limit); }],
    },
  };
}

// lines: [{ values, quiet }], each value of the time at its place in `times` (seconds), null where nothing was measured.
// bands: [from, to] in seconds. from, to: what the level axis shows, in seconds; low, high: the upright one. text: the chart in
// words.
export function Chart({ times, lines, limit, bars, bands, from, to, low, high, text }) {
  const box = useRef(null);
  useEffect(() => {
    const host = box.current, plot = { now: null };
    const draw = () => {
      const width = host.clientWidth;
      if (!width || plot.now?.width === width) return;
      plot.now?.destroy();
      plot.now = new uPlot(options({ times, lines, limit, bars, bands, from, to, low, high }, width), [times, ...lines.map((line) => line.values)], host);
      for (const part of host.querySelectorAll(".u-over")) part.remove(); // nothing is picked in it
    };
    const again = () => plot.now?.redraw();
    const sized = new ResizeObserver(draw), themed = new MutationObserver(again), dark = matchMedia("(prefers-color-scheme: dark)");
    sized.observe(host);
    themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    dark.addEventListener("change", again);
    draw();
    return () => { sized.disconnect(); themed.disconnect(); dark.removeEventListener("change", again); plot.now?.destroy(); };
  }, [times, lines, limit, bars, bands, from, to, low, high, locale()]);
  return html`<div class="chart" ref=${box} role="img" aria-label=${text}></div>`;
}
