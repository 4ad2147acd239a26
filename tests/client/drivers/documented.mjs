// The protocol document's own client as a subject of the suite. One JSON command a line in, one event a line out.
//   node documented.mjs WS_MODULE CLASS_FILE
// Only what the document leaves to the reader is supplied. It shows what it is sent, and what it wrote itself.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const [wsModule, classFile] = process.argv.slice(2);
const Ws = createRequire(import.meta.url)(wsModule);
const timing = JSON.parse(process.env.COMANDA_CLIENT_TIMING ?? '{}');
const tell = (event) => process.stdout.write(JSON.stringify(event) + '\n');
const screen = new Map(); // type -> id -> fields
const keys = new Map(); // operation id -> key
const unanswered = new Set(); // keys
let address, client, operations = 0, key;

class WebSocket extends Ws {
  constructor(url) {
    super(url.replace('ws://localhost:8001', address), { handshakeTimeout: 5000 });
  }
}
const quick = (act, ms) => setTimeout(act, (ms * (timing.backoff ?? 1000)) / 1000);
const source = readFileSync(classFile, 'utf8');
const Client = new Function('WebSocket', 'console', 'setTimeout', source + '\n;return RealtimeWebSocketClient;')(
  WebSocket, { log() {}, error() {} }, quick);

function apply({ operation, entity_type: type, entity_id: id, data }) {
  const entities = screen.get(type) ?? screen.set(type, new Map()).get(type);
  if (operation === 'DELETE') entities.delete(id);
  else {
    const before = operation === 'CREATE' ? {} : entities.get(id) ?? {};
    const written = Object.entries(data).map(([name, value]) => [name, value?.$inc ? (before[name] ?? 0) + value.$inc : value]);
    entities.set(id, { ...before, ...Object.fromEntries(written) });
  }
}
Object.assign(Client.prototype, {
  handleError() {},
  flushMessageQueue() {
    for (const message of this.messageQueue.splice(0)) this.send(message);
  },
  generateOperationId() {
    const id = `op-${process.pid}-${Date.now()}-${++operations}`;
    keys.set(id, key);
    return id;
  },
  handleConnectionEstablished() { tell({ event: 'contact', up: true }); },
  applyRemoteUpdate(operation) { apply(operation); },
  handleSyncConflict() {},
  handleTerminalStatusUpdate() {},
});
const { handleMessage, handleClose } = Client.prototype;
Client.prototype.handleMessage = function (event) {
  const { type, operation_id: id } = JSON.parse(event.data);
  if ((type === 'sync_confirmation' || type === 'sync_error') && unanswered.delete(keys.get(id))) {
    tell({ event: 'state', key: keys.get(id), state: type === 'sync_error' ? 'refused' : 'confirmed', code: null });
  }
  return handleMessage.call(this, event);
};
Client.prototype.handleClose = function (event) {
  tell({ event: 'contact', up: false });
  return handleClose.call(this, event);
};

const commands = {
  open({ url, terminal_id: terminal, type }) {
    address = url;
    client = new Client(terminal, type, 'suite');
  },
  write({ key: name, operation, entity_type: type, entity_id: id, data }) {
    key = name;
    unanswered.add(name);
    apply({ operation, entity_type: type, entity_id: id, data });
    client.syncData(type, id, operation, data);
    tell({ event: 'state', key: name, state: 'saved', code: null });
  },
  shown({ entity_type: type }) {
    tell({ event: 'shown', entity_type: type, entities: Object.fromEntries(screen.get(type) ?? []) });
  },
  pending() { tell({ event: 'pending', keys: [...unanswered] }); },
  close() {
    client.maxReconnectAttempts = 0;
    client.ws.close(1000);
    tell({ event: 'closed' });
  },
};
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const command = JSON.parse(line);
    try {
      commands[command.do](command);
    } catch (error) {
      tell({ event: 'error', text: String(error.stack) });
    }
  })
  .on('close', () => process.exit());
