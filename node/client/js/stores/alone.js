// One process at a time: the system gives the name of a socket to one process, and takes it back however that ends.

import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Rejects while another process has this path. The answer gives it back. */
export async function alone(path) {
  const name = `comanda-${createHash('sha256').update(path).digest('hex').slice(0, 32)}`;
  const address = { linux: `\0${name}`, win32: `\\\\.\\pipe\\${name}` }[process.platform];
  const server = address ? await listen(address) : await listenOnFile(join(tmpdir(), name));
  if (!server) throw new Error(`${path} is used by another process`);
  server.unref();
  return () => new Promise((resolve) => { server.close(resolve); });
}

/** null: the address is taken. */
function listen(address) {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error) => (error.code === 'EADDRINUSE' ? resolve(null) : reject(error)));
    server.listen(address, () => resolve(server));
  });
}

// A socket's file outlives a killed process; then nobody answers there.
async function listenOnFile(address) {
  const server = await listen(address);
  if (server || await answers(address)) return server;
  await rm(address, { force: true });
  return listen(address);
}

function answers(address) {
  return new Promise((resolve) => {
    const socket = connect(address);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
