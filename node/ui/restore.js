// Bringing a discarded value back: a new operation in one's own name, asked first with what comes back.
import { html, useState } from "./base.js";
import { explain, same } from "./history_data.js";
import { clock } from "./formats.js";
import { kindOf, label, plain, Undo } from "./parts.js";
import { random, session } from "./session.js";
import { send, useWhyNot } from "./store.js";
import { t } from "./words.js";

const whose = (act) => act.user_id || act.terminal_id;
const text = (field, value) => plain({ kind: kindOf(field, value) }, value);

// As `comanda explain --restore` does it: the operation says up to which row its author has read. explained: of the field,
// as just read. data: what brings the value back.
function operation(explained, data, restores) {
  const revives = explained.deleted;
  return {
    id: `restore-${random(12)}`, entity_type: explained.entity_type, entity_id: explained.entity_id,
    operation: revives ? "CREATE" : "UPDATE", data: revives ? { ...explained.deletion.entity, ...data } : data,
    timestamp: new Date().toISOString(), terminal_id: session.name, user_id: session.user || null, restores, read_upto: explained.seq,
  };
}

// An element of a list is put on the list as that is now.
const written = ({ field, path, value, data }, now) => (path.length > 1 && Array.isArray(now) ? { [field]: [...now, value] } : data);

// value: one of discardedOf(). history: as useHistory() has it.
// Where the field was written after this value was set aside, the question says so and shows both.
export function Restore({ value, history }) {
  const { field } = value, why = useWhyNot("write", history.type);
  const [seen, see] = useState(history.explained.get(field));   // what the question is about
  const shown = seen.candidates.find((write) => write.state === "shown" && !write.absent), name = value.what ?? text(value.path.at(-1) ?? field, value.value);
  const changed = shown && value.path.length === 1 && value.by && shown.operation_id !== value.by.operation_id;
  const act = async () => {
    const fresh = await explain(history.type, history.id, field);
    if (!same(fresh.value, seen.value) || fresh.deleted !== seen.deleted) {
      see(fresh);
      throw { code: "changed", value: fresh.deleted ? t("value.gone") : text(field, fresh.value) };
    }
    const again = [...fresh.candidates, ...fresh.superseded, ...fresh.refused].find((write) => write.operation_id === value.operation_id && write.terminal_id === value.terminal_id && same(write.value, value.value));
    await send({ type: "data_sync", operation: operation(fresh, again?.data ?? written(value, fresh.value), `${value.terminal_id}/${value.operation_id}`) });
    history.again();
  };
  const warning = changed ? t("hist.since", { name: whose(shown), time: clock(new Date(shown.accepted_at)), now: text(field, seen.value), back: name }) : "";
  return html`<${Undo} id=${`restore/${history.type}/${history.id}/${value.terminal_id}/${value.operation_id}/${value.path.join("/")}`} value=${`${label(field)} ${name}`} name=${whose(value)} word=${t("hist.restore")} ...${{ act, why, warning }} />`;
}
