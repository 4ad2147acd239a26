import { html } from "./base.js";

// 20 x 20, one stroke width. Each sync state has its own shape, so that colour never speaks alone.
const paths = {
  conflicts: "M3.5 10.5h3.7l1.3 2.3h3l1.3-2.3h3.7M3.5 10.5 5.6 4h8.8l2.1 6.5V16h-13z",
  terminals: "M7.5 3h5v4h-5zM2.5 13h5v4h-5zM12.5 13h5v4h-5zM10 7v3M5 13v-3h10v3",
  orders: "M5 2.8h10v14.4l-1.7-1.3-1.6 1.3-1.7-1.3-1.7 1.3-1.6-1.3L5 17.2zM8 7h4M8 10.3h4",
  stores: "M3 8h14M4.500 8V16.500h11V8M3 8l1.500-4.500h11L17 8M8.500 16.500v-4.500h3v4.500",
  history: "M3.2 10a6.8 6.8 0 1 0 2.1-4.9M3.2 3v3.6h3.6M10 6.4V10l2.6 1.6",
  audit: "M4 4.5h8.5M4 9h6M4 13.5h4M11 13.8l2.2 2.2 4-4.6",
  performance: "M3 16.5h14M5 13.2l3.2-4 3 2.3L15.5 5",
  node: "M3.5 3.5h13v5h-13zM3.5 11.5h13v5h-13zM6.5 6h.01M6.5 14h.01",
  more: "M3.500 10a1 1 0 1 0 2 0a1 1 0 1 0-2 0M9 10a1 1 0 1 0 2 0a1 1 0 1 0-2 0M14.500 10a1 1 0 1 0 2 0a1 1 0 1 0-2 0",
  saved: "M4 4h9.5L16 6.5V16H4zM7 4v4h5V4M7 16v-4h6v4",
  queue: "M4 5h12M4 10h12M4 15h7",
  syncing: "M16 8.2A6.3 6.3 0 0 0 4.6 6.6M4 11.8a6.3 6.3 0 0 0 11.4 1.6M4.4 3v3.8h3.8M15.6 17v-3.8h-3.8",
  synced: "M10 3a7 7 0 1 1 0 14 7 7 0 0 1 0-14zM6.8 10.2l2.2 2.2 4.2-4.6",
  need: "M10 3.2 18 16.8H2zM10 8.2v3.8M10 14.4h.01",
  away: "M3 3l14 14M5.6 8.4A8 8 0 0 1 8 7M2.6 6.2a12 12 0 0 1 2-1.4M10 6.5c1.7 0 3.2.7 4.4 1.9M9 3.6A12 12 0 0 1 17.4 7M7.9 11.3a3.5 3.5 0 0 1 2.6-.8M10 15h.01",
  lock: "M5 9h10v7.5H5zM7 9V6.5a3 3 0 0 1 6 0V9",
  frozen: "M10 2.5v15M3.5 6.2l13 7.6M16.5 6.2l-13 7.6M8 4l2 1.8L12 4M8 16l2-1.8L12 16",
  check: "M4 10.5l4 4 8-9",
  next: "M7.5 4.5 13 10l-5.5 5.5",
  back: "M12.5 4.5 7 10l5.5 5.5",
  down: "M4.5 7.5 10 13l5.5-5.5",
  undo: "M4 8h8a4.2 4.2 0 0 1 0 8.4H8M7.2 4.5 3.8 8l3.4 3.5",
  search: "M8.8 3.5a5.3 5.3 0 1 1 0 10.6 5.3 5.3 0 0 1 0-10.6zM12.8 12.8l4 4",
  key: "M6.500 6.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7zM10 10h7.500v3.500M14.500 10v2.500",
  save: "M10 3v9M6.3 8.7 10 12.3l3.7-3.6M4 16.5h12",
  person: "M10 3.5a3 3 0 1 1 0 6 3 3 0 0 1 0-6zM4 17c.4-3.4 2.8-5 6-5s5.600 1.600 6 5",
  customers: "M10 3.5a3 3 0 1 1 0 6 3 3 0 0 1 0-6zM4 17c.4-3.4 2.8-5 6-5s5.600 1.600 6 5",
  cashier_operations: "M3 9h14v7.500H3zM5 9l1-5h8l1 5M8.500 12.800h3",
  products: "M3.5 6.500 10 3l6.500 3.500v7L10 17l-6.500-3.500zM3.500 6.500 10 10l6.500-3.500M10 10v7",
  pos: "M3 9h14v7.500H3zM5 9l1-5h8l1 5M8.500 12.800h3",
  waiter: "M6 2.500h8v15H6zM9 15h2",
  kds: "M2.500 4h15v9.500h-15zM7 17h6M10 13.500V17",
  monitor: "M2.500 4h15v9.500h-15zM5.500 10.500l2.500-3 2 2 3-3.500M7 17h6",
  clock: "M10 3a7 7 0 1 1 0 14 7 7 0 0 1 0-14zM10 6v4l2.600 1.600",
  refused: "M10 3a7 7 0 1 1 0 14 7 7 0 0 1 0-14zM5.200 5.200l9.600 9.600",
};

// extra: a class of its own.
export function icon(name, size = 20, extra = "") {
  return html`<svg class="icon ${extra}" width=${size} height=${size} viewBox="0 0 20 20" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false"><path d=${paths[name] || paths.node} /></svg>`;
}

export const path = (name) => paths[name];
