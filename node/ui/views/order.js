import { html } from "../base.js";
import { head, loading } from "../parts.js";
import { t } from "../words.js";

export function Order() {
  return html`${head(t("nav.pedidos"))}${loading("list")}`;
}
