// Sentences in the person's language, and what the person chose: language and appearance, kept for this tab.
import pt from "./words/pt.js";
import en from "./words/en.js";
import { changes } from "./base.js";

const languages = { pt, en };
const kept = read();
export const prefs = {
  ...changes(),
  lang: kept.lang || (navigator.languages.find((l) => /^(pt|en)\b/.test(l)) || "pt").slice(0, 2),
  theme: kept.theme || "auto",
  set(name, value) {
    prefs[name] = value;
    try { sessionStorage.setItem("comanda.prefs", JSON.stringify({ lang: prefs.lang, theme: prefs.theme })); } catch { /* nothing is kept in a private window */ }
    prefs.tell();
  },
};

function read() {
  try { return JSON.parse(sessionStorage.getItem("comanda.prefs")) || {}; } catch { return {}; }
}

export const locale = () => (prefs.lang === "en" ? "en-GB" : "pt-BR");
export const has = (key) => Object.hasOwn(pt, key);
export function t(key, vars) {
  const words = languages[prefs.lang], text = Object.hasOwn(words, key) ? words[key] : key;
  return vars ? text.replace(/\{(\w+)\}/g, (_, name) => vars[name] ?? "") : text;
}
// What the node says in both languages: {pt, en}, or one text for both.
export const own = (said) => (said == null ? "" : typeof said === "string" ? said : said[prefs.lang] ?? said.pt ?? "");
