// Money, numbers and times, by Intl and in the person's language. Times are shown in this device's zone.
import { locale, t } from "./words.js";

const made = new Map();
// Making a format costs a hundred times what using it does, and a board uses thousands.
function format(kind, options) {
  const key = locale() + kind.name + JSON.stringify(options);
  if (!made.has(key)) made.set(key, new kind(locale(), options));
  return made.get(key);
}
const time = (options) => (date) => format(Intl.DateTimeFormat, options).format(date);

// Beyond these a number is written with its power of ten: nobody counts three hundred digits.
const isPlain = (x) => x === 0 || (Math.abs(x) < 1e15 && Math.abs(x) >= 1e-9);
const amount = (x, options) => format(Intl.NumberFormat, { style: "currency", currency: "BRL", currencyDisplay: "narrowSymbol", ...options }).format(x).replace(/R\$(?=\d)/, "R$\u00a0");
export const money = (x) => amount(x, Math.abs(x) < 1e15 ? {} : { notation: "scientific" });
export const exactMoney = (x) => amount(x, isPlain(x) ? { maximumFractionDigits: 20 } : { notation: "scientific", maximumFractionDigits: 20 });
export const signed = (x) => (x < 0 ? "−" : "+") + money(Math.abs(x));
export const number = (x, digits = 0) => format(Intl.NumberFormat, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(x);
export const exact = (x) => format(Intl.NumberFormat, { maximumFractionDigits: 20, ...(isPlain(x) ? {} : { notation: "scientific" }) }).format(x);
export const clock = time({ hour: "2-digit", minute: "2-digit" });
export const clocks = time({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const dayOf = time({ day: "2-digit", month: "2-digit" });
export const moment = time({ day: "2-digit", month: "2-digit", year: "numeric", hour: "2-digit", minute: "2-digit" });
export const day = time({ day: "2-digit", month: "2-digit", year: "numeric", timeZone: "UTC" }); // of a date without a time, which is of no zone
export const when = (date, now = new Date()) => (now - date < 64800000 ? clock(date) : `${dayOf(date)} ${clock(date)}`);
export const bytes = (x) => (x >= 1e9 ? `${number(x / 1e9, 1)} GB` : x >= 1e6 ? `${number(x / 1e6, x < 1e7 ? 1 : 0)} MB` : `${number(x / 1e3)} kB`);
// Below 100 ms with one decimal: "26.135 ms" reads as 26 thousand in pt-BR.
export const millis = (x) => (x < 100 ? `${number(x, 1)} ms` : x < 10000 ? `${number(x)} ms` : `${number(x / 1000, 1)} s`);
export const list = (items) => format(Intl.ListFormat, { type: "conjunction" }).format(items);

export function ago(date, now = new Date(), word = "ago") {
  const s = Math.max(0, Math.round((now - date) / 1000)), min = Math.floor(s / 60);
  if (min < 1) return word === "ago" && s >= 20 ? t("ago.s", { n: s }) : t(`${word}.now`);
  if (min < 60) return t(`${word}.min`, { n: min });
  if (min < 60 * 24) return t(`${word}.hm`, { h: Math.floor(min / 60), m: String(min % 60).padStart(2, "0") });
  return when(date, now);
}
export function skew(seconds) {
  const x = Math.abs(seconds), text = x >= 90 ? `${number(x / 60)} min` : `${number(x, x < 10 ? 1 : 0)} s`;
  return t(seconds > 0 ? "case.ahead" : "case.behind", { x: text });
}
