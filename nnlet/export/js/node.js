// The models in Node: WebAssembly is read from beside this file.

import { readFile } from "node:fs/promises";
import { pickFlavour } from "./flavour.js";
import { instantiate } from "./glue.js";
import { models } from "./models.js";
import { loader } from "./runtime.js";
import { FLAVOURS, GLUE } from "./wasm.js";

export { ModelError } from "./error.js";
export { models };

const compile = async (url) => WebAssembly.compile(await readFile(url));

export const load = loader(models, async () => {
  const core = FLAVOURS[pickFlavour(Object.keys(FLAVOURS))];
  return instantiate((name) => compile(GLUE[name] ?? core), {});
});
