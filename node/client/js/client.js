// The client of a Comanda node, for browsers and for Node.

import { systemClock } from './clock.js';
import { IndexedDBStore } from './stores/indexeddb.js';
import { MemoryStore } from './stores/memory.js';
import { Terminal, nameOf } from './terminal.js';

export { IndexedDBStore, MemoryStore, Terminal };
export { LockError } from './locks.js';

/**
 * A terminal that dials the node at once, and for ever.
 * Options: see client.d.ts. Without a store, a browser's database is used, else the memory of the process.
 */
export function connect(options) {
  const { url, terminalId, type } = options;
  for (const [name, value] of Object.entries({ url, terminalId, type })) {
    if (typeof value !== 'string' || !value) throw new TypeError(`connect needs ${name}`);
  }
  const WebSocket = options.WebSocket ?? globalThis.WebSocket;
  if (!WebSocket) throw new TypeError('connect needs WebSocket, such as that of npm\'s "ws": this Node has none');
  const store = options.store ?? (globalThis.indexedDB ? new IndexedDBStore(`comanda/${nameOf(options)}`) : new MemoryStore());
  const { BroadcastChannel, navigator } = globalThis;
  const tabs = options.tabs === undefined && BroadcastChannel ? { locks: navigator?.locks, BroadcastChannel } : options.tabs;
  return new Terminal({ ...options, WebSocket, store, tabs, clock: options.clock ?? systemClock });
}
