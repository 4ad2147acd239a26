// What a conflict holds up: a frozen drawer and for how long, the order that uses the record, or nothing.
import { html } from "./base.js";
import { ago, list, number } from "./formats.js";
import { icon } from "./icons.js";
import { entityLabel } from "./parts.js";
import { useEntity } from "./store.js";
import { t } from "./words.js";

const icons = { frozen: "frozen", orders: "orders", none: "clock" };

// c: of cases.js.
export function Holds({ c, now }) {
  const { kind, since, refused, users: [first, ...others] } = c.holds, user = useEntity(first?.entity_type, first?.entity_id);
  const more = others.length ? [t(others.length === 1 ? "holds.more1" : "holds.more", { n: number(others.length) })] : [];
  const text = kind === "frozen" ? `${t(c.cash ? "holds.frozen" : "holds.frozen.record")} ${ago(since, now, "for")}`
    : kind === "orders" ? t("holds.used", { list: list([entityLabel(first.entity_type, first.entity_id, user?.data), ...more]) }) : t("holds.none");
  return html`<span class="holds holds-${kind}">${icon(icons[kind], 16)}<span><bdi>${text}</bdi>${refused ? html`<small>${t(refused === 1 ? "inbox.refused1" : "inbox.refused", { n: number(refused) })}</small>` : ""}</span></span>`;
}
