// Yjs itself, for test_against_other_engines.py: a line of JSON with commands in, a line with their answers out.
// Documents are named; bytes are base64. Usage: node yjs_engine.mjs FOLDER_OF_NODE_MODULES
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

const Y = createRequire(process.argv[2] + '/')('yjs')
const bytes = (text) => new Uint8Array(Buffer.from(text, 'base64'))
const text = (array) => Buffer.from(array).toString('base64')
let documents = {}

const of = (name) => {
  if (documents[name] === undefined) documents[name] = new Y.Doc()
  return documents[name]
}

const state = (doc) => {
  const vector = {}
  const texts = {}
  for (const [writer, clock] of Y.decodeStateVector(Y.encodeStateVector(doc))) {
    vector[writer] = clock
    texts[writer] = doc.getArray(String(writer)).toArray()
  }
  return { vector, texts }
}

const commands = {
  forget: () => { documents = {}; return null },
  apply: ({ doc, update }) => { Y.applyUpdate(of(doc), bytes(update)); return null },
  state: ({ doc }) => state(of(doc)),
  encode: ({ doc, vector }) => text(Y.encodeStateAsUpdate(of(doc), vector && bytes(vector))),
  encode2: ({ doc }) => text(Y.encodeStateAsUpdateV2(of(doc))),
  vector: ({ doc }) => text(Y.encodeStateVector(of(doc))),
  // What Yjs writes as a writer of its own: it deletes and appends as EngineDocument.edit does.
  edit: ({ doc, writer, deletes, appends }) => {
    const found = of(doc)
    let update = null
    const keep = (bytes) => { update = bytes }
    found.clientID = writer
    found.on('update', keep)
    found.transact(() => {
      for (const [of, index] of deletes) found.getArray(String(of)).delete(index, 1)
      if (appends.length) found.getArray(String(writer)).push(appends)
    })
    found.off('update', keep)
    return update && text(update)
  },
  // What Yjs can write and our nodes never do.
  strange: ({ kind }) => {
    const doc = new Y.Doc()
    doc.clientID = 9
    const own = kind.startsWith('a map') || kind.startsWith('a text') ? null : doc.getArray('9')
    const writes = {
      'before the first': () => { own.push(['a']); own.insert(0, ['b']) },
      'between two': () => { own.push(['a', 'b']); own.insert(1, ['c']) },
      'a number': () => own.push([1]),
      'a string and an object': () => own.push(['a', { b: 1 }]),
      bytes: () => own.push([new Uint8Array(3)]),
      'a nested array': () => own.push([new Y.Array()]),
      'a nested array that is gone': () => { own.push([Y.Array.from(['a'])]); own.delete(0, 1) },
      'a map': () => doc.getMap('9').set('a', 'b'),
      'a text': () => doc.getText('9').insert(0, 'a'),
      "another writer's array": () => doc.getArray('8').push(['a']),
      'a subdocument': () => own.push([new Y.Doc()])
    }
    doc.transact(writes[kind])
    return text(Y.encodeStateAsUpdate(doc))
  },
  merge: ({ updates }) => text(Y.mergeUpdates(updates.map(bytes))),
  difference: ({ update, vector }) => text(Y.diffUpdate(bytes(update), bytes(vector))),
  vectorOf: ({ update }) => text(Y.encodeStateVectorFromUpdate(bytes(update))),
  // An update as Yjs's own decoder reads it: per writer its clock range, strings and what it carries as deleted.
  read: ({ update }) => {
    const { structs, ds } = Y.decodeUpdate(bytes(update))
    const found = { ranges: {}, inserts: [], gone: {}, deletes: {} }
    for (const struct of structs) {
      const { client, clock } = struct.id
      const range = found.ranges[client] ?? (found.ranges[client] = [clock, clock])
      if (range[1] !== clock) throw new Error('a hole')
      range[1] = clock + struct.length
      if (struct.content instanceof Y.ContentAny) {
        struct.content.arr.forEach((value, at) => found.inserts.push([client, clock + at, value]))
      } else {
        (found.gone[client] ??= []).push([clock, struct.length])
      }
    }
    ds.clients.forEach((items, client) => { found.deletes[client] = items.map(({ clock, len }) => [clock, len]) })
    return found
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const answers = JSON.parse(line).map((command) => {
    try {
      return { answer: commands[command.do](command) }
    } catch (error) {
      return { error: String(error) }
    }
  })
  process.stdout.write(JSON.stringify(answers) + '\n')
}
