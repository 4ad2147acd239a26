// An order as restaurants write it. The node takes any fields, so what is read here may be missing, or of another type.

export const COLUMNS = ["pending", "preparing", "ready", "served"];

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const isText = (value) => typeof value === "string" && value.trim() !== "";
const first = (data, names, fits) => names.map((name) => data?.[name]).find(fits);
const said = (value) => isText(value) || isNumber(value);
// The first of these values that can be a name: texts and numbers are, and nothing else is.
export const named = (...values) => values.find(said);

export const quantityOf = (line) => first(line, ["quantity", "qty"], isNumber) ?? 1;
export const priceOf = (line) => first(line, ["price", "unit_price"], isNumber) ?? null;
export const lineName = (line) => String(first(line, ["name", "product_name", "product_id", "id"], said) ?? "");
export const isLine = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

export function linesOf(data) {
  return Array.isArray(data?.items) ? data.items.filter(isLine) : [];
}

// The written total; where none is written, the sum of lines that all have a price; else null.
export function totalOf(data) {
  if (isNumber(data?.total)) return data.total;
  const lines = linesOf(data);
  if (!lines.length || lines.some((line) => priceOf(line) === null)) return null;
  return lines.reduce((sum, line) => sum + quantityOf(line) * priceOf(line), 0);
}

export const tableOf = (data) => first(data, ["table", "mesa", "table_id"], said) ?? null;
export const numberOf = (data, id) => String(first(data, ["number", "order_number"], said) ?? id);

// customers: Map(id -> {data}) of the store.
export function customerOf(data, customers) {
  const written = first(data, ["customer", "customer_name"], isText);
  if (written) return written;
  const entity = customers?.get(data?.customer_id);
  return isText(entity?.data?.name) ? entity.data.name : null;
}

// When the guests sat down, in ms since the epoch; null where nobody wrote it.
export function openedOf(data) {
  const written = first(data, ["opened_at", "created_at"], isText);
  const at = written === undefined ? NaN : Date.parse(written);
  return Number.isNaN(at) ? null : at;
}

// The column an order stands in: one of COLUMNS, "other" for a status of the restaurant's own, null once it is closed.
export function columnOf(data) {
  const status = data?.status;
  if (status === "paid" || status === "cancelled") return null;
  if (status === "delivered") return "served";
  return status == null || COLUMNS.includes(status) ? status ?? "pending" : "other";
}

// Without accents and capitals, so that "joao" finds "João".
export const fold = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

const known = new WeakMap();   // the store replaces an entity that changed

// What a board of thousands asks of each order again and again: {column, opened, number, total, text}; text: folded, that a
// search looks through.
export function factsOf(id, entity, customer) {
  const had = known.get(entity);
  if (had && had.customer === customer) return had;
  const { data } = entity, number = numberOf(data, id);
  const facts = {
    customer, number, column: columnOf(data), opened: openedOf(data) ?? 0, total: totalOf(data),
    text: fold([number, tableOf(data), customer, id].filter((x) => x != null).join(" ")),
  };
  known.set(entity, facts);
  return facts;
}

// How many minutes a status may last before a card says that it is late.
export const LATE = { pending: 12, preparing: 35, ready: 15 };
