// Reads an AsyncAPI document from the file named; prints what the parser finds, as JSON.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
console.log(JSON.stringify({
  parsed: document !== undefined,
  messages: document?.allMessages().all().map((message) => message.id()) ?? [],
  found: diagnostics.map(({ code, message, severity, path }) => ({ code, message, severity, path: path.join("/") })),
}));
