// The node's HTTP endpoints.
import { session } from "./session.js";
import { changes, useState, useEffect, useCallback, useRef } from "./base.js";

// Tells that the node is there again: what found no answer is asked again.
export const back = changes();

// The lists of objects that an answer has, by its path. What answers in the node's place has none, such as the page of a network that wants
// a password first.
const LISTS = {
  links: ["links", "away"], conflicts: ["conflicts"], terminals: ["terminals"], locks: ["locks"], policies: ["policies"], audit: ["entries"], refused: ["entries"],
  realms: ["realms"], publications: ["publications"], "publications/": ["stores"], performance: ["points", "outages"], node: ["settings"], doctor: ["findings"], backups: ["backups"], archives: ["archives"], quarantine: ["quarantine"],
  "entities/": ["entities"], "history/": ["steps"], "waiting/": ["entities"],
};
const isObject = (value) => value !== null && typeof value === "object";
const isList = (value) => Array.isArray(value) && value.every(isObject);
const listsOf = (path, { entity_id: one }) => (/^\/api\/v1\/entities\//.test(path) && one != null ? [] : LISTS[path.replace(/^\/api\/v1\/(\w+\/?).*$/, "$1")] ?? []);

// status: of HTTP, 0 where the node did not answer, 200 where what answered was not the node. code: as in the protocol, where there is one.
export class Refused extends Error {
  constructor(status, body) {
    super(body.error || String(status));
    this.status = status;
    this.code = body.code ?? null;
    this.body = body;
  }
}

export const get = (path, params) => ask("GET", path, params);
// body: a file, or what is sent as JSON.
export const post = (path, params, body) => ask("POST", path, params, body);

// params: left out where undefined, null or "". Raises Refused.
async function ask(method, path, params = {}, body) {
  const query = new URLSearchParams(Object.entries({ ...params, realm: session.realm }).filter(([, value]) => value != null && value !== ""));
  const headers = session.token ? { Authorization: `Bearer ${session.token}` } : {};
  let answer;
  try {
    answer = await fetch(String(query) ? `${path}?${query}` : path, { method, headers, body: body === undefined || body instanceof Blob ? body : JSON.stringify(body) });
  } catch (error) {
    throw new Refused(0, { error: error.message });
  }
  const said = await answer.json().catch(() => null);
  if (!answer.ok) throw new Refused(answer.status, isObject(said) ? said : {});
  if (!isObject(said) || !listsOf(path, params).every((name) => isList(said[name]))) throw new Refused(200, {});
  return said;
}

// The same with every page of a list: `name` is what the list is called in the answer.
async function getAll(path, params, name) {
  const first = await get(path, params);
  for (let page = first; page.next != null; first[name].push(...page[name])) page = await get(path, { ...params, after: page.next });
  return first;
}

// What an endpoint answers: {data, error, again}. data: null until it came; it stays while it is asked again.
// path: null asks nothing. every: asked again after so many ms, while the page is seen. whole: the name of a list that comes in
// pages, of which all are asked for.
export function useGet(path, params = {}, { every = 0, whole = "" } = {}) {
  const [answer, set] = useState({ data: null, error: null, of: null });
  const of = path && JSON.stringify([path, params]), count = useRef(0), shown = useRef(0);
  const again = useCallback(async () => {
    if (!of) return;
    const mine = ++count.current;   // an answer that one asked for later has overtaken is of before
    const put = (next) => {
      if (mine < shown.current) return;
      shown.current = mine;
      set(next);
    };
    try {
      const data = await (whole ? getAll(path, params, whole) : get(path, params));
      put({ data, error: null, of });
    } catch (error) {
      put((last) => ({ data: last.of === of ? last.data : null, error, of }));
    }
  }, [of]);
  useEffect(() => {
    again();
    if (!every) return undefined;
    const timer = setInterval(() => { if (!document.hidden) again(); }, every);
    return () => clearInterval(timer);
  }, [again, every]);
  useEffect(() => (answer.error ? back.subscribe(again) : undefined), [answer.error, again]);
  return answer.of === of ? { ...answer, again } : { data: null, error: null, again };
}
