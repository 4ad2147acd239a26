// Who this tab is to the node: the terminal's name and type, its token, and the person at it. Kept for the tab only.
import { changes } from "./base.js";

const WORDS = ["token", "name", "type", "user"];
const read = (key) => { try { return sessionStorage.getItem(`comanda.${key}`) || ""; } catch { return ""; } };
const put = (key, value) => { try { sessionStorage.setItem(`comanda.${key}`, value); } catch { /* nothing is kept in a private window */ } };
// Of a store that head office keeps: a tab is somebody else in each.
const keyOf = (word) => (session.realm ? `${session.realm}/${word}` : word);

// Each tab has a name of its own, so that two open pages do not push each other out.
const fresh = () => `painel-${random(3)}`;
export function random(bytes) {
  return [...crypto.getRandomValues(new Uint8Array(bytes))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

// realm: which store of head office's this page is of; empty for the node's own.
export const session = {
  ...changes(),
  realm: read("realm"), token: "", name: "", type: "monitor", user: "",
  be(words) {
    for (const word of WORDS) {
      if (words[word] === undefined) continue;
      session[word] = words[word];
      put(keyOf(word), words[word]);
    }
    session.tell();
  },
  // Of an operation or a decision.
  newId: () => `${session.name}.${random(8)}`,
  // Where nobody gave this tab a name, another one is as good.
  rename() { session.be({ name: fresh() }); },
  enter(realm) {
    session.realm = realm;
    put("realm", realm);
    recall();
  },
};
function recall() {
  for (const word of WORDS) session[word] = read(keyOf(word)) || (word === "type" ? "monitor" : "");
}
recall();

// Where the page of a store is, and that of head office.
export const storeAddress = (realm) => `#realm=${encodeURIComponent(realm)}`;

const fragment = () => new URLSearchParams(location.hash.startsWith("#/") ? "" : location.hash.slice(1));
const saidIn = (said) => [...WORDS, "pair", "realm"].filter((word) => said.get(word) || (word === "realm" && said.has(word)));
export const saysWho = () => saidIn(fragment()).length > 0;
// Whether the address leads to another store than the one this page is of.
export const leadsAway = (said = fragment()) => said.has("realm") && said.get("realm") !== session.realm;

// The address may say who the tab is: #token=..&name=..&type=..&user=.., or #pair=CODE, which is exchanged for it. A
// fragment is sent to nobody, and it is taken out of the address at once, so that no history keeps it. #realm=.. says of
// which store the page is.
export async function begin() {
  const said = fragment(), known = saidIn(said);
  if (known.length) history.replaceState(null, "", `${location.pathname}#/${said.get("realm") === "" ? "lojas" : "conflitos"}`);
  if (leadsAway(said)) session.enter(said.get("realm"));
  session.be(Object.fromEntries(known.filter((word) => WORDS.includes(word)).map((word) => [word, said.get(word)])));
  if (said.get("pair")) session.be(await join(said.get("pair")));
  if (!session.name) session.rename();
}

// Raises Error, where the node refuses with its HTTP status.
async function join(code) {
  const store = session.realm ? `?${new URLSearchParams({ realm: session.realm })}` : "";
  const answer = await fetch(`/api/v1/join${store}`, { method: "POST", body: JSON.stringify({ code }) });
  if (!answer.ok) throw Object.assign(new Error("refused"), { status: answer.status });
  const body = await answer.json();
  const { token, terminal_id, type } = JSON.parse(body.said);
  return { token, name: terminal_id, type };
}
