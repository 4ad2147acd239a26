// What every view is written with: preact's components in htm's templates. Values become text, never markup.
import { h, render, Fragment } from "./vendor/preact.js";
import { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useErrorBoundary, useId } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export { render, Fragment, useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useErrorBoundary, useId };

// Names of fields, types and nodes come from outside. What every object inherits (`constructor`) is none of them, so what is
// looked up by such a name is asked for by `member`, and what is kept by one stands in a Map or in `bare()`.
export const member = (object, name) => (object != null && Object.hasOwn(object, name) ? object[name] : undefined);
export const bare = (...parts) => Object.assign(Object.create(null), ...parts);

// To screen readers, and only what they must hear: decisions and lost contact, not each operation.
export function say(text, urgent = false) {
  const box = document.getElementById(urgent ? "urgent" : "polite");
  box.textContent = "";
  setTimeout(() => { box.textContent = text; }, 40); // the same text twice is heard twice
}

// A value that changes by itself, such as the time for ages. It ticks while the page is seen only.
export function useNow(everyMs = 30000) {
  const [now, set] = useState(() => new Date());
  useEffect(() => {
    const tick = () => { if (!document.hidden) set(new Date()); };
    const timer = setInterval(tick, everyMs);
    document.addEventListener("visibilitychange", tick);
    return () => { clearInterval(timer); document.removeEventListener("visibilitychange", tick); };
  }, [everyMs]);
  return now;
}

// Draws again whenever one of these says that it changed. source: {subscribe(callback) -> unsubscribe}
export function useChanges(source) {
  const [, set] = useState(0);
  useEffect(() => source.subscribe(() => set((n) => n + 1)), [source]);
}

export function changes() {
  const listeners = new Set();
  return {
    subscribe(listener) { listeners.add(listener); return () => listeners.delete(listener); },
    tell() { for (const listener of [...listeners]) listener(); },
  };
}
