// The Open Inference Protocol over REST, for whatever hands out a Request and takes a Response:
// JSON and binary tensors, metadata, health. As the function answers (nnlet/guest), in short.
// https://github.com/kserve/open-inference-protocol

import { DATATYPES } from "./datatypes.js";
import { ModelError } from "./error.js";

const MAX_BODY = 10 * 1024 * 1024;
const HEADER_LENGTH = "inference-header-content-length";
const PLATFORM = "onnx_onnxv1";

// What a model refuses, by its code; 500 for the codes not listed.
const STATUS = {
  "invalid-argument": 400,
  "not-found": 404,
  "too-large": 413,
  "unsupported-operation": 501,
};

// The paths, and who answers: first match. A version is optional where a model is named.
const MODEL = "/v2/models/(?<name>[^/]+)(?:/versions/(?<version>[^/]+))?";
const ROUTES = [
  ["GET", "/v2/health/live", () => ({ live: true })],
  ["GET", "/v2/health/ready", ready],
  ["GET", "/v2/?", (served) => served.about],
  ["GET", "/v2/models", ({ models }) => ({ models: names(models) })],
  ["GET", MODEL, metadata],
  ["GET", `${MODEL}/ready`, modelReady],
  ["POST", `${MODEL}/infer`, infer],
].map(([method, path, answer]) => ({ method, path: new RegExp(`^${path}$`), answer }));

