// node driver.mjs PACKAGE: evaluates expressions, one JSON string a line on stdin, with what the
// package exports in scope; answers {"value": ...} or {"error": ..., "code": ...}.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const root = pathToFileURL(`${process.argv[2]}/`);
const use = (name) => import(new URL(name, root));
const { load, models, ModelError } = await use("node.js");
const { openInferenceProtocol } = await use("oip.js");
const { answers } = await import("./answers.js");
const handle = openInferenceProtocol({ load, models });

/** What the protocol's handler answers. */
async function ask(method, path, body, headers = {}) {
  const text = typeof body === "object" ? JSON.stringify(body) : body;
  const response = await handle(new Request(`http://models${path}`, { method, body: text, headers }));
  return { status: response.status, body: await response.json() };
}

for await (const line of createInterface({ input: process.stdin })) {
  let found;
  try {
    found = { value: await eval(`(async () => (${JSON.parse(line)}))()`) };
  } catch (error) {
    found = { error: error.message, code: error instanceof ModelError ? error.code : error.name };
  }
  process.stdout.write(`${JSON.stringify(found)}\n`);
}
