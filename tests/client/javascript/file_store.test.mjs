// A disk that crashes, or fails, at every operation of a store in turn: what was said to be kept is there, in order and
// whole, and what was said not to be kept is not.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { FileStore } from '../../../node/client/js/stores/file.js';

const SURVIVES = {
  'only what was synced': { names: 'synced', content: ({ synced }) => synced },
  'the new name, and what was synced': { names: 'now', content: ({ synced }) => synced },
  'half of what was not synced': { names: 'now', content: ({ now, synced }) => (
    now.subarray(0, Math.floor((now.length + Math.min(now.length, synced.length)) / 2))) },
  everything: { names: 'now', content: ({ now }) => now },
};

/** As much of node:fs/promises as the store uses. at: the number of the operation at which `fault` is called. */
class Disk {
  names = { now: new Map(), synced: new Map() }; // path -> {now, synced}: bytes
  operations = 0;

  constructor(at = Infinity, fault = () => {}) { Object.assign(this, { at, fault }); }

  async #operate(act) {
    this.operations += 1;
    if (this.operations === this.at) await this.fault();
    return act();
  }

  after(survives) {
    const disk = new Disk();
    for (const [path, file] of this.names[survives.names]) {
      const bytes = Buffer.from(survives.content(file));
      disk.names.now.set(path, { now: bytes, synced: bytes });
      disk.names.synced.set(path, disk.names.now.get(path));
    }
    return disk;
  }

  readFile = (path) => this.#operate(() => {
    const file = this.names.now.get(path);
    if (!file) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    return Buffer.from(file.now);
  });

  rename = (from, to) => this.#operate(() => {
    this.names.now.set(to, this.names.now.get(from));
    this.names.now.delete(from);
  });

  open = (path, flags) => this.#operate(() => {
    if (flags === 'w') {
      const there = this.names.now.get(path);
      this.names.now.set(path, { now: Buffer.alloc(0), synced: there ? there.synced : Buffer.alloc(0) });
    }
    const file = this.names.now.get(path);
    const sync = () => this.#operate(() => {
      if (!file) this.names.synced = new Map(this.names.now); // the folder
      else file.synced = file.now;
    });
    return {
      write: (bytes, start, length, position) => this.#operate(() => {
        file.now = Buffer.concat([file.now.subarray(0, position), bytes, file.now.subarray(position + length)]);
      }),
      writeFile: (bytes) => this.#operate(() => { file.now = Buffer.from(bytes); }),
      truncate: (length) => this.#operate(() => { file.now = file.now.subarray(0, length); }),
      sync,
      datasync: sync,
      close: async () => {},
    };
  });
}

const LARGE = 'x'.repeat(40_000); // three of them, and the file is written anew

/** What a terminal does: it appends, commits several keys, also without waiting. kept: after each step that resolved. */
async function work(store, said) {
  const model = new Map(await store.load());
  const step = async (act, ...changes) => {
    said.underWay.push(changes);
    try {
      const key = await act();
      for (const [name, value] of changes) {
        if (value === undefined) model.delete(name);
        else model.set(name ?? key, value);
      }
      said.kept = new Map(model);
    } catch (error) {
      said.errors.push(error);
    }
    said.underWay.shift();
  };
  const append = (value) => step(() => store.append(value), [null, value]);
  const commit = (...changes) => step(() => store.commit(changes), ...changes);
  await append({ n: 1 });
  await Promise.all([append({ n: 2 }), append({ n: 3 }), commit(['entity/a', { v: 1 }], ['entity/b', { v: LARGE }])]);
  await commit(['entity/b', { v: 2, more: LARGE }], ['entity/a', undefined]);
  await Promise.all([commit(['entity/c', { v: LARGE }]), append({ n: 4 }), commit(['entity/c', { v: 2 }])]);
  await commit(['entity/d', { v: LARGE }]);
  await append({ n: 5 });
}

const sorted = (pairs) => [...pairs].sort(([one], [other]) => (one < other ? -1 : 1));
const keyed = (map) => sorted(map).map(([key, value]) => [key, JSON.stringify(value).slice(0, 40)]);

async function loaded(disk) {
  const store = new FileStore('/store', disk);
  const values = await store.load();
  await store.close();
  return new Map(values);
}

