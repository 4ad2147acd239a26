// The JavaScript client as a process. One JSON command a line comes in, one event a line goes out.
//   node javascript.mjs WS_MODULE
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

import { MemoryStore, connect } from '../../../node/client/js/client.js';
import { FileStore } from '../../../node/client/js/stores/file.js';

const WebSocket = createRequire(import.meta.url)(process.argv[2]);
const timing = JSON.parse(process.env.COMANDA_CLIENT_TIMING ?? '{}');
const tell = (event) => process.stdout.write(JSON.stringify(event) + '\n');
let terminal;

const commands = {
  open({ url, terminal_id: terminalId, type, token, store }) {
    const kept = store ? new FileStore(store) : new MemoryStore();
    terminal = connect({ url, terminalId, type, token, store: kept, WebSocket, timing });
    terminal.on('operation', ({ label, state, code }) => tell({ event: 'state', key: label, state, code }));
    terminal.on('contact', ({ up, state, code }) => {
      if (state !== 'connecting') tell({ event: 'contact', up, code });
    });
    terminal.on('error', ({ text }) => tell({ event: 'error', text }));
    return terminal.ready;
  },
  write({ key, operation, entity_type: type, entity_id: id, data }) {
    return terminal.write(type, id, operation, data ?? {}, { label: key });
  },
  shown({ entity_type: type }) {
    const entities = Object.fromEntries([...terminal.entities(type)].map(([id, { data }]) => [id, data]));
    tell({ event: 'shown', entity_type: type, entities });
  },
  pending() {
    tell({ event: 'pending', keys: terminal.operations().filter(({ answer }) => !answer).map(({ label }) => label) });
  },
  async close() {
    await terminal.close();
    tell({ event: 'closed' });
  },
};

createInterface({ input: process.stdin }).on('line', async (line) => {
  const command = JSON.parse(line);
  try {
    await commands[command.do](command);
  } catch (error) {
    tell({ event: 'error', text: String(error.stack) });
  }
}).on('close', () => process.exit());
