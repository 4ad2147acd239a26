import { html } from "../base.js";
import { head, loading } from "../parts.js";
import { t } from "../words.js";

export function History() {
  return html`${head(t("nav.historico"))}${loading("list")}`;
}
