import { html } from "../base.js";
import { head, loading } from "../parts.js";
import { t } from "../words.js";

export function Audit() {
  return html`${head(t("nav.auditoria"))}${loading("list")}`;
}
