// What stands around every view: the parts of the page, the one word of state, and what there is to say about contact.
import { html, useState, useEffect, useNow, useChanges } from "./base.js";
import { icon } from "./icons.js";
import { clock, number } from "./formats.js";
import { head, pill, sentence } from "./parts.js";
import { session, storeAddress } from "./session.js";
import { openCount, reconnect, tryNow, useStore, waiting } from "./store.js";
import { t, prefs } from "./words.js";

const first = ["conflitos", "pedidos", "terminais"], second = ["auditoria", "desempenho", "no"];
const icons = { lojas: "stores", conflitos: "conflicts", pedidos: "orders", terminais: "terminals", auditoria: "audit", desempenho: "performance", no: "node" };

// refused: whether this page may not read the links. What is confirmed is on this node's disk all the same.
function overall(contact, links, refused) {
  if (!contact.up) return html`<span class="pill pill-none">${icon("away", 16)}<span>${t("state.nocontact")}</span></span>`;
  if (!links) return refused ? pill("saved") : null;
  const n = waiting(links), away = links.away.length + links.links.filter((link) => link.state !== "up").length;
  return n || away ? (away ? pill("queue", n) : pill("syncing")) : pill("synced");
}

function NavItem({ name, here, open }) {
  return html`<li class=${second.includes(name) ? "second" : ""}><a href=${`#/${name}`} aria-current=${here ? "page" : null}>${icon(icons[name])}<span class="nav-word">${t(`nav.${name}`)}</span>${open ? html`<span class="count"><span aria-hidden="true">${number(open)}</span><span class="quiet">${t("nav.open", { n: number(open) })}</span></span>` : ""}</a></li>`;
}

function Choice({ name, values }) {
  return html`<fieldset class="segments"><legend>${t(name)}</legend><div>${values.map(([value, text]) => html`<label key=${value}><input type="radio" name=${name} value=${value} checked=${value === prefs[name]} onchange=${() => prefs.set(name, value)} /><span>${text}</span></label>`)}</div></fieldset>`;
}

// Who is at this page: what is decided here is kept under this name.
function Me() {
  useChanges(session);
  const [name, type] = useState(session.user);
  useEffect(() => type(session.user), [session.user]);
  const keep = () => {
    if (name.trim() === session.user) return;
    session.be({ user: name.trim() });
    reconnect();
  };
  return html`<form class="me" onsubmit=${(event) => { event.preventDefault(); keep(); }}>${icon("person")}<div><label for="me">${t("me.label")}</label><input type="text" id="me" maxlength="256" autocomplete="off" value=${name} placeholder=${t("me.none")} oninput=${(event) => type(event.target.value)} onblur=${keep} /><small><bdi>${session.name}</bdi></small></div></form>`;
}

