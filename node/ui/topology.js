// One drawing: this node, a wire to each node that it is linked with, and who sits there.
import { html, useLayoutEffect, useRef, useState } from "./base.js";
import { icon, path } from "./icons.js";
import { clock, millis, number, when } from "./formats.js";
import { t } from "./words.js";

const LEAVES = 6, MOST = 20;   // terminals drawn at a node; nodes drawn
const NARROW = 560, ROOMY = 800, BOX = 52, ROW = 24, BESIDE = 2, CELL = 150;   // px; rows beside this node that leave room for the wires

export const stateWord = (x) => (x.state === "queue" ? (x.waiting ? t("state.queue", { n: number(x.waiting) }) : t("state.queue0")) : t(`state.${x.state}`));
export const awayText = (node) => (node.since ? t("net.away", { time: when(node.since) }) : t("net.never"));
export const linkText = (node) => (!node.up ? awayText(node) : node.waiting ? t("net.togo", { n: number(node.waiting), lag: node.delayMs === null ? "—" : millis(node.delayMs) }) : node.delayMs === null ? stateWord(node) : millis(node.delayMs));
const tone = (node) => (!node.up ? "away" : node.state === "need" ? "synced" : node.state);

let ruler = null;
function width(text) {
  ruler ??= document.createElement("canvas").getContext("2d");
  ruler.font = `700 14px ${getComputedStyle(document.body).fontFamily}`;
  return ruler.measureText(text).width;
}
function fit(text, px) {
  if (width(text) <= px) return text;
  const letters = [...text];
  while (letters.length > 1 && width(`${letters.join("")}…`) > px) letters.pop();
  return `${letters.join("")}…`;
}

const glyph = (name, x, y, size, ink) => html`<g class=${"glyph ink-" + ink} transform=${`translate(${x} ${y}) scale(${size / 20})`}><path d=${path(name)} /></g>`;

// slim: the sign stands in the corner, to leave room for words.
function box(key, x, y, w, { title, second, state, cls = "", aside = "", asideW = 0, slim = false }) {
  const left = slim ? 9 : 12, room = w - 2 * left - (slim ? 16 : asideW || (aside ? width(aside) + 8 : 0));
  return html`<g key=${key}><title>${title}</title><rect class=${`node node-${state} ${cls}`} x=${x} y=${y} width=${w} height=${BOX} rx="10" />
    <text class="node-name" x=${x + left} y=${y + 21}>${fit(title, room)}</text>${aside ? html`<text class="node-aside" x=${x + w - 12} y=${y + 21} text-anchor="end">${aside}</text>` : ""}
    ${slim ? glyph(state, x + w - 21, y + 9, 14, state) : glyph(state, x + 12, y + 29, 14, state)}<text class=${"node-state ink-" + state} x=${x + left + (slim ? 0 : 19)} y=${y + 41}>${fit(second, w - left - (slim ? 6 : 26))}</text></g>`;
}

function leaf(x, y, w, terminal) {
  const state = terminal.more ? null : terminal.online || terminal.state === "need" ? terminal.state : "away";
  return html`<g key=${terminal.id} class="leaf"><title>${terminal.id}</title>${state ? glyph(state, x, y - 10, 13, state) : ""}<text class=${terminal.online ? "leaf-name" : "leaf-name leaf-off"} x=${x + 19} y=${y + 1}>${fit(terminal.id, w - 19)}</text></g>`;
}

function tag(node, at, y, W) {
  const text = linkText(node), w = width(text) + 16, x = Math.min(Math.max(at, w / 2 + 1), W - w / 2 - 1);
  return html`<g key=${"tag/" + node.id}><rect class=${"tag tag-" + tone(node)} x=${x - w / 2} y=${y} width=${w} height="24" rx="12" /><text class="tag-text" x=${x} y=${y + 16.5} text-anchor="middle">${text}</text></g>`;
}

const hubBox = (hub, x, w) => box("hub", x, 8, w, { title: hub.id, second: stateWord(hub), state: hub.state, cls: "node-hub", aside: t("net.self") });