async function operations() {
  const disk = new Disk();
  const store = new FileStore('/store', disk);
  await work(store, { underWay: [], errors: [], kept: new Map() });
  await store.close();
  return disk.operations;
}

test('a crash at every operation', async () => {
  const last = await operations();
  assert.ok(last > 30, 'the file was written anew in between');
  for (let at = 1; at <= last; at += 1) {
    const said = { underWay: [], errors: [], kept: new Map() };
    let crashed;
    const crash = new Promise((resolve) => { crashed = resolve; });
    const disk = new Disk(at, () => { crashed(); return new Promise(() => {}); });
    const store = new FileStore(`/crash-${at}`, disk);
    await Promise.race([work(store, said), crash]);
    for (const [name, survives] of Object.entries(SURVIVES)) {
      const survivor = disk.after(survives);
      for (const each of ['now', 'synced']) {
        survivor.names[each] = new Map([...survivor.names[each]].map(([path, file]) => [path.replace(`crash-${at}`, 'store'), file]));
      }
      const found = await loaded(survivor);
      const wanted = [said.kept];
      let queued = Math.max(0, ...[...said.kept.keys()].filter((key) => key.startsWith('queue/')).map((key) => Number(key.slice(6))));
      for (const changes of said.underWay) {
        const next = new Map(wanted.at(-1));
        for (const [key, value] of changes) {
          if (value === undefined) next.delete(key);
          else next.set(key ?? `queue/${String(queued += 1).padStart(15, '0')}`, value);
        }
        wanted.push(next);
      }
      const matches = wanted.some((map) => JSON.stringify(keyed(map)) === JSON.stringify(keyed(found)));
      assert.ok(matches, `operation ${at}, ${name}: ${JSON.stringify(keyed(found))} is none of ${JSON.stringify(wanted.map(keyed))}`);
    }
  }
});

test('an error at every operation', async () => {
  const last = await operations();
  for (let at = 1; at <= last; at += 1) {
    const said = { underWay: [], errors: [], kept: new Map() };
    const disk = new Disk(at, () => { throw Object.assign(new Error('failed'), { code: 'EIO' }); });
    const store = new FileStore(`/error-${at}`, disk);
    const started = await work(store, said).then(() => true, () => false);
    await store.close();
    if (!started) continue; // load failed, and nothing was said
    for (const survives of [SURVIVES['only what was synced'], SURVIVES.everything]) {
      const survivor = disk.after(survives);
      survivor.names.now.set('/store', survivor.names.now.get(`/error-${at}`));
      assert.deepEqual(keyed(await loaded(survivor)), keyed(said.kept), `operation ${at}`);
    }
  }
});

test('a damaged line costs what it says, and the file is put aside', async () => {
  const path = join(await mkdtemp(join(tmpdir(), 'comanda-')), 'store');
  const store = new FileStore(path);
  await store.load();
  for (const n of [1, 2, 3]) await store.append({ n });
  await store.close();
  const content = await readFile(path, 'utf8');
  const damaged = content.replace('{"n":2}', '{"n":7}');
  await writeFile(path, damaged);
  const again = new FileStore(path);
  assert.deepEqual((await again.load()).map(([, value]) => value), [{ n: 1 }, { n: 3 }]);
  assert.equal(await readFile(`${path}.damaged`, 'utf8'), damaged);
  assert.equal(await again.append({ n: 4 }), 'queue/000000000000004');
  await again.close();
});

test('a file is used by one process at a time, and free when that was killed', async () => {
  const path = join(await mkdtemp(join(tmpdir(), 'comanda-')), 'store');
  const store = new FileStore(path);
  await store.load();
  const other = `import { FileStore } from '${new URL('../../../node/client/js/stores/file.js', import.meta.url)}';
    await new FileStore(${JSON.stringify(path)}).load().catch((error) => { console.log(error.message); process.exit(1); });
    process.kill(process.pid, 'SIGKILL');`;
  const run = () => spawnSync(process.execPath, ['--input-type=module', '-e', other], { encoding: 'utf8' });
  assert.match(run().stdout, /is used by another process/);
  await store.close();
  assert.equal(run().signal, 'SIGKILL');
  await new FileStore(path).load();
});
