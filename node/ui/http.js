// The node's HTTP endpoints.
import { session } from "./session.js";
import { useState, useEffect, useCallback } from "./base.js";

// status: of HTTP, 0 where the node did not answer. code: as in the protocol, where there is one.
export class Refused extends Error {
  constructor(status, body) {
    super(body.error || String(status));
    this.status = status;
    this.code = body.code ?? null;
    this.body = body;
  }
}

export const get = (path, params) => ask("GET", path, params);
export const post = (path, params, body) => ask("POST", path, params, body);

// params: left out where undefined, null or "". Raises Refused.
async function ask(method, path, params = {}, body) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value != null && value !== ""));
  const headers = session.token ? { Authorization: `Bearer ${session.token}` } : {};
  let answer;
  try {
    answer = await fetch(String(query) ? `${path}?${query}` : path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    throw new Refused(0, { error: error.message });
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, said);
  return said;
}

// What an endpoint answers: {data, error, again}. data: null until it came; it stays while it is asked again.
// path: null asks nothing. every: asked again after so many ms, while the page is seen.
export function useGet(path, params = {}, { every = 0 } = {}) {
  const [answer, set] = useState({ data: null, error: null, of: null });
  const of = path && JSON.stringify([path, params]);
  const again = useCallback(async () => {
    if (!of) return;
    try {
      const data = await get(path, params);
      set({ data, error: null, of });
    } catch (error) {
      set((last) => ({ data: last.of === of ? last.data : null, error, of }));
    }
  }, [of]);
  useEffect(() => {
    again();
    if (!every) return undefined;
    const timer = setInterval(() => { if (!document.hidden) again(); }, every);
    return () => clearInterval(timer);
  }, [again, every]);
  return answer.of === of ? { ...answer, again } : { data: null, error: null, again };
}
