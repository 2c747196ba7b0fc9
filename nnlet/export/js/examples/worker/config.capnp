# workerd serve examples/worker/config.capnp
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "models", worker = .models)],
  sockets = [(name = "http", address = "127.0.0.1:8080", http = (), service = "models")],
);

const models :Workerd.Worker = (
  compatibilityDate = "2026-01-01",
  modules = [
    (name = "examples/worker/worker.js", esModule = embed "worker.js"),
    (name = "workerd.js", esModule = embed "../../workerd.js"),
    (name = "oip.js", esModule = embed "../../oip.js"),
    (name = "runtime.js", esModule = embed "../../runtime.js"),
    (name = "tensors.js", esModule = embed "../../tensors.js"),
    (name = "datatypes.js", esModule = embed "../../datatypes.js"),
    (name = "error.js", esModule = embed "../../error.js"),
    (name = "models.js", esModule = embed "../../models.js"),
    (name = "glue.js", esModule = embed "../../glue.js"),
    (name = "models.relaxed.wasm", wasm = embed "../../models.relaxed.wasm"),
    (name = "glue.core2.wasm", wasm = embed "../../glue.core2.wasm"),
    (name = "glue.core3.wasm", wasm = embed "../../glue.core3.wasm"),
  ],
);
