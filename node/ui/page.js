"use strict";
const $ = (id) => document.getElementById(id);
// The fragment is not sent to anybody: #token=..&name=..&type=.. of a terminal, or #pair=CODE, which is exchanged for it.
const said = new URLSearchParams(location.hash.slice(1));
for (const word of ["token", "name", "type"]) if (said.get(word)) sessionStorage.setItem(word, said.get(word));
let token = sessionStorage.getItem("token") || "", kind = sessionStorage.getItem("type") || "monitor", socket = null, retry = 500;
// A name of its own for each tab, so that two open pages do not push each other out.
let name = sessionStorage.getItem("name") || `painel-${Math.random().toString(36).slice(2, 8)}`;
sessionStorage.setItem("name", name);

function cell(row, text, cls) {
  const td = document.createElement("td");
  td.textContent = text;          // never as HTML: names and notes come from terminals
  if (cls) td.className = cls;
  row.append(td);
}
function rows(id, list, fill, empty) {
  const body = $(id), fresh = [];
  for (const item of list) { const tr = document.createElement("tr"); fill(tr, item); fresh.push(tr); }
  if (!fresh.length) { const tr = document.createElement("tr"); cell(tr, empty); tr.firstChild.colSpan = 4; fresh.push(tr); }
  body.replaceChildren(...fresh);
}
const time = (iso) => iso ? new Date(iso).toLocaleTimeString("pt-BR") : "—";
const shown = (data) => Object.entries(data || {}).filter(([k]) => k !== "version").map(([k, v]) => `${k}: ${JSON.stringify(v)}`).join(", ") || "—";

async function get(path) {
  const answer = await fetch(path, { headers: token ? { Authorization: `Bearer ${token}` } : {} });
  if (answer.status === 401) { $("ask").hidden = false; throw new Error("401"); }
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}
let busy = false, again = false;
async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    const [stats, conflicts, orders] = await Promise.all([
      get("/api/v1/websocket/stats"), get("/api/v1/conflicts?state=open"), get("/api/v1/entities/orders?limit=200")]);
    $("ask").hidden = true;
    const numbers = [[stats.total_connections, "terminais ligados / online"], [stats.average_latency + " ms", "confirmação / confirmation"],
      [stats.message_throughput + "/s", "mensagens / messages"], [(stats.conflict_rate * 100).toFixed(2) + " %", "conflitos / conflicts"]];
    $("numbers").replaceChildren(...numbers.map(([value, text]) => {
      const div = document.createElement("div"), b = document.createElement("b"), span = document.createElement("span");
      b.textContent = value; span.textContent = text; div.append(b, span); return div; }));
    rows("conflicts", conflicts.conflicts, (tr, c) => {
      cell(tr, `${c.entity_type} ${c.entity_id}`); cell(tr, shown(c.local_data)); cell(tr, shown(c.remote_data), "warn"); cell(tr, time(c.created_at));
    }, "nenhum / none");
    rows("orders", orders.entities, (tr, o) => {
      cell(tr, o.entity_id); cell(tr, String(o.data.status ?? "—")); cell(tr, String(o.data.total ?? "—")); cell(tr, String(o.version));
    }, "nenhum / none");
  } catch (error) { if (error.message !== "401") console.warn(error); }
  busy = false;
  if (again) { again = false; setTimeout(refresh, 300); }
}
const entries = [];
function connect() {
  const query = new URLSearchParams({ type: kind });
  if (token) query.set("token", token);
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/${encodeURIComponent(name)}?${query}`);
  const beat = setInterval(() => socket.readyState === 1 && socket.send(JSON.stringify({ type: "ping", timestamp: new Date().toISOString() })), 30000);
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.type === "connection_established") {
      retry = 500; $("state").textContent = "ligado / connected"; $("state").className = "ok"; refresh();
    } else if (message.type === "terminal_status_update") {
      rows("terminals", Object.entries(message.terminals), (tr, [id, t]) => {
        cell(tr, id); cell(tr, t.type); cell(tr, t.status === "online" ? "ligado / online" : "fora / offline", t.status === "online" ? "ok" : "bad"); cell(tr, time(t.last_ping));
      }, "nenhum / none");
    } else if (message.type === "audit_log") {
      entries.unshift(message.entry); entries.length = Math.min(entries.length, 30);
      rows("audit", entries, (tr, e) => {
        cell(tr, time(e.timestamp)); cell(tr, e.terminal_id); cell(tr, `${e.operation || "—"} ${e.entity_type} ${e.entity_id || ""} (${e.status})`);
        cell(tr, shown(e.changes.after));
      }, "nenhuma / none");
      refresh();
    } else if (message.type === "data_sync" || message.type === "sync_conflict") {
      socket.readyState === 1 && message.operation && socket.send(JSON.stringify({ type: "sync_confirmation", operation_id: message.operation.id, terminal_id: name }));
      refresh();
    }
  };
  socket.onclose = (event) => {
    clearInterval(beat);
    $("state").textContent = event.code === 4003 ? "sem permissão / token refused" : "sem conexão / offline";
    $("state").className = "bad";
    if (event.code === 4003) { $("ask").hidden = false; return; }
    setTimeout(connect, retry * (0.5 + Math.random())); retry = Math.min(retry * 2, 10000);
  };
}
$("ask").onsubmit = (event) => {
  event.preventDefault();
  token = $("token").value; name = $("name").value || name;
  sessionStorage.setItem("token", token); sessionStorage.setItem("name", name);
  if (!socket || socket.readyState > 1) connect();
  refresh();
};
async function pair(code) {
  const answer = await fetch("/api/v1/join", { method: "POST", body: JSON.stringify({ code }) });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error);
  const got = JSON.parse(body.said);
  [token, name, kind] = [got.token, got.terminal_id, got.type];
  for (const [word, value] of Object.entries({ token, name, type: kind })) sessionStorage.setItem(word, value);
  // A browser that starts again with this address is the same terminal.
  history.replaceState(null, "", "#" + new URLSearchParams({ token, name, type: kind }));
}
(said.get("pair") ? pair(said.get("pair")) : Promise.resolve())
  .catch((error) => alert(error.message))
  .finally(() => { connect(); refresh(); setInterval(refresh, 10000); });
