// node transpile.mjs COMPONENT FOLDER: the component as JavaScript and core modules, in FOLDER.
import { transpileBytes } from "@bytecodealliance/jco-transpile";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [component, folder] = process.argv.slice(2);
const { files } = await transpileBytes(readFileSync(component), {
  name: "glue",
  instantiation: "async", // who uses it says how modules are got
  nodejsCompat: false,
  base64Cutoff: 0, // modules stay files
  minify: true,
  emitTypescriptDeclarations: false,
});
mkdirSync(folder, { recursive: true });
for (const [name, content] of Object.entries(files)) {
  if (!name.includes("/")) writeFileSync(join(folder, name), content);
}
