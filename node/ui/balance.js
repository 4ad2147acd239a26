// What a decision does to a sum that [[conservation]] declares, such as the balance that a drawer should have.
import { html, member } from "./base.js";
import { money } from "./formats.js";
import { useGet } from "./http.js";
import { useEntities } from "./store.js";
import { t } from "./words.js";

const amountOf = (value) => (typeof value === "number" ? value : /^-?\d+(\.\d+)?$/.test(value ?? "") ? Number(value) : 0);

// rule: as the configuration has it (node/config/conservation.py).
function share({ amount, sign }, data) {
  const value = amountOf(member(data, amount)), word = sign && member(data, sign.field);
  return !sign || sign.plus.includes(word) ? value : sign.minus.includes(word) ? -value : 0;
}

// c: of cases.js. outcome: what is chosen, by field; undefined where nothing is yet.
export function Balance({ c, outcome }) {
  const settings = useGet("/api/v1/node").data?.settings, rules = settings?.find(({ key }) => key === "conservation")?.value;
  const rule = Array.isArray(rules) && rules.find(({ of, group_by: group, equals }) => of === c.entityType && group && /^[^.\d-]/.test(equals));
  return rule ? html`<${Sum} rule=${rule} c=${c} outcome=${outcome} />` : null;
}

function Sum({ rule, c, outcome }) {
  const entities = useEntities(rule.of), here = entities?.get(c.entityId)?.data, group = member(here, rule.group_by);
  if (group === undefined) return null;
  let others = 0;
  for (const [id, { data }] of entities) if (id !== c.entityId && member(data, rule.group_by) === group) others += share(rule, data);
  const { "@entity": stays = true, ...chosen } = outcome, data = { ...here, ...chosen };
  const open = Object.values(outcome).includes(undefined), then = others + (stays && member(data, rule.group_by) === group ? share(rule, data) : 0);
  return html`<p class="effect"><span>${t("effect.balance", { group })}</span><span class="effect-n"><span>${t("result.was", { value: money(others + share(rule, here)) })}</span> <span aria-hidden="true">→</span> <strong>${open ? "—" : money(then)}</strong></span></p>`;
}
