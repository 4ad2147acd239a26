// Read by the compiler alone: what a program may write, and what it may not.
import { IndexedDBStore, LockError, MemoryStore, Terminal, connect } from 'comanda-client';
import type { Contact, Entity, Json, Kept, Lock, Operation, Store } from 'comanda-client';
import { FileStore } from 'comanda-client/file';

const stores: Store[] = [new MemoryStore(), new IndexedDBStore('name'), new FileStore('path')];
const terminal: Terminal = connect({ url: 'ws://host', terminalId: 'a', type: 'pos', token: null, realm: 'loja-17', store: stores[0],
  timing: { ping: 1 }, counters: { products: ['stock'] }, tabs: null });
// @ts-expect-error: no such type of terminal
connect({ url: 'ws://host', terminalId: 'a', type: 'cook' });
// @ts-expect-error: no such event
terminal.on('news', () => {});

terminal.on('contact', (contact: Contact) => contact.up && contact.clockSkewMs);
terminal.on('operation', ({ label, state }) => (state === 'refused' ? label : null));
terminal.on('lock', ({ lock, lockedBy }) => [lock.scope, lockedBy]);
terminal.on('conflict', ({ conflict, message }) => [conflict.id, message?.reason]);
const off: () => void = terminal.on('entity', async ({ entity }) => entity?.data.status);
off();

const shown: ReadonlyMap<string, Entity> = terminal.entities('orders');
// @ts-expect-error: what is shown is changed by writing
shown.get('o')!.data.status = 'paid';
await terminal.ready;
const kept: Kept = await terminal.create('orders', 'o', { items: [{ id: 'i', qty: 1 }] }, { label: { n: 1 }, priority: 'high' });
const answered: Operation = await kept.answered;
const label: Json = answered.label;
await terminal.write('products', null, 'BULK_UPDATE', { updates: [{ entity_id: 'p', data: { price: 1 } }] });
// @ts-expect-error: no such operation
await terminal.write('orders', 'o', 'UPSERT', {});
await terminal.update('orders', 'o', { paid: true }, { version: 3, lock: 'l' });
await terminal.updateAll('products', { p: { price: 1 } });
await terminal.delete('orders', 'o');
await terminal.resolve('c', 'merge', { phone: '1' }, 'asked her', { label });
const again: boolean[] = [await terminal.retry(kept.id), await terminal.dismiss(kept.id)];
const lock: Lock | null = await terminal.lock('orders', 'o', { timeout: 1, breaks: 'p' }).catch((error: LockError) => {
  if (error.lockedBy) return null;
  throw error;
});
if (lock) again.push(await terminal.unlock(lock));
await terminal.reconnect({ full: true, token: 't' });
await terminal.close();
