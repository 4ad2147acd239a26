// What an operation changed of what was shown, a row a field, and of a list of elements a row an element.

const isPlain = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isKeyed = (value) => Array.isArray(value) && value.length > 0 && value.every((one) => isPlain(one) && one.id !== undefined);
const same = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);
export const nameOf = (element) => String(element.name ?? element.id);

// before, after: members by name. -> [{ name, of, from, to }]; `of` is the element that a member belongs to, from and to
// are undefined where there was nothing.
export function changes(before, after) {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])].filter((name) => name !== "version");
  return names.flatMap((name) => changesOf(name, before?.[name], after?.[name]));
}

function changesOf(name, from, to) {
  if (same(from, to)) return [];
  if (!(isKeyed(from) || isKeyed(to)) || ![from ?? [], to ?? []].every((list) => Array.isArray(list) && (!list.length || isKeyed(list)))) return [{ name, from, to }];
  const was = new Map((from ?? []).map((one) => [one.id, one])), is = new Map((to ?? []).map((one) => [one.id, one]));
  return [...new Set([...was.keys(), ...is.keys()])].flatMap((id) => elementChanges(name, was.get(id), is.get(id)));
}

function elementChanges(name, from, to) {
  if (same(from, to)) return [];
  if (!from || !to) return [{ name, from, to }];
  const of = nameOf(to);
  return [...new Set([...Object.keys(from), ...Object.keys(to)])].filter((member) => !same(from[member], to[member])).map((member) => ({ name: member, of, from: from[member], to: to[member] }));
}
