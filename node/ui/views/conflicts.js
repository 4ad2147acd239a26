import { html } from "../base.js";
import { head, loading } from "../parts.js";
import { t } from "../words.js";

export function Conflicts() {
  return html`${head(t("nav.conflitos"))}${loading("list")}`;
}
