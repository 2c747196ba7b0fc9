import type { ModelInfo } from "./types.js";

/** What is served: `load` and `models` of this package. */
export interface Served {
  // A method, so that a `load` of fewer names is taken too: a name that does not exist is answered with 404.
  load(name: never, options?: { readonly version?: string }): Promise<unknown>;
  readonly models: readonly ModelInfo[];
  /** What GET /v2 says the server is called: "nnlet" unless given. */
  readonly name?: string;
  /** The largest body in bytes: 10 MiB unless given. */
  readonly maxBody?: number;
}

/** A `fetch` handler that answers the Open Inference Protocol; it refuses, and never throws. */
export declare function openInferenceProtocol(served: Served): (request: Request) => Promise<Response>;
