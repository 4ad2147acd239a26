// Runs the client class of the protocol document as it stands. One JSON command a line comes in, one event a line goes out.
//   node document_client.mjs CLASS_FILE USAGE_FILE PORT WS_MODULE
// Only what the document leaves to the reader is supplied, and only host and port are changed.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const [classFile, usageFile, port, wsModule] = process.argv.slice(2);
const Ws = createRequire(import.meta.url)(wsModule);
const tell = (event) => process.stdout.write(JSON.stringify(event) + '\n');
const clients = {};
let operations = 0;

class WebSocket extends Ws {
  constructor(url) {
    super(url.replace('ws://localhost:8001', `ws://127.0.0.1:${port}`), { handshakeTimeout: 5000 });
  }
}
const log = {
  log: (...words) => tell({ event: 'log', text: words.join(' ') }),
  error: (...words) => tell({ event: 'log', text: 'error: ' + words.join(' ') }),
};
const source = readFileSync(classFile, 'utf8');
const Client = new Function('WebSocket', 'console', source + '\n;return RealtimeWebSocketClient;')(WebSocket, log);

const supplied = [];
const supply = (methods) => {
  for (const [name, method] of Object.entries(methods)) {
    if (typeof Client.prototype[name] !== 'function') {
      Client.prototype[name] = method;
      supplied.push(name);
    }
  }
};
supply({
  handleError(error) { tell({ event: 'socket error', id: this.id, text: String(error && error.message) }); },
  flushMessageQueue() {
    const waiting = this.messageQueue;
    this.messageQueue = [];
    for (const message of waiting) this.send(message);
  },
  generateOperationId() { return `op-${process.pid}-${Date.now()}-${++operations}`; },
  handleConnectionEstablished(message) { tell({ event: 'established', id: this.id, message }); },
  applyRemoteUpdate(operation) { tell({ event: 'apply', id: this.id, operation }); },
  handleSyncConflict(message) { tell({ event: 'conflict', id: this.id, message }); },
  handleTerminalStatusUpdate() { tell({ event: 'status', id: this.id }); },
});
for (const name of ['handleOpen', 'handleClose', 'handleMessage']) {
  const own = Client.prototype[name];
  Client.prototype[name] = function (what) {
    const text = name === 'handleMessage' ? String(what.data) : undefined;
    tell({ event: name, id: this.id, code: what && what.code, text });
    return own.call(this, what);
  };
}

const commands = {
  new({ id, terminal, type, user }) {
    clients[id] = new Client(terminal, type, user);
    clients[id].id = id;
  },
  sync({ id, args }) { clients[id].syncData(...args); },
  state({ id }) {
    const { ws, messageQueue } = clients[id];
    tell({ event: 'state', id, open: ws.readyState === 1, queue: messageQueue.length });
  },
  usage() {
    const run = new Function('RealtimeWebSocketClient', 'console', readFileSync(usageFile, 'utf8') + '\n;return client;');
    run(Client, log).id = 'usage';
  },
};
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const command = JSON.parse(line);
    try {
      commands[command.do](command);
    } catch (error) {
      tell({ event: 'exception', text: String(error && error.stack) });
    }
  })
  .on('close', () => process.exit(0));
process.on('uncaughtException', (error) => tell({ event: 'exception', text: String(error && error.stack) }));
tell({ event: 'ready', supplied });
