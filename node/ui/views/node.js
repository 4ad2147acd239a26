import { html } from "../base.js";
import { head, loading } from "../parts.js";
import { t } from "../words.js";

export function Node() {
  return html`${head(t("nav.no"))}${loading("list")}`;
}
