// The WebSocket to the node, by the documented messages: it comes back by itself, confirms what it was sent, and goes on
// sending what was not answered, under the same id.
import { session, random } from "./session.js";

const PING_MS = 30000, FIRST_MS = 1000, LONGEST_MS = 30000;
const SILENT_MS = 75000; // a pong is due every 30 s
const CLOSED_FOR_GOOD = [4001, 4002, 4003];

// told: {message(message), contact(state)}; state: {up, since, code, tries, next: when it is tried again, in ms}
export class Connection {
  constructor(told) {
    this.told = told;
    this.waiting = new Map(); // what was sent and is not answered: id -> {message, resolve, reject}
    this.state = { up: false, since: new Date(), code: null, tries: 0, next: 0 };
    this.whole = true; // a page that was loaded again shows nothing yet
    addEventListener("online", () => this.now());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.now(); });
  }

  open() {
    clearTimeout(this.timer);
    const query = new URLSearchParams({ type: session.type });
    if (session.user) query.set("user_id", session.user);
    if (session.token) query.set("token", session.token);
    if (this.whole) query.set("sync", "full");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = this.socket = new WebSocket(`${scheme}://${location.host}/ws/${encodeURIComponent(session.name)}?${query}`);
    socket.onmessage = (event) => { if (socket === this.socket) this.received(JSON.parse(event.data)); };
    socket.onclose = (event) => { if (socket === this.socket) this.closed(event.code); };
  }

  // Anew, as somebody else or because somebody cannot wait.
  now(anyway = false) {
    if (this.state.up && !anyway) return;
    if (!this.socket || (!anyway && CLOSED_FOR_GOOD.includes(this.state.code))) return;
    if (!anyway && this.socket.readyState === WebSocket.CONNECTING) return;
    this.leave();
    this.open();
  }

  leave() {
    clearInterval(this.beat);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  received(message) {
    this.heard = Date.now();
    if (message.type === "connection_established") this.established();
    if (message.type === "data_sync") this.put({ type: "sync_confirmation", operation_id: message.operation.id, terminal_id: session.name });
    this.answered(message);
    this.told.message(message);
  }

  established() {
    this.whole = false;
    this.change({ up: true, since: new Date(), code: null, tries: 0, next: 0 });
    clearInterval(this.beat);
    this.beat = setInterval(() => {
      if (Date.now() - this.heard > SILENT_MS) this.socket.close();
      else this.put({ type: "ping", timestamp: new Date().toISOString() });
    }, PING_MS);
    this.put({ type: "ping", timestamp: new Date().toISOString() });
    for (const { message } of this.waiting.values()) this.put(message);
  }

  closed(code) {
    clearInterval(this.beat);
    const { up, since, tries } = this.state;
    const lost = { up: false, since: up ? new Date() : since, code, tries: tries + 1, next: 0 };
    if (CLOSED_FOR_GOOD.includes(code)) {
      for (const { reject } of this.waiting.values()) reject({ code, message: "" });
      this.waiting.clear();
    } else {
      const delay = Math.max(300, Math.random() * Math.min(FIRST_MS * 2 ** tries, LONGEST_MS));
      lost.next = Date.now() + delay;
      this.timer = setTimeout(() => this.open(), delay);
    }
    this.change(lost);
  }

  change(state) {
    this.state = state;
    this.told.contact(state);
  }

  put(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  // The answer to a data_sync or conflict_resolution; rejects with the node's sync_error. One that finds no answer is
  // sent again after a reconnect, under its id: what was decided twice is decided once.
  send(message) {
    const id = message.operation ? (message.operation.id ??= newId()) : (message.id ??= newId());
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { message, resolve, reject });
      this.put(message);
    });
  }

  answered(message) {
    if (message.type !== "sync_confirmation" && message.type !== "sync_error") return;
    const sent = this.waiting.get(message.operation_id);
    if (!sent) return;
    if (message.retry) {
      setTimeout(() => { if (this.waiting.has(message.operation_id)) this.put(sent.message); }, 1500);
      return;
    }
    this.waiting.delete(message.operation_id);
    if (message.type === "sync_confirmation") sent.resolve(message);
    else sent.reject({ ...message, message: message.error });
  }
}

const newId = () => `${session.name}.${random(8)}`;
