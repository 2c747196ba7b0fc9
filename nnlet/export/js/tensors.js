// What a caller gives -> checked tensors. Everything is checked before it crosses to the model,
// and what is wrong is said in words: what was found, where, and what was expected.

import { DATATYPES } from "./datatypes.js";
import { ModelError } from "./error.js";

const MAX_DIMENSION = 2 ** 31 - 1;

/** Name, datatype, shape and data of every input of `model`, in its order. Throws ModelError. */
export function checkInputs(model, given) {
  if (given === null || typeof given !== "object") {
    throw wrong(`inputs of ${model.name}: found ${describe(given)}: expected an object by input name`);
  }
  const known = model.inputs.map((input) => input.name);
  const unknown = Object.keys(given).filter((name) => !known.includes(name));
  if (unknown.length) {
    throw wrong(`unknown input ${quoted(unknown)}: ${model.name} takes ${quoted(known)}`);
  }
  const missing = known.filter((name) => given[name] === undefined);
  if (missing.length) {
    throw wrong(`missing input ${quoted(missing)}: ${model.name} takes ${quoted(known)}`);
  }
  return model.inputs.map((input) => checkInput(input, given[input.name]));
}

/** One input: values alone, or `{ data, shape }`. */
function checkInput(input, given) {
  const whole = given !== null && typeof given === "object" && "data" in given;
  const values = whole ? given.data : given;
  const data = checkData(input, values);
  const stated = (whole ? given.shape : undefined) ?? nesting(values);
  const shape = stated ? checkShape(input, stated, data.length) : findShape(input, data.length);
  return { name: input.name, datatype: input.datatype, shape, data };
}

function checkData(input, values) {
  const { array, kind, bits } = DATATYPES[input.datatype];
  if (values instanceof array) return kind === "b" ? checkBooleans(input, values) : values;
  if (input.datatype === "FP16" && isFloat16(values)) {
    return new Uint16Array(values.buffer, values.byteOffset, values.length);
  }
  if (Array.isArray(values) && !bits) return toTyped(input, values.flat(Infinity));
  const what = bits ? `a ${array.name} of bits` : `a ${array.name} or numbers`;
  throw wrong(`input '${input.name}': found ${describe(values)}: expected ${what} (${takes(input)})`);
}

function isFloat16(values) {
  return globalThis.Float16Array !== undefined && values instanceof globalThis.Float16Array;
}

function checkBooleans(input, data) {
  const index = data.findIndex((value) => value > 1);
  if (index < 0) return data;
  throw wrong(`input '${input.name}': element ${index} is ${data[index]}: BOOL expects 0 or 1`);
}

/** Numbers as a typed array, where it holds each of them exactly, or rounded for floats. */
function toTyped(input, values) {
  const { array, kind } = DATATYPES[input.datatype];
  const data = new array(values.length);
  const element = data instanceof BigInt64Array || data instanceof BigUint64Array ? BigInt : Number;
  values.forEach((value, index) => {
    const where = `input '${input.name}': element ${index} is ${describe(value)}`;
    if (!EXPECTED[kind].holds(value)) {
      throw wrong(`${where}: ${input.datatype} expects ${EXPECTED[kind].words}`);
    }
    data[index] = element(value);
    const lost = kind === "f" ? isFinite(value) !== isFinite(data[index]) : data[index] != value;
    if (lost) throw wrong(`${where}: out of range for ${input.datatype}`);
  });
  return data;
}

const isWhole = (value) => typeof value === "bigint" || Number.isInteger(value);
const EXPECTED = {
  b: { words: "true or false", holds: (value) => typeof value === "boolean" || value === 0 || value === 1 },
  u: { words: "a whole number of at least 0", holds: isWhole },
  i: { words: "a whole number", holds: isWhole },
  f: { words: "a number", holds: (value) => typeof value === "number" },
};

// Shapes

/** The shape of nested arrays; undefined for a flat one. Uneven ones fail at their count. */
function nesting(values) {
  if (!Array.isArray(values) || !Array.isArray(values[0])) return undefined;
  const shape = [];
  for (let item = values; Array.isArray(item); item = item[0]) shape.push(item.length);
  return shape;
}

function checkShape(input, shape, found) {
  const where = `input '${input.name}': shape is ${describe(shape)}`;
  const sizes = Array.isArray(shape) || ArrayBuffer.isView(shape) ? Array.from(shape, Number) : null;
  if (sizes?.length !== input.shape.length) {
    throw wrong(`${where}: expected ${input.shape.length} sizes (${takes(input)})`);
  }
  sizes.forEach((size, axis) => {
    const least = axis === 0 ? 1 : 0; // an empty batch has no answer; other axes may be empty
    if (!Number.isInteger(size) || size < least || size > MAX_DIMENSION) {
      throw wrong(`${where}: expected a whole number from ${least} at axis ${axis} (${takes(input)})`);
    }
    if (input.shape[axis] !== -1 && input.shape[axis] !== size) {
      throw wrong(`${where}: expected ${input.shape[axis]} at axis ${axis} (${takes(input)})`);
    }
  });
  const expected = product(sizes);
  if (found !== expected) {
    throw wrong(`input '${input.name}': found ${found} values: shape ${describe(sizes)} has ${expected}`);
  }
  return sizes;
}

/** The shape that `found` values fill. One size may be free; of two, the first is 1. */
function findShape(input, found) {
  const shape = [...input.shape];
  const free = (sizes) => sizes.filter((size) => size === -1).length;
  if (free(shape) === 2 && shape[0] === -1) shape[0] = 1;
  if (free(shape) > 1) {
    throw wrong(
      `input '${input.name}': its shape cannot be told from ${found} values: give { data, shape } ` +
        `(${takes(input)})`,
    );
  }
  const known = product(shape.filter((size) => size !== -1));
  const fits = free(shape) ? known > 0 && found > 0 && found % known === 0 : found === known;
  if (!fits) {
    const expected = free(shape) ? `${known}, or a multiple of it` : known;
    throw wrong(`input '${input.name}': found ${found} values: expected ${expected} (${takes(input)})`);
  }
  return shape.map((size) => (size === -1 ? found / known : size));
}

// Words

function takes(input) {
  return `it takes ${input.datatype} [${input.shape.map((size) => (size === -1 ? "?" : size)).join(", ")}]`;
}

function product(sizes) {
  return sizes.reduce((all, size) => all * size, 1);
}

function quoted(names) {
  return names.map((name) => `'${name}'`).join(", ");
}

/** A value in words, short enough for a message. */
function describe(value) {
  if (ArrayBuffer.isView(value)) return `a ${value.constructor.name}`;
  if (Array.isArray(value)) {
    const text = `[${value.map(String).join(", ")}]`;
    return text.length <= 60 ? text : "a list";
  }
  if (typeof value === "string") return `the text '${value.slice(0, 40)}'`;
  if (typeof value === "object" && value !== null) return "an object";
  return typeof value === "function" ? "a function" : String(value);
}

function wrong(message) {
  return new ModelError("invalid-argument", message);
}
