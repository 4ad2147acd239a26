// The other end of a terminal's sockets, played by hand.
import { connect, MemoryStore } from '../../../node/client/js/client.js';

export async function turn(count = 20) {
  for (let n = 0; n < count; n += 1) await new Promise(setImmediate);
}

/** A terminal whose sockets the test plays; `events` are what it told, newest last. */
export class Played {
  sockets = [];
  events = [];

  constructor(options = {}) {
    const played = this;
    class WebSocket {
      readyState = 0;
      sent = [];

      constructor(url, offers) {
        this.url = url;
        this.offers = offers;
        played.sockets.push(this);
      }

      send(text) { this.sent.push(JSON.parse(text)); }

      close() { this.readyState = 3; }
    }
    this.store = options.store ?? new MemoryStore();
    this.terminal = connect({ url: 'ws://node', terminalId: 'w-1', type: 'waiter', WebSocket, ...options, store: this.store });
    for (const name of ['operation', 'entity', 'conflict', 'contact', 'lock', 'error', 'message']) {
      this.terminal.on(name, (about) => this.events.push([name, about]));
    }
  }

  get socket() { return this.sockets.at(-1); }

  /** What was sent of a type on the last socket. */
  sent(type) { return this.socket.sent.filter((message) => message.type === type); }

  told(name) { return this.events.filter(([each]) => each === name).map(([, about]) => about); }

  /** Greets, and answers the ping that follows the first confirmation. */
  async greetWhole() {
    await this.greet();
    await this.row({ id: 'first', entity_id: 'first', operation: 'DELETE', data: { version: 1 } });
    await this.hear({ type: 'pong' });
  }

  async greet() {
    await turn();
    this.socket.readyState = 1;
    await this.hear({ type: 'connection_established', terminal_id: 'w-1', server_time: new Date().toISOString(), session_id: 's' });
  }

  async hear(...messages) {
    for (const message of messages) this.socket.onmessage?.({ data: JSON.stringify(message) });
    await turn();
  }

  async end(code) {
    this.socket.readyState = 3;
    this.socket.onclose?.({ code, reason: '' });
    await turn();
  }

  row(operation, more = {}) {
    return this.hear({ type: 'data_sync', operation: { entity_type: 'orders', terminal_id: 'k-1', ...operation, ...more } });
  }

  confirm(id, more = {}) {
    return this.hear({ type: 'sync_confirmation', operation_id: id, terminal_id: 'w-1', status: 'applied', ...more });
  }
}
