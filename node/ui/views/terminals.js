import { html } from "../base.js";
import { head, loading } from "../parts.js";
import { t } from "../words.js";

export function Terminals() {
  return html`${head(t("nav.terminais"))}${loading("list")}`;
}
