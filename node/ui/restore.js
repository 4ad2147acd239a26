// Bringing a loss back: a new operation in one's own name, asked first with what comes back, and with what it takes away.
import { html, useState, member } from "./base.js";
import { bringBack } from "./bring_back.js";
import { clock } from "./formats.js";
import { brought, since, whose } from "./history_data.js";
import { lineText } from "./order_parts.js";
import { kindOf, label, plain, Undo } from "./parts.js";
import { useWhyNot } from "./store.js";
import { t } from "./words.js";

export const valueText = (field, value) => plain({ kind: kindOf(field, value) }, value);

// What a loss says, as [field, value] texts.
export function lossTexts({ how, fields, path, data }) {
  if (how === "deleted") return [[t("hist.whole"), t("value.existed")]];
  return fields.map((name) => {
    const value = data[name], element = path.length > 1 && path[0] === name && Array.isArray(value) && value.length === 1 ? value[0] : null;
    return [label(name), element ? lineText(element) : Array.isArray(value) && value.length && value.every((one) => one?.id !== undefined) ? value.map(lineText).join(", ") : valueText(name, value)];
  });
}

// loss: as loadHistory has it, or {id, how: "past", fields, path, data, of, operation} of a value of then. history: of useHistory.
export function Restore({ loss, history }) {
  const { entity, steps, type, id } = history, why = useWhyNot("write", type);
  const [field] = loss.fields, now = member(entity.data, field ?? "");
  const [seen, see] = useState({ value: now }), later = since(steps, loss), texts = lossTexts(loss);
  const back = texts.map(([name, value]) => `${name} ${value}`).join(", ");
  const act = async () => {
    try {
      await bringBack(type, id, field ?? Object.keys(entity.data)[0], loss.operation ?? lastWriter(history), options(loss, seen.value));
    } catch (refusal) {
      if (refusal.code !== "changed") throw refusal;
      see({ value: refusal.said.value });
      throw { code: "changed", value: valueText(field, refusal.said.value) };
    }
    brought.set(loss.id, loss);
    history.again();
  };
  const warning = later ? t("hist.since", { name: whose(later), time: clock(later.at), now: valueText(field, now), back: texts[0][1] }) : "";
  return html`<${Undo} id=${`${type}/${id}/${loss.id}`} value=${back} name=${whose(loss.of)} word=${t("hist.restore")} onOpen=${(open) => { if (open) see({ value: now }); }} ...${{ act, why, warning }} />`;
}

// An element goes onto the list as that is now; of any other value it is said first if it changed meanwhile.
function options({ how, fields: [field], path, data, operation }, seen) {
  if (path.length > 1 && (how === "removed" || how === "past")) return { data: (now) => ({ [field]: [...(Array.isArray(now) ? now : []), ...data[field]] }) };
  if (how === "past") return { data: () => data, seen };
  if (how === "deleted") return { data: () => ({}) };
  return path.length > 1 ? { path } : { seen };
}
const lastWriter = ({ steps }) => steps.findLast((step) => step.kind === "operation") ?? steps.at(-1);
