// The terminal that this page is, to the node an ordinary one of type `monitor`; and what it sends.
import { connect } from "../client/client.js";
import { session } from "./session.js";

// Nothing is kept beyond the page: each load begins with the whole state, and what was not sent is the person's draft.
let queued = 0;
const keepsNothing = { load: async () => [], commit: async () => {}, append: async () => `queue/${String(++queued).padStart(15, "0")}`, close: async () => {} };

let terminal = null, listeners = {};
const unanswered = new Set(); // {message, resolve, reject}

// told: what is called with each event of the client: {message, entity, conflict, contact}.
export function dial(told) {
  listeners = told;
  reconnect();
}

// As whoever the session says: another token, name or person.
export function reconnect() {
  terminal?.close();
  const mine = terminal = connect({
    url: location.origin, terminalId: session.name, type: session.type, userId: session.user || undefined, token: session.token || null, store: keepsNothing,
  });
  for (const [event, listener] of Object.entries(listeners)) {
    mine.on(event, (about) => { if (mine === terminal && about.state !== "connecting") listener(about); });
  }
  for (const one of unanswered) give(one);
}

export const tryNow = () => terminal.reconnect();

// The node's answer to a message; rejects with {code, message, ...}: its sync_error. What finds no answer is sent again after
// lost contact, under the same id: what was decided twice is decided once.
export const send = (message) => new Promise((resolve, reject) => {
  const id = session.newId();
  const one = { message: message.operation ? { ...message, operation: { id, ...message.operation } } : { id, ...message }, resolve, reject };
  unanswered.add(one);
  give(one);
});

async function give(one) {
  const mine = terminal;
  try {
    const { id, state, answer, code } = await (await mine.send(one.message)).answered;
    if (state === "refused") one.reject({ ...answer, code, message: answer.error });
    else one.resolve(answer);
    mine.dismiss(id);
  } catch (error) {
    if (mine !== terminal) return; // the one that came after it has it
    one.reject({ code: null, message: error.message });
  }
  unanswered.delete(one);
}

export const write = (entityType, entityId, operation, data) => send({
  type: "data_sync",
  operation: { entity_type: entityType, entity_id: entityId, operation, data, timestamp: new Date().toISOString(), terminal_id: session.name },
});
