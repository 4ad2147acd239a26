import { html } from "../base.js";
import { head, loading } from "../parts.js";
import { t } from "../words.js";

export function Conflict() {
  return html`${head(t("nav.conflitos"))}${loading("list")}`;
}
