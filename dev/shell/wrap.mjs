// node wrap.mjs WIT CORE OUT: a core module that exports what the world `provider` of WIT
// asks for, as a component.
import { readFileSync, writeFileSync } from "node:fs";
import { componentEmbed, componentNew } from "@bytecodealliance/jco-transpile/wasm-tools";

const [wit, core, out] = process.argv.slice(2);
const binary = await componentEmbed({
  binary: readFileSync(core),
  witSource: readFileSync(wit, "utf8"),
  world: "provider",
});
writeFileSync(out, await componentNew(binary));
