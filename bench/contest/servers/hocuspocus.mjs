// Hocuspocus, which writes the whole document to a file when a time has passed. Arguments: PORT FOLDER
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Database } from "@hocuspocus/extension-database";
import { Server } from "@hocuspocus/server";

const [port, folder] = process.argv.slice(2);
const file = (name) => join(folder, encodeURIComponent(name));
const server = new Server({
  address: "127.0.0.1",
  port: Number(port),
  quiet: true,
  stopOnSignals: true,
  extensions: [
    new Database({
      fetch: ({ documentName }) => readFile(file(documentName)).catch(() => null),
      store: ({ documentName, state }) => writeFile(file(documentName), state),
    }),
  ],
});
await server.listen();
console.log("ready");
