import type { Store } from '../client.js';

/** A file for Node: durable at each commit, also through `kill -9` and a power cut. One process at a time. */
export class FileStore implements Store {
  /** path: of the file, whose folder is there already. */
  constructor(path: string);
  load(): Promise<[string, any][]>;
  commit(changes: [string, any][]): Promise<void>;
  append(value: any): Promise<string>;
  close(): Promise<void>;
}