// view: the part of the page that one is in.
export function Shell({ view, children }) {
  const [more, setMore] = useState(false);
  const contact = useStore((s) => s.contact), links = useStore((s) => s.links), refused = useStore((s) => s.refused.links), open = useStore(openCount);
  useChanges(prefs);
  useEffect(() => {
    setMore(false);
  }, [view, location.hash]);
  useEffect(() => {
    if (!more) return undefined;
    const key = (event) => {
      if (event.key !== "Escape") return;
      setMore(false);
      document.getElementById("more-button").focus();
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, [more]);
  const state = overall(contact, links, refused), place = useStore((s) => s.node), stores = useStore((s) => s.stores), names = [...(stores ? ["lojas"] : []), ...first, ...second];
  return html`<div class="shell">
    <div class="rail"><header class="bar"><a class="brand" href="#/conflitos"><svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true"><path class="brand-slip" d="M7 3h18v26l-3-2.400L19 29l-3-2.400L13 29l-3-2.400L7 29z" /><path class="brand-tick" d="m11.500 14.500 3.200 3.200 6-6.400" /></svg><span>Comanda</span></a>
      ${place ? html`<span class="store"><strong><bdi>${session.realm || place}</bdi></strong></span>` : ""}${state && html`<a class="overall" href="#/terminais">${state}</a>`}</header>
    <nav class="nav" aria-label=${t("nav.label")}><ul>${names.map((name) => html`<${NavItem} key=${name} name=${name} here=${view === name} open=${name === "conflitos" ? open : 0} />`)}<li class="more-item"><button type="button" id="more-button" aria-expanded=${more} aria-controls="more" onclick=${() => setMore(!more)}>${icon("more")}<span class="nav-word">${t("nav.mais")}</span></button></li></ul></nav>
    <section class="more ${more ? "open" : ""}" id="more" aria-label=${t("prefs")}><ul class="more-links">${second.map((name) => html`<li key=${name}><a href=${`#/${name}`}>${icon(icons[name])}<span>${t(`nav.${name}`)}</span></a></li>`)}</ul>
      <${Choice} name="lang" values=${[["pt", "Português"], ["en", "English"]]} />
      <${Choice} name="theme" values=${[["auto", "Auto"], ["light", t("theme.light")], ["dark", t("theme.dark")]]} />
      <${Me} /></section></div>
    <main id="conteudo" tabindex="-1">${session.realm ? html`<p class="of-store">${sentence("stores.here", { store: session.realm, node: place ?? "" })} <a href=${storeAddress("")}>${t("stores.back")}</a></p>` : ""}<${Banner} /><div id="view">${children}</div></main></div>`;
}

// ---------------------------------------------------------------------- what is wrong, above every view

function Banner() {
  const contact = useStore((s) => s.contact), begun = useStore((s) => s.begun), denied = useStore((s) => s.rights && !s.rights.resolve.length);
  if (!contact.up && (begun || contact.tries > 1)) return html`<${Offline} contact=${contact} />`;
  if (denied) return html`<section class="banner" aria-labelledby="deny-title">${icon("lock")}<div><h2 id="deny-title">${t("deny.title")}</h2><p>${t("deny.text", { monitor: session.name })}</p></div></section>`;
  return null;
}

function Offline({ contact }) {
  const now = useNow(1000), left = Math.max(0, Math.ceil((contact.next - now) / 1000));
  const taken = contact.code === 4004;
  return html`<section class="banner banner-queue" aria-labelledby="off-title">${icon("away")}<div><h2 id="off-title">${taken ? t("off.taken", { name: session.name }) : t("off.title", { time: clock(contact.since) })}</h2><p>${taken ? t("off.taken.text") : t("off.text")} ${left ? t("off.again", { n: left }) : t("off.trying")}</p></div><button type="button" class="button" id="off-retry" onclick=${tryNow}>${t("off.retry")}</button></section>`;
}

// What a part of the page shows that cannot be drawn. again: tries it once more.
export function Broken({ again }) {
  return html`${head(t("broken.title"))}<section class="banner banner-need" role="alert">${icon("need")}<div><p>${t("broken.text")}</p></div><div class="row"><button type="button" class="button" id="broken-again" onclick=${again}>${t("off.retry")}</button><button type="button" class="button" onclick=${() => location.reload()}>${t("broken.reload")}</button></div></section>`;
}

// ---------------------------------------------------------------------- the gate

// The node let this tab not in (4001 to 4003): it asks once who it is.
// trouble: why the code that the address had was not taken.
export function Gate({ trouble }) {
  const { code, tries } = useStore((s) => s.contact);
  const [token, setToken] = useState(""), [name, setName] = useState(session.name), [user, setUser] = useState(session.user);
  const refused = code !== 4003 ? t(`gate.${code}`, { monitor: session.name, type: session.type }) : session.token ? t("token.refused", { monitor: session.name }) : trouble;
  const enter = (event) => {
    event.preventDefault();
    session.be({ token: token.trim() || session.token, name: name.trim() || session.name, user: user.trim() });
    reconnect();
  };
  useEffect(() => { document.getElementById("token").focus(); }, [tries]);
  return html`<main id="conteudo" tabindex="-1"><form class="gate" onsubmit=${enter} novalidate>
    ${icon("key", 28)}
    <h1 tabindex="-1">${t("token.title")}</h1><p>${t("token.text")}</p>${session.realm ? html`<p>${sentence("stores.token", { store: session.realm })} <a href=${storeAddress("")}>${t("stores.back")}</a></p>` : ""}
    <p class="error" id="token-error" role="alert" hidden=${!refused}>${refused}</p>
    <label for="token">${t("token.label")}</label><input id="token" type="password" autocomplete="off" aria-describedby="token-error" value=${token} oninput=${(event) => setToken(event.target.value)} />
    <label for="token-name">${t("token.name")}</label><input id="token-name" type="text" autocomplete="off" value=${name} aria-describedby="token-hint" oninput=${(event) => setName(event.target.value)} /><p class="hint" id="token-hint">${t("token.name.hint")}</p>
    <label for="token-user">${t("me.label")}</label><input id="token-user" type="text" maxlength="256" autocomplete="off" value=${user} placeholder=${t("me.none")} oninput=${(event) => setUser(event.target.value)} />
    <button class="button primary">${t("token.enter")}</button></form></main>`;
}
