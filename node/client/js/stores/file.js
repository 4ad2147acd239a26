// A file for Node. A commit is one line at its end, with a checksum, and is on disk when the promise resolves.
//
// What a crash left of the last line is dropped: nobody was told that it is kept. Once the lines are much longer than
// what they say, and after an error, all is written to a new file, which takes the old one's place.

import { createHash } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

import { alone } from './alone.js';
import { queueKey } from './memory.js';

const SMALLEST_REWRITE = 100_000; // bytes
const SUM = 16; // characters of a checksum

function checksum(text) {
  return createHash('sha256').update(text).digest('hex').slice(0, SUM);
}

function line(changes) {
  const text = JSON.stringify(changes);
  return `${checksum(text)} ${text}\n`;
}

/** The changes of a line, or null where it is damaged. */
function read(text) {
  const said = text.slice(SUM + 1);
  return text && checksum(said) === text.slice(0, SUM) ? JSON.parse(said) : null;
}

/** @implements {import('../client.js').Store} */
export class FileStore {
  #path;
  #files;
  #values = new Map();
  #last = 0; // number of the queue's last key
  #file = null; // null: the next commit writes a new one
  #end = 0; // bytes of it that count
  #rewritten = 0; // bytes it had when it was new
  #waiting = []; // {changes, resolve, reject}
  #writing = null; // a promise, while commits are written
  #leave = () => {};

  /** path: of the file; its folder is there already. files: for tests, in place of node:fs/promises. */
  constructor(path, files = { open, readFile, rename }) {
    this.#path = path;
    this.#files = files;
  }

  async load() {
    this.#leave = await alone(resolve(this.#path));
    const content = await this.#content();
    const lines = content.toString('utf8').split('\n');
    const torn = lines.pop(); // '' where the last line is whole
    const changes = lines.map(read);
    if (changes.includes(null)) await this.#write(`${this.#path}.damaged`, content);
    for (const each of changes) this.#apply(each ?? []);
    if (torn || changes.includes(null) || !lines.length) await this.#rewrite();
    else await this.#goOn(content.length);
    return [...this.#values].map(([key, value]) => [key, structuredClone(value)]);
  }

  commit(changes) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ changes, resolve, reject });
      this.#writing ??= this.#writeWaiting();
    });
  }

  async append(value) {
    this.#last += 1;
    const key = queueKey(this.#last);
    await this.commit([[key, value]]);
    return key;
  }

  async close() {
    await this.#writing;
    await this.#file?.close();
    this.#file = null;
    await this.#leave();
  }

  async #content() {
    try {
      return await this.#files.readFile(this.#path);
    } catch (error) {
      if (error.code === 'ENOENT') return Buffer.alloc(0);
      throw error;
    }
  }

  #apply(changes) {
    for (const [key, value] of changes) {
      if (value === undefined || value === null) this.#values.delete(key);
      else this.#values.set(key, value);
      if (key.startsWith('queue/')) this.#last = Math.max(this.#last, Number(key.slice('queue/'.length)));
    }
  }

  // Commits that wait are written together, in order, under one fsync.
  async #writeWaiting() {
    while (this.#waiting.length) {
      const together = this.#waiting;
      this.#waiting = [];
      try {
        await this.#add(together.flatMap(({ changes }) => changes));
        for (const { resolve } of together) resolve();
      } catch (error) {
        for (const { reject } of together) reject(error);
      }
    }
    this.#writing = null;
  }

  async #add(changes) {
    if (!this.#file) await this.#rewrite();
    const bytes = Buffer.from(line(changes));
    try {
      await this.#file.write(bytes, 0, bytes.length, this.#end);
      await this.#file.datasync();
    } catch (error) {
      await this.#giveUp();
      throw error;
    }
    this.#end += bytes.length;
    this.#apply(changes);
    if (this.#end > Math.max(SMALLEST_REWRITE, 4 * this.#rewritten)) await this.#rewrite().catch(() => this.#giveUp());
  }

  // After an error nobody knows what is on the disk. The caller is told that nothing is, so that is tried.
  async #giveUp() {
    const file = this.#file;
    this.#file = null;
    if (!file) return;
    await file.truncate(this.#end).catch(() => {});
    await file.sync().catch(() => {});
    await file.close().catch(() => {});
  }

  async #rewrite() {
    const values = [...this.#values].map((pair) => line([pair])).join('');
    const bytes = Buffer.from(values || line([]));
    const fresh = `${this.#path}.new`;
    await this.#write(fresh, bytes);
    await this.#files.rename(fresh, this.#path);
    const folder = await this.#files.open(dirname(this.#path), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
    await this.#file?.close();
    this.#file = null;
    await this.#goOn(bytes.length);
  }

  async #goOn(end) {
    this.#file = await this.#files.open(this.#path, 'r+');
    this.#end = this.#rewritten = end;
  }

  async #write(path, bytes) {
    const file = await this.#files.open(path, 'w');
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  }
}
