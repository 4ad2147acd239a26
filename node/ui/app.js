// The page: which view stands at which address, its title, and where the focus goes.
import { html, render, useEffect, useLayoutEffect, useErrorBoundary, useRef, useState, useChanges } from "./base.js";
import { number } from "./formats.js";
import { session, begin, leadsAway, saysWho } from "./session.js";
import { Broken, Gate, Shell } from "./shell.js";
import { openCount, reconnect, start, useStore } from "./store.js";
import { has, prefs, t } from "./words.js";
import { Conflicts } from "./views/conflicts.js";
import { Conflict } from "./views/conflict.js";
import { Terminals } from "./views/terminals.js";
import { Orders } from "./views/orders.js";
import { Order } from "./views/order.js";
import { History } from "./views/history.js";
import { Audit } from "./views/audit.js";
import { Performance } from "./views/performance.js";
import { Node } from "./views/node.js";
import { Stores } from "./views/stores.js";
import { Publish } from "./views/publish.js";
import { Publication } from "./views/publication.js";

// Without and with something after the name.
const views = {
  conflitos: [Conflicts, Conflict], terminais: [Terminals], pedidos: [Orders, Order], historico: [History, History],
  auditoria: [Audit], desempenho: [Performance], no: [Node], lojas: [Stores], publicar: [Publish, Publication],
};

// #/pedidos/mesa-1?x=y: the name of a view, its arguments and its query.
function route() {
  const [path, query] = location.hash.slice(2).split("?");
  const [view, ...args] = path.split("/").map(decoded);
  return { view: Object.hasOwn(views, view) ? view : "conflitos", args: Object.hasOwn(views, view) ? args.filter(Boolean) : [], query: new URLSearchParams(query || "") };
}
function decoded(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

// The part of the page that a view belongs to.
function partOf(view, args) {
  if (view === "historico") return ["orders", undefined].includes(args[0]) ? "pedidos" : "auditoria";
  return view === "publicar" ? "lojas" : view;
}

const BROKEN = "a part of the page failed:";
// A fault in one part leaves the others as they are. whole: whether there are no others.
function Apart({ whole = false, children }) {
  const [error, again] = useErrorBoundary((fault) => console.error(BROKEN, fault?.stack ?? String(fault)));
  if (!error) return children;
  return whole ? html`<main id="conteudo" tabindex="-1"><${Broken} again=${again} /></main>` : html`<${Broken} again=${again} />`;
}

function App() {
  const [{ view, args, query }, go] = useState(route), [refused, say] = useState(null);
  const code = useStore((s) => (s.contact.up ? null : s.contact.code)), open = useStore(openCount), stores = useStore((s) => s.stores);
  useChanges(prefs);
  useEffect(() => {
    begin().catch((error) => { if (!session.name) session.rename(); say(error); }).then(start);
    go(route());   // what the address said is taken out of it
    const changed = () => {
      if (leadsAway()) return location.reload();   // of another store nothing is drawn beside what this page holds
      if (!saysWho()) return go(route());
      say(null);
      begin().then(reconnect, say);
      go(route());
    };
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);

  // Head office begins with its stores.
  useEffect(() => { if (stores && !location.hash) location.replace("#/lojas"); }, [stores]);

  const place = [view, ...args].join("/"), came = useRef(place);
  useLayoutEffect(() => {
    if (came.current === place) return;
    came.current = place;
    scrollTo(0, 0);
    document.querySelector("h1")?.focus({ preventScroll: true });
  }, [place]);
  useEffect(() => {
    document.documentElement.lang = prefs.lang === "en" ? "en" : "pt-BR";
    document.documentElement.dataset.theme = prefs.theme;
    document.getElementById("skip").textContent = t("skip");
  });
  // After the view has drawn its heading: a tab in the background says how many decisions are open.
  useEffect(() => {
    const title = () => {
      const text = document.querySelector("#view h1")?.textContent || t(`nav.${view}`);
      document.title = `${open ? `(${number(open)}) ` : ""}${text} · Comanda`;
    };
    title();
    const watch = new MutationObserver(title), box = document.getElementById("view");
    if (box) watch.observe(box, { childList: true, subtree: true, characterData: true });
    return () => watch.disconnect();
  });

  const trouble = refused && t(has(`pair.${refused.status}`) ? `pair.${refused.status}` : "pair.other");
  if ([4001, 4002, 4003].includes(code)) return html`<${Gate} trouble=${trouble} />`;
  const [list, one] = views[view], View = args.length && one ? one : list;
  return html`<${Shell} view=${partOf(view, args)}>${trouble ? html`<p class="error" role="alert">${trouble}</p>` : ""}<${Apart} key=${place}><${View} args=${args} query=${query} /><//><//>`;
}

document.getElementById("skip").addEventListener("click", (event) => { event.preventDefault(); document.getElementById("conteudo").focus(); });
render(html`<${Apart} whole><${App} /><//>`, document.getElementById("shell"));
