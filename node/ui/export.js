// Rows of the audit as a file to take away: CSV for a spreadsheet, JSON Lines for a program.

const COLUMNS = ["timestamp", "accepted_at", "terminal_id", "user_id", "operation", "entity_type", "entity_id", "status", "operation_id", "seq", "changes", "refused"];
const KINDS = { csv: "text/csv", jsonl: "application/x-ndjson" };

// A cell that begins so is a formula to a spreadsheet, so an apostrophe stands before it, as node/lists/cells.py puts it.
const FORMULA = /^'*(\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])/;

function cell(value) {
  if (value == null) return "";
  const text = typeof value === "object" ? JSON.stringify(value) : String(value), safe = typeof value !== "number" && FORMULA.test(text) ? `'${text}` : text;
  return /[",;\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

// The byte order mark tells a spreadsheet that it is UTF-8; the semicolon is what one in Portuguese reads.
export const csv = (entries) => `\ufeff${[COLUMNS, ...entries.map((entry) => COLUMNS.map((name) => entry[name]))].map((row) => row.map(cell).join(";")).join("\r\n")}\r\n`;
export const jsonl = (entries) => entries.map((entry) => `${JSON.stringify(entry)}\n`).join("");

// Returns the file's name.
export function download(kind, entries, now = new Date()) {
  const link = document.createElement("a"), text = { csv, jsonl }[kind](entries);
  link.href = URL.createObjectURL(new Blob([text], { type: KINDS[kind] }));
  link.download = `auditoria-${now.toISOString().slice(0, 19).replaceAll(":", "")}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return link.download;
}
