// load and infer, on an instance of the transpiled component. How its WebAssembly is found is
// the host's part: node.js, browser.js, workerd.js.

import { fromCarrier, toCarrier, DATATYPES } from "./datatypes.js";
import { ModelError } from "./error.js";
import { checkInputs } from "./tensors.js";

const dispose = Symbol.dispose ?? Symbol.for("dispose"); // as jco's code names it

/**
 * The function `load` over `models`; `instantiate` gives the component's exports. All models
 * share one instance, made when the first is loaded.
 */
export function loader(models, instantiate) {
  let instance; // a promise

  async function component() {
    instance ??= instantiate().then((exports) => ({ exports, contexts: new Map() }));
    const mine = instance;
    const forget = () => {
      if (instance === mine) instance = undefined;
    };
    try {
      return { ...(await mine), forget };
    } catch (error) {
      forget(); // what failed may succeed the next time: a download, say
      throw error;
    }
  }

  return async function load(name, { version } = {}) {
    const info = find(models, name, version);
    return new Model(info, await component());
  };
}

/** One version of one model. `inputs` and `outputs` say what it takes and gives. */
class Model {
  #component;
  #context;

  constructor(info, component) {
    Object.assign(this, info);
    this.#component = component;
    this.#context = this.#guarded(() => contextOf(component, `${info.name}@${info.version}`));
  }

  /** The outputs by name, from the inputs by name. Throws ModelError. */
  infer(inputs) {
    const checked = checkInputs(this, inputs);
    const found = this.#guarded(() => this.#compute(checked));
    return Object.fromEntries(this.outputs.map((output, index) => [output.name, read(output, found[index])]));
  }

  #compute(inputs) {
    const { Tensor } = this.#component.exports.tensor;
    const named = inputs.map(({ name, datatype, shape, data }) => {
      const { carrier } = DATATYPES[datatype];
      return [name, new Tensor(Uint32Array.from(shape), carrier, toCarrier(datatype, data))];
    });
    return this.#context.compute(named).map(([, tensor]) => {
      const found = { shape: Array.from(tensor.dimensions()), bytes: tensor.data() };
      tensor[dispose]();
      return found;
    });
  }

  /** What `action` returns; what the component throws becomes a ModelError. */
  #guarded(action) {
    if (this.#component === undefined) throw lost(this);
    try {
      return action();
    } catch (error) {
      if (typeof error?.code === "function") throw refused(error);
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      // A trap leaves the memory as it was in the middle of something.
      this.#component.forget();
      this.#component = undefined;
      throw lost(this, error);
    }
  }
}

/** The execution context of a graph, made once: it lives as long as the instance. */
function contextOf({ exports, contexts }, name) {
  if (!contexts.has(name)) contexts.set(name, exports.graph.loadByName(name).initExecutionContext());
  return contexts.get(name);
}

function read(output, { shape, bytes }) {
  const { datatype, labels } = output;
  return { data: fromCarrier(datatype, bytes), shape, datatype, ...(labels && { labels }) };
}

function refused(error) {
  const known = new ModelError(error.code(), error.data());
  error[dispose]?.();
  return known;
}

function lost(model, cause) {
  const why = cause ? `it stopped (${cause.message}): most likely its memory ran out` : "it stopped before";
  return new ModelError("runtime-error", `${model.name}: ${why}; load('${model.name}') begins anew`, { cause });
}

function find(models, name, version) {
  const versions = models.filter((model) => model.name === name);
  if (versions.length === 0) {
    const names = [...new Set(models.map((model) => model.name))].join(", ");
    throw new ModelError("not-found", `no model '${name}': there is ${names}`);
  }
  const found = version === undefined ? versions.at(-1) : versions.find((model) => model.version === String(version));
  if (found) return found;
  const known = versions.map((model) => model.version).join(", ");
  throw new ModelError("not-found", `model '${name}' has no version '${version}': it has ${known}`);
}
