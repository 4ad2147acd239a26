// What an operation changed of what was shown, a row a field, and of a list of elements a row an element.

import { member } from "./base.js";
import { named } from "./order_data.js";

const isPlain = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isKeyed = (value) => Array.isArray(value) && value.length > 0 && value.every((one) => isPlain(one) && one.id !== undefined);
// Two values are the same whatever the order of an object's members.
export const same = (a, b) => a === b || JSON.stringify(ordered(a)) === JSON.stringify(ordered(b));
function ordered(value) {
  if (Array.isArray(value)) return value.map(ordered);
  return isPlain(value) ? Object.fromEntries(Object.keys(value).sort().map((name) => [name, ordered(value[name])])) : value;
}
export const nameOf = (element) => String(named(element.name, element.id) ?? "");

// before, after: members by name. -> [{ name, of, from, to }]; `of` names the element that a member belongs to, `element`
// is that, as it became, `list` the field it is on. from, to:
// undefined where there was nothing; arrays of elements where some were taken off or added.
export function changes(before, after) {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])].filter((name) => name !== "version");
  return names.flatMap((name) => changesOf(name, member(before, name), member(after, name)));
}

const isElements = (value) => value === undefined || (Array.isArray(value) && (!value.length || isKeyed(value)));

function changesOf(name, from, to) {
  if (same(from, to)) return [];
  if (!(isKeyed(from) || isKeyed(to)) || !isElements(from) || !isElements(to)) return [{ name, from, to }];
  const was = new Map((from ?? []).map((one) => [one.id, one])), is = new Map((to ?? []).map((one) => [one.id, one]));
  const off = [...was.values()].filter((one) => !is.has(one.id)), added = [...is.values()].filter((one) => !was.has(one.id));
  return [
    ...(added.length ? [{ name, to: added }] : []), ...(off.length ? [{ name, from: off }] : []),
    ...[...is.values()].filter((one) => was.has(one.id)).flatMap((one) => memberChanges(name, was.get(one.id), one)),
  ];
}

function memberChanges(list, from, to) {
  const members = [...new Set([...Object.keys(from), ...Object.keys(to)])].filter((name) => !same(member(from, name), member(to, name)));
  return members.map((name) => ({ name, of: nameOf(to), list, element: to, from: member(from, name), to: member(to, name) }));
}
