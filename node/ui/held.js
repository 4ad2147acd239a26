// A list that does not move under a finger: what is new waits outside while somebody touches or focuses the list.
import { useLayoutEffect, useRef, useState } from "./base.js";

const RESTING_MS = 4000;   // a mouse that lies still that long touches nothing

// ids: what the list would show. left(id, next): told when the row that has the focus leaves; next: the id of its
// neighbour, null where there is none. Rows carry `data-id`. Returns
//   shown    the ids to show; while a pointer is there also those that are gone
//   waiting  how many ids are not let in
//   letIn    lets them in
//   props    of the element around the list
export function useHeld(ids, left) {
  const [pointer, setPointer] = useState(false), [focused, setFocused] = useState(false), [, draw] = useState(0);
  const shown = useRef(ids), focus = useRef(null), rest = useRef(0);
  const there = new Set(ids), before = shown.current;
  if (!pointer) shown.current = focused ? before.filter((id) => there.has(id)) : ids;
  if (pointer || focused) { // what comes after all of them moves none
    const held = new Set(shown.current), after = ids.slice(ids.findLastIndex((id) => held.has(id)) + 1);
    if (after.length) shown.current = [...shown.current, ...after];
  }

  useLayoutEffect(() => {
    const lost = focus.current;
    if (lost === null || shown.current.includes(lost)) return;
    const place = before.indexOf(lost), neighbours = [...before.slice(place + 1), ...before.slice(0, place).reverse()];
    const next = neighbours.find((id) => there.has(id)) ?? null;
    focus.current = null;
    if (next === null) setFocused(false);
    left(lost, next);
  });
  useLayoutEffect(() => () => clearTimeout(rest.current), []);

  const release = () => { clearTimeout(rest.current); setPointer(false); };
  const touch = (event) => {
    clearTimeout(rest.current);
    if (event.pointerType === "mouse" && !event.buttons) rest.current = setTimeout(release, RESTING_MS);
    setPointer(true);
  };
  const visible = pointer || focused ? new Set(shown.current) : null;
  return {
    shown: shown.current,
    waiting: visible ? ids.filter((id) => !visible.has(id)).length : 0,
    letIn() { shown.current = ids; release(); draw((n) => n + 1); },
    props: {
      onpointerdown: touch, onpointermove: touch, onpointerleave: release, onpointercancel: release,
      onfocusin(event) { focus.current = event.target.closest("[data-id]")?.dataset.id ?? null; setFocused(true); },
      onfocusout(event) {
        const leaving = focus.current !== null && !shown.current.includes(focus.current);   // it is being taken out of the document
        if (leaving || event.currentTarget.contains(event.relatedTarget)) return;
        focus.current = null;
        setFocused(false);
      },
    },
  };
}
