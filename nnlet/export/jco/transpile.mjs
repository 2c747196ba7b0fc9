// node transpile.mjs COMPONENT FOLDER: the component as JavaScript and core modules, in FOLDER.
import { transpileBytes } from "@bytecodealliance/jco-transpile";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { minify } from "oxc-minify";

const [component, folder] = process.argv.slice(2);
const { files } = await transpileBytes(readFileSync(component), {
  name: "glue",
  instantiation: "async", // who uses it says how modules are got
  nodejsCompat: false,
  base64Cutoff: 0, // modules stay files
  emitTypescriptDeclarations: false,
});
files["glue.js"] = (await minify("glue.js", oneBindingEach(text(files["glue.js"])))).code;

mkdirSync(folder, { recursive: true });
for (const [name, content] of Object.entries(files)) {
  if (!name.includes("/")) writeFileSync(join(folder, name), content);
}

function text(bytes) {
  return new TextDecoder().decode(bytes);
}

/**
 * jco 0.15 makes a list of resources in a loop, and binds each one's handle with `var`: the
 * functions that dispose of them all dispose of the last one. A binding for each is what is meant.
 */
function oneBindingEach(code) {
  const fixed = code.replaceAll(/\bvar ((?:handle|rsc)\d+) ?=/g, "const $1 =");
  if (fixed === code) throw new Error("jco's code has no resources as expected: see transpile.mjs");
  return fixed;
}
