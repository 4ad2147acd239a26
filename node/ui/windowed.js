// A long list of which only what is near the screen is in the document. Heights are measured, so that nothing jumps.
import { html, useLayoutEffect, useRef, useState } from "./base.js";

const CHUNK = 24, GUESS = 150;   // rows that come and go together; what a row is high that was never seen, in px

// ids: the whole list. row: (id, { index, size }) => <li>, with key and data-id.
export function Windowed({ ids, row, ...props }) {
  const list = useRef(null), heights = useRef(new Map());
  const [[first, end], setRange] = useState([0, 2]);
  const chunks = Math.ceil(ids.length / CHUNK), whole = ids.length <= 2 * CHUNK;
  const from = whole ? 0 : Math.min(first, Math.max(chunks - 1, 0)), to = whole ? chunks : Math.max(Math.min(end, chunks), from + 1);
  const heightOf = (chunk) => heights.current.get(chunk) ?? mean(heights.current);
  const sum = (a, b) => { let px = 0; for (let i = a; i < b; i++) px += heightOf(i); return px; };

  useLayoutEffect(() => {
    if (whole) return undefined;
    const look = () => {
      frame = 0;
      const box = list.current?.getBoundingClientRect();
      if (!box) return;
      const margin = innerHeight, top = -box.top - margin, bottom = innerHeight - box.top + margin;
      let a = 0, px = 0;
      while (a < chunks - 1 && px + heightOf(a) < top) px += heightOf(a++);
      let b = a;
      while (b < chunks && px < bottom) px += heightOf(b++);
      const place = list.current.contains(document.activeElement) ? document.activeElement.closest("[data-index]") : null;
      if (place) { const chunk = Math.floor(place.dataset.index / CHUNK); a = Math.min(a, chunk); b = Math.max(b, chunk + 1); }   // never take the focus out of the document
      setRange((old) => (old[0] === a && old[1] === b ? old : [a, Math.max(b, a + 1)]));
    };
    let frame = 0;
    const later = () => { frame ||= requestAnimationFrame(look); };
    measure(list.current, heights.current);
    look();
    addEventListener("scroll", later, { passive: true });
    addEventListener("resize", later);
    return () => { cancelAnimationFrame(frame); removeEventListener("scroll", later); removeEventListener("resize", later); };
  });

  const rows = [];
  for (let i = from * CHUNK; i < Math.min(to * CHUNK, ids.length); i++) rows.push(row(ids[i], { index: i, size: ids.length }));
  return html`<ul ref=${list} ...${props}>
    ${from > 0 ? html`<li key="above" class="spacer" aria-hidden="true" style=${{ height: `${sum(0, from)}px` }}></li>` : null}
    ${rows}
    ${to < chunks ? html`<li key="below" class="spacer" aria-hidden="true" style=${{ height: `${sum(to, chunks)}px` }}></li>` : null}</ul>`;
}

function mean(heights) {
  if (!heights.size) return CHUNK * GUESS;
  let px = 0;
  for (const height of heights.values()) px += height;
  return px / heights.size;
}

// A chunk is as high as the way from its first row to the first one after it.
function measure(list, heights) {
  const starts = [...list.children].filter((li) => li.dataset.index % CHUNK === 0 || !li.dataset.index);
  starts.forEach((li, i) => {
    const next = starts[i + 1];
    if (li.dataset.index !== undefined && next) heights.set(Math.floor(li.dataset.index / CHUNK), next.offsetTop - li.offsetTop);
  });
}
