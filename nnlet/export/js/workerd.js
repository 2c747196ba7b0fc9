// The models in workerd, Cloudflare's runtime: it compiles no WebAssembly while it runs, so the
// modules are imported, and deployed with the worker.

import { instantiate } from "./glue.js";
import core from "./models.relaxed.wasm";
import core2 from "./glue.core2.wasm";
import core3 from "./glue.core3.wasm";
import { models } from "./models.js";
import { loader } from "./runtime.js";

export { ModelError } from "./error.js";
export { models };

const GLUE = { "glue.core2.wasm": core2, "glue.core3.wasm": core3 };

export const load = loader(models, async () => instantiate((name) => GLUE[name] ?? core, {}));
