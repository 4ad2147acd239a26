// Conflicts that are one decision to people: the fields of one entity that the same operations dispute. The node has one a field.

const named = (one) => `${one.terminal_id}/${one.operation_id}`;
const about = ({ id, entity_type, entity_id, candidates }) => JSON.stringify([entity_type, entity_id, candidates.some((one) => "deleted_at" in one.data) ? id : candidates.map(named)]);

// conflicts: as GET /api/v1/conflicts has them. -> the same shape, with `parts`: the conflicts that each is made of, the
// oldest first, whose id it has. They stand in the order in which the first of each came.
export function joined(conflicts) {
  const groups = new Map();
  for (const conflict of conflicts) {
    const key = about(conflict), group = groups.get(key);
    if (group) group.push(conflict);
    else groups.set(key, [conflict]);
  }
  return [...groups.values()].map(asOne);
}

function asOne(parts) {
  if (parts.length === 1) return { ...parts[0], parts };
  parts.sort((a, b) => (a.created_at === b.created_at ? (a.id < b.id ? -1 : 1) : a.created_at < b.created_at ? -1 : 1));
  const [first] = parts;
  return {
    ...first, parts,
    candidates: first.candidates.map((one, i) => ({ ...one, data: together(parts.map((part) => part.candidates[i].data)) })),
    before: together(parts.map((part) => part.before)),
  };
}

const together = (objects) => objects.reduce((all, one) => ({ ...all, ...one }), {});

let last = [null, []];
// Of the list that the store holds: made once, however many ask.
export function casesOf(conflicts) {
  if (last[0] !== conflicts) last = [conflicts, joined(conflicts ?? [])];
  return last[1];
}
