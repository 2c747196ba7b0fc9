// node embed.mjs WIT CORE OUT: the core module with the world `extension` of WIT as its type.
import { readFileSync, writeFileSync } from "node:fs";
import { componentEmbed } from "@bytecodealliance/jco-transpile/wasm-tools";

const [wit, core, out] = process.argv.slice(2);
const binary = await componentEmbed({
  binary: readFileSync(core),
  witSource: readFileSync(wit, "utf8"),
  world: "extension",
});
writeFileSync(out, binary);