/** A request refused: answered with `status` and `{"error": message}`. */
class Refusal extends Error {
  constructor(status, message, headers = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** A function from Request to Response that serves `models` with `load`, both of this package. */
export function openInferenceProtocol({ load, models, name = "nnlet", maxBody = MAX_BODY }) {
  const about = { name, version: "2", extensions: ["binary_tensor_data"] };
  const served = { load, models, about, maxBody };
  return async (request) => {
    try {
      return await answer(served, request);
    } catch (error) {
      return refuse(error);
    }
  };
}

async function answer(served, request) {
  const { pathname } = new URL(request.url);
  const matches = ROUTES.filter(({ path }) => path.test(pathname));
  if (matches.length === 0) throw new Refusal(404, `no such path: ${pathname}`);
  const method = request.method === "HEAD" ? "GET" : request.method;
  const route = matches.find((match) => match.method === method);
  if (!route) {
    const allow = matches.map((match) => match.method).join(", ");
    throw new Refusal(405, `method ${method} is not allowed for ${pathname}: use ${allow}`, { allow });
  }
  const { name, version } = route.path.exec(pathname).groups ?? {};
  const asked = { name: unescaped(name), version: unescaped(version), request };
  const found = await route.answer(served, asked);
  return found instanceof Response ? found : json(found);
}

function refuse(error) {
  const status = error instanceof ModelError ? (STATUS[error.code] ?? 500) : (error.status ?? 500);
  const message = status === 500 ? `internal error: ${error.message}` : error.message;
  return json({ error: message }, status, error.headers);
}

function json(value, status = 200, headers = {}) {
  return new Response(JSON.stringify(value), {
    status,
    headers: { "content-type": "application/json", ...headers },
  });
}

function unescaped(part) {
  try {
    return part && decodeURIComponent(part);
  } catch {
    return part; // no valid escape: it stays as it is, and no model is called so
  }
}

// Models

function names(models) {
  return [...new Set(models.map((model) => model.name))];
}

async function ready({ load, models }) {
  for (const { name, version } of models) await load(name, { version });
  return { ready: true, live: true };
}

async function modelReady({ load }, { name, version }) {
  await load(name, { version });
  return { name, ready: true };
}

async function metadata({ load, models }, { name, version }) {
  const model = await load(name, { version });
  const tensor = (info) => ({ name: info.name, datatype: info.datatype, shape: info.shape });
  return {
    name,
    versions: models.filter((other) => other.name === name).map((other) => other.version),
    platform: PLATFORM,
    inputs: model.inputs.map(tensor),
    outputs: model.outputs.map(tensor),
    properties: { description: model.description, sha256: model.digest },
  };
}

async function infer({ load, maxBody }, { name, version, request }) {
  const model = await load(name, { version });
  const body = await readBody(request, maxBody);
  const length = headerLength(request.headers.get(HEADER_LENGTH), body.length);
  const document = parse(body.subarray(0, length));
  const inputs = readInputs(model, document, body.subarray(length));
  const wanted = readOutputs(model, document);
  return writeResponse(model, document.id, wanted, model.infer(inputs));
}

// Requests

async function readBody(request, limit) {
  const tooLarge = () => new Refusal(413, `the body has more bytes than the limit here, ${limit}`);
  if (Number(request.headers.get("content-length")) > limit) throw tooLarge();
  const body = new Uint8Array(await request.arrayBuffer());
  if (body.length > limit) throw tooLarge();
  return body;
}

function headerLength(announced, size) {
  if (announced === null) return size;
  const length = /^\d+$/.test(announced) ? Number(announced) : NaN;
  if (length > 0 && length <= size) return length;
  throw new Refusal(
    400,
    `Inference-Header-Content-Length is '${announced}': expected a number from 1 to ${size}, ` +
      "the length of the body",
  );
}

function parse(bytes) {
  let document;
  try {
    document = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new Refusal(400, `malformed JSON: ${error.message}`);
  }
  if (!isObject(document)) throw new Refusal(400, "the request is no JSON object: expected one");
  if (document.id !== undefined && typeof document.id !== "string") {
    throw new Refusal(400, "id is no string: expected one");
  }
  return document;
}

function readInputs(model, document, blobs) {
  if (!Array.isArray(document.inputs)) throw new Refusal(400, "inputs is no list: expected tensors");
  const inputs = {};
  let position = 0;
  for (const item of document.inputs) {
    const info = named(item, "input", model.inputs, Object.keys(inputs));
    if (item.datatype !== info.datatype) {
      const found = JSON.stringify(item.datatype) ?? "absent";
      throw new Refusal(400, `input '${info.name}': datatype is ${found}: the model takes ${info.datatype}`);
    }
    if (!Array.isArray(item.shape)) throw new Refusal(400, `input '${info.name}': shape is no list`);
    const size = item.parameters?.binary_data_size;
    if ((size === undefined) === (item.data === undefined)) {
      throw new Refusal(400, `input '${info.name}': expected either data or binary_data_size`);
    }
    const data = size === undefined ? fromJson(info, item.data) : unpack(info, blobs, position, size);
    position += size ?? 0;
    inputs[info.name] = { data, shape: item.shape };
  }
  if (position === blobs.length) return inputs;
  throw new Refusal(400, `unexpected data: ${blobs.length - position} bytes after the last binary input`);
}

/** The input or output of the model that `item` names, once. */
function named(item, what, known, seen) {
  const info = known.find(({ name }) => name === item?.name);
  if (info === undefined) {
    const given = JSON.stringify(item?.name) ?? "without a name";
    const has = known.map(({ name }) => `'${name}'`).join(", ");
    throw new Refusal(400, `unknown ${what} ${given}: the model has ${has}`);
  }
  if (seen.includes(info.name)) {
    throw new Refusal(400, `${what} '${info.name}' is given more than once`);
  }
  return info;
}

function fromJson(info, data) {
  if (!Array.isArray(data)) throw new Refusal(400, `input '${info.name}': data is no list`);
  if (DATATYPES[info.datatype].bits) {
    throw new Refusal(400, `input '${info.name}': ${info.datatype} has no JSON form: send it as binary data`);
  }
  const values = data.flat(Infinity);
  const index = values.findIndex((value) => typeof value === "number" && isRounded(info, value));
  if (index < 0) return values;
  throw new Refusal(
    400,
    `input '${info.name}': element ${index} is a whole number that JavaScript's JSON rounds: ` +
      "send it as binary data",
  );
}

function isRounded({ datatype }, value) {
  return datatype.endsWith("INT64") && Number.isInteger(value) && !Number.isSafeInteger(value);
}

function unpack(info, blobs, position, size) {
  const left = blobs.length - position;
  const { array } = DATATYPES[info.datatype];
  if (!Number.isInteger(size) || size < 0 || size > left || size % array.BYTES_PER_ELEMENT) {
    throw new Refusal(
      400,
      `input '${info.name}': binary_data_size is ${JSON.stringify(size)}: expected a multiple of ` +
        `${array.BYTES_PER_ELEMENT}, up to the ${left} bytes that are left`,
    );
  }
  return new array(blobs.slice(position, position + size).buffer); // a copy, which is aligned
}

/** The outputs asked for, each with whether it is to be binary. */
function readOutputs(model, document) {
  const binary = flag(document.parameters?.binary_data_output, "binary_data_output", false);
  const items = document.outputs ?? [];
  if (!Array.isArray(items)) throw new Refusal(400, "outputs is no list: expected one");
  if (items.length === 0) return model.outputs.map((info) => ({ info, binary }));
  const seen = [];
  return items.map((item) => {
    const info = named(item, "output", model.outputs, seen);
    seen.push(info.name);
    if (item.parameters?.classification !== undefined) {
      throw new Refusal(400, `output '${info.name}': classification is not offered here`);
    }
    return { info, binary: flag(item.parameters?.binary_data, "binary_data", binary) };
  });
}

function flag(value, key, otherwise) {
  if (value === undefined) return otherwise;
  if (typeof value === "boolean") return value;
  throw new Refusal(400, `${key} is ${JSON.stringify(value)}: expected true or false`);
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// Answers

function writeResponse(model, id, wanted, found) {
  const blobs = [];
  const outputs = wanted.map(({ info, binary }) => {
    const { data, shape } = found[info.name];
    const head = `"name":${JSON.stringify(info.name)},"datatype":"${info.datatype}","shape":[${shape}]`;
    if (!binary) return `{${head},"data":${toJson(info, data)}}`;
    blobs.push(data);
    return `{${head},"parameters":{"binary_data_size":${data.byteLength}}}`;
  });
  const names = `"model_name":${JSON.stringify(model.name)},"model_version":"${model.version}"`;
  const text = `{${names},${id === undefined ? "" : `"id":${JSON.stringify(id)},`}"outputs":[${outputs}]}`;
  if (blobs.length === 0) return new Response(text, { headers: { "content-type": "application/json" } });
  const header = new TextEncoder().encode(text);
  return new Response(new Blob([header, ...blobs]), {
    headers: { "content-type": "application/octet-stream", [HEADER_LENGTH]: String(header.length) },
  });
}

/** The text of a flat array. Nine digits are exact for FP32, and half as long as a double. */
function toJson(info, data) {
  const { kind, bits } = DATATYPES[info.datatype];
  const index = bits ? 0 : kind === "f" ? data.findIndex((value) => !Number.isFinite(value)) : -1;
  if (index >= 0 && data.length > 0) {
    const found = bits ? info.datatype : `${data[index]} at element ${index}`;
    throw new Refusal(
      400,
      `output '${info.name}' is ${found}, which has no JSON form: ask for it with binary_data: true`,
    );
  }
  if (kind === "b") return `[${Array.from(data, Boolean)}]`;
  return `[${info.datatype === "FP32" ? Array.from(data, (value) => Number(value.toPrecision(9))) : data}]`;
}
