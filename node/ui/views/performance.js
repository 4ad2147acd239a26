import { html } from "../base.js";
import { head, loading } from "../parts.js";
import { t } from "../words.js";

export function Performance() {
  return html`${head(t("nav.desempenho"))}${loading("list")}`;
}
