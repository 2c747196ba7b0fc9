// The models in browsers, pages and web workers alike: one flavour is downloaded, from beside
// this file.

import { ModelError } from "./error.js";
import { pickFlavour } from "./flavour.js";
import { instantiate } from "./glue.js";
import { models } from "./models.js";
import { loader } from "./runtime.js";
import { FLAVOURS, GLUE } from "./wasm.js";

export { ModelError, models };

async function compile(url) {
  const response = await fetch(url).catch((cause) => {
    throw new ModelError("not-found", `${url} could not be downloaded: ${cause.message}`, { cause });
  });
  if (!response.ok) {
    throw new ModelError("not-found", `${url} could not be downloaded: status ${response.status}`);
  }
  // Streaming is for the right media type only, which not every file server knows.
  const type = response.headers.get("content-type") ?? "";
  if (type.startsWith("application/wasm")) return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer());
}

export const load = loader(models, async () => {
  const core = FLAVOURS[pickFlavour(Object.keys(FLAVOURS))];
  return instantiate((name) => compile(GLUE[name] ?? core), {});
});