// A tree downwards, where every node has room; else null.
function wide(W, hub, nodes) {
  const roomy = W > ROOMY, n = nodes.length, gap = roomy ? 16 : 8, w = Math.min((W - 2 - gap * (n - 1)) / n, 260), left = (W - n * w - gap * (n - 1)) / 2;
  if (w < 112 || W < NARROW) return null;
  const hubW = 216, hubX = (W - hubW) / 2, leafX = roomy ? 30 : 2, middle = (i) => left + i * (w + gap) + w / 2, beside = hubX + hubW + 20;
  const own = hub.leaves, columns = Math.max(1, Math.floor((W - beside) / CELL)), rows = Math.ceil(own.length / columns), nodeY = 150 + Math.max(0, rows - BESIDE) * ROW;
  const most = Math.max(0, ...nodes.map((node) => node.leaves.length)), H = n ? nodeY + BOX + 14 + most * ROW + 4 : Math.max(68, 26 + rows * ROW);
  const from = (i) => W / 2 + (i - (n - 1) / 2) * Math.min(34, 200 / n);
  return [H, [
    nodes.map((node, i) => html`<path key=${node.id} class=${"wire wire-" + tone(node)} d=${`M${from(i)} 60C${from(i)} ${nodeY - 38} ${middle(i)} ${nodeY - 78} ${middle(i)} ${nodeY}`} />`),
    nodes.map((node, i) => tag(node, middle(i), nodeY - (roomy ? 42 : i % 2 ? 58 : 32), W)),
    hubBox(hub, hubX, hubW),
    own.length ? html`<path class="twig" d=${`M${hubX + hubW} 34h14`} />` : "", own.map((terminal, k) => leaf(beside + (k % columns) * CELL, 38 + Math.floor(k / columns) * ROW, Math.min(CELL, W - beside), terminal)),
    nodes.map((node, i) => {
      const x = left + i * (w + gap), list = node.leaves;
      return [box(node.id, x, nodeY, w, { title: node.id, second: stateWord(node), state: node.state, cls: node.up ? "" : "node-gone", slim: !roomy }),
        roomy && list.length ? html`<path class="twig" d=${`M${x + 16} ${nodeY + BOX}v${19 + (list.length - 1) * ROW}${list.map((_, k) => `M${x + 16} ${nodeY + BOX + 19 + k * ROW}h9`).join("")}`} />` : "",
        list.map((terminal, k) => leaf(x + leafX, nodeY + BOX + 23 + k * ROW, w - leafX, terminal))];
    })]];
}

// The same tree on its side, for a phone, and for more nodes than fit.
function tall(W, hub, nodes) {
  const trunk = 16, x = 38, rows = (list) => Math.ceil(list.length / across), across = Math.max(1, Math.floor((W - x) / CELL)), cell = (W - x - 12) / across, parts = [];
  const leaves = (list, y) => list.map((terminal, k) => leaf(x + 12 + (k % across) * cell, y + 21 + Math.floor(k / across) * ROW, cell, terminal));
  let y = 74 + (hub.leaves.length ? rows(hub.leaves) * ROW + 6 : 0), last = 60;
  parts.push(leaves(hub.leaves, 60));
  for (const node of nodes) {
    const text = linkText(node), tagW = width(text) + 16;
    parts.push(html`<path key=${node.id} class=${"wire wire-" + tone(node)} d=${`M${trunk} ${last}V${y + 18}Q${trunk} ${y + 26} ${trunk + 8} ${y + 26}H${x}`} />`);
    parts.push(box(node.id + "/box", x, y, W - x - 1, { title: node.id, second: stateWord(node), state: node.state, cls: node.up ? "" : "node-gone", asideW: tagW + 8 }), tag(node, W - tagW / 2 - 10, y + 5, W), leaves(node.leaves, y + BOX));
    last = y + 18;
    y += BOX + 18 + rows(node.leaves) * ROW + 8;
  }
  return [y, [parts, hubBox(hub, 1, W - 2)]];
}

// hub: this node. nodes: nodesOf(); terminals: terminalsOf(); the worst come first in both.
export function Topology({ hub, nodes, terminals }) {
  const frame = useRef(null), [W, measure] = useState(0);
  useLayoutEffect(() => {
    const look = () => measure(Math.max(240, Math.min(1000, Math.floor(frame.current.clientWidth))));
    const watch = new ResizeObserver(look);
    look();
    watch.observe(frame.current);
    return () => watch.disconnect();
  }, []);
  const withLeaves = (node) => {
    const mine = terminals.filter((terminal) => terminal.node === node.id), rest = mine.length - LEAVES;
    return { ...node, leaves: rest > 1 ? [...mine.slice(0, LEAVES), { id: t("net.more", { n: number(rest) }), more: true }] : mine };
  };
  const drawn = nodes.slice(0, MOST).map(withLeaves), left = nodes.length - drawn.length;
  const text = nodes.length ? nodes.map((node) => `${node.id}: ${stateWord(node)}${node.up ? "" : ", " + awayText(node)}`).join("; ") : t("net.alone");
  const [H, inside] = W ? wide(W, withLeaves(hub), drawn) ?? tall(W, withLeaves(hub), drawn) : [0, ""];
  return html`<div class="map" ref=${frame}>${W ? html`<svg class="topology" width=${W} height=${H} viewBox=${`0 0 ${W} ${H}`} role="img" aria-label=${t("net.picture", { text })}>${inside}</svg>` : ""}${left > 0 ? html`<p class="soft">${t("net.more", { n: number(left) })}</p>` : ""}</div>`;
}
