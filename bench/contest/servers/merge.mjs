// What merging.py measures, for the packages of Node.js. Argument: a file with {package, writers, edits}; prints JSON.
import { readFile } from "node:fs/promises";

const { package: name, writers, edits } = JSON.parse(await readFile(process.argv[2], "utf8"));
const library = await import(name);

// Each: make() a document, edit(document, field, value) -> update, merge(document, update), snapshot(document), load(bytes).
const shapes = {
  yjs: () => ({
    make() {
      const document = new library.Doc();
      const state = { document, map: document.getMap("fields"), last: null };
      document.on("update", (update, origin) => origin !== "remote" && (state.last = update));
      return state;
    },
    edit(state, field, value) {
      state.map.set(field, value);
      return state.last;
    },
    merge: (state, update) => library.applyUpdate(state.document, update, "remote"),
    snapshot: (state) => library.encodeStateAsUpdate(state.document),
    load: (bytes) => library.applyUpdate(new library.Doc(), bytes),
  }),
  "loro-crdt": () => ({
    make() {
      const state = { document: new library.LoroDoc(), last: null };
      state.document.subscribeLocalUpdates((update) => (state.last = update));
      return state;
    },
    edit(state, field, value) {
      state.document.getMap("fields").set(field, value);
      state.document.commit();
      return state.last;
    },
    merge: (state, update) => state.document.import(update),
    snapshot: (state) => state.document.export({ mode: "snapshot" }),
    load: (bytes) => new library.LoroDoc().import(bytes),
  }),
  "@automerge/automerge": () => {
    const empty = library.from({});
    return {
      make: () => ({ document: library.clone(empty) }),
      edit(state, field, value) {
        state.document = library.change(state.document, (draft) => (draft[field] = value));
        return library.getLastLocalChange(state.document);
      },
      merge: (state, change) => ([state.document] = library.applyChanges(state.document, [change])),
      snapshot: (state) => library.save(state.document),
      load: (bytes) => library.load(bytes),
    };
  },
};

const shape = shapes[name]();
const documents = Array.from({ length: writers }, () => shape.make());
const follower = shape.make();
const found = { edit_us: [], merge_us: [], snapshot: 0, load_us: Infinity };
for (const [writer, field, value] of edits) {
  let begun = performance.now();
  const update = shape.edit(documents[writer], field, value);
  found.edit_us.push((performance.now() - begun) * 1000);
  documents.forEach((other, place) => place !== writer && shape.merge(other, update));
  begun = performance.now();
  shape.merge(follower, update);
  found.merge_us.push((performance.now() - begun) * 1000);
}
const bytes = shape.snapshot(follower);
found.snapshot = bytes.length;
for (let round = 0; round < 10; round++) {
  const begun = performance.now();
  shape.load(bytes);
  found.load_us = Math.min(found.load_us, (performance.now() - begun) * 1000);
}
process.stdout.write(JSON.stringify(found), () => process.exit(0)); // a pipe takes 64 KB at once
