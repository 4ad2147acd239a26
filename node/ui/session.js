// Who this tab is to the node: the terminal's name and type, its token, and the person at it. Kept for the tab only.
import { changes } from "./base.js";

const WORDS = ["token", "name", "type", "user"];
const kept = (word) => { try { return sessionStorage.getItem(`comanda.${word}`) || ""; } catch { return ""; } };

// Each tab has a name of its own, so that two open pages do not push each other out.
const fresh = () => `painel-${random(3)}`;
export function random(bytes) {
  return [...crypto.getRandomValues(new Uint8Array(bytes))].map((b) => b.toString(16).padStart(2, "0")).join("");
}

export const session = {
  ...changes(),
  token: kept("token"), name: kept("name"), type: kept("type") || "monitor", user: kept("user"),
  be(words) {
    for (const word of WORDS) {
      if (words[word] === undefined) continue;
      session[word] = words[word];
      try { sessionStorage.setItem(`comanda.${word}`, words[word]); } catch { /* nothing is kept in a private window */ }
    }
    session.tell();
  },
  // Of an operation or a decision.
  newId: () => `${session.name}.${random(8)}`,
  // Where nobody gave this tab a name, another one is as good.
  rename() { session.be({ name: fresh() }); },
};

const fragment = () => new URLSearchParams(location.hash.startsWith("#/") ? "" : location.hash.slice(1));
const saidIn = (said) => [...WORDS, "pair"].filter((word) => said.get(word));
export const saysWho = () => saidIn(fragment()).length > 0;

// The address may say who the tab is: #token=..&name=..&type=..&user=.., or #pair=CODE, which is exchanged for it. A
// fragment is sent to nobody, and it is taken out of the address at once, so that no history keeps it.
export async function begin() {
  const said = fragment(), known = saidIn(said);
  if (known.length) history.replaceState(null, "", `${location.pathname}#/conflitos`);
  session.be(Object.fromEntries(known.filter((word) => word !== "pair").map((word) => [word, said.get(word)])));
  if (said.get("pair")) session.be(await join(said.get("pair")));
  if (!session.name) session.rename();
}

// Raises Error with the node's own sentence.
async function join(code) {
  const answer = await fetch("/api/v1/join", { method: "POST", body: JSON.stringify({ code }) });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error);
  const { token, terminal_id, type } = JSON.parse(body.said);
  return { token, name: terminal_id, type };
}
