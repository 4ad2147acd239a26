// A long list of which only what is near the screen is in the document. Heights are measured, so that nothing jumps.
import { html, useLayoutEffect, useRef, useState } from "./base.js";

const WHOLE = 40, CHUNK = 8;   // rows that are drawn all; rows of a longer list that come and go together
const GUESS = 150;             // px that a row is high which was never seen

// Every list on the page is measured in one go, before any is drawn again: each change of the document in between would
// have the browser lay out everything once more.
const lists = new Set();
let frame = 0;
function later() {
  frame ||= requestAnimationFrame(() => { frame = 0; for (const list of lists) list.current(); });
}
addEventListener("scroll", later, { passive: true });
addEventListener("resize", later);

// ids: the whole list. row: (id, { index, size }) => <li>, with key and data-id, data-index.
export function Windowed({ ids, row, ...props }) {
  const list = useRef(null), heights = useRef(new Map()), look = useRef(null);
  const [[first, end], setRange] = useState([0, 2]);
  const chunks = Math.ceil(ids.length / CHUNK), whole = ids.length <= WHOLE;
  const from = whole ? 0 : Math.min(first, Math.max(chunks - 1, 0)), to = whole ? chunks : Math.max(Math.min(end, chunks), from + 1);
  const heightOf = (chunk) => heights.current.get(chunk) ?? mean(heights.current);
  const sum = (a, b) => { let px = 0; for (let i = a; i < b; i++) px += heightOf(i); return px; };

  look.current = () => {
    if (whole) return;
    measure(list.current, heights.current);
    const { top } = list.current.getBoundingClientRect(), near = innerHeight * 0.75;
    let a = 0, px = top;
    while (a < chunks - 1 && px + heightOf(a) < -near) px += heightOf(a++);
    let b = a;
    while (b < chunks && px < innerHeight + near) px += heightOf(b++);
    const focused = list.current.contains(document.activeElement) ? document.activeElement.closest("[data-index]") : null;
    const kept = focused ? Math.floor(focused.dataset.index / CHUNK) : a;   // the focus never leaves the document
    a = Math.min(a, kept);
    b = Math.max(b, a + 1, kept + 1);
    setRange((old) => (old[0] === a && old[1] === b ? old : [a, b]));
  };
  useLayoutEffect(() => { lists.add(look); return () => lists.delete(look); }, []);
  useLayoutEffect(later);

  const rows = [];
  for (let i = from * CHUNK; i < Math.min(to * CHUNK, ids.length); i++) rows.push(row(ids[i], { index: i, size: ids.length }));
  const spacer = (key, a, b) => (a < b ? html`<li key=${key} class="spacer" aria-hidden="true" style=${{ height: `${sum(a, b)}px` }}></li>` : null);
  return html`<ul ref=${list} ...${props}>${spacer("above", 0, from)}${rows}${spacer("below", to, chunks)}</ul>`;
}

function mean(heights) {
  if (!heights.size) return CHUNK * GUESS;
  let px = 0;
  for (const height of heights.values()) px += height;
  return px / heights.size;
}

// A chunk is as high as the way from its first row to the first one after it.
function measure(list, heights) {
  let last = null;
  for (const li of list.children) {
    const { index } = li.dataset;
    if (index !== undefined && index % CHUNK !== 0) continue;
    if (last) heights.set(last.chunk, li.offsetTop - last.top);
    last = index === undefined ? null : { chunk: index / CHUNK, top: li.offsetTop };
  }
}
