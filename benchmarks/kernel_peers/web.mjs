// onnxruntime-web's WebAssembly on one thread, in Node: node web.mjs FOLDER_OF_NODE_MODULES.
// The protocol stands in __init__.py.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const LEAST = 1; // millisecond: the clock is read around so many calls that this passes
const require = createRequire(join(resolve(process.argv[2]), "package.json"));
const ort = require("onnxruntime-web");
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";

let session;
let feeds;

const KINDS = { float32: Float32Array };

function readInputs(folder) {
  const listed = JSON.parse(readFileSync(join(folder, "inputs.json"), "utf8"));
  const entries = listed.map(({ name, type, dims, file }) => {
    const bytes = readFileSync(join(folder, file));
    const data = new KINDS[type](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    return [name, new ort.Tensor(type, data, dims)];
  });
  return Object.fromEntries(entries);
}

async function load({ folder }) {
  feeds = readInputs(folder);
  const start = performance.now();
  await session?.release();
  session = await ort.InferenceSession.create(readFileSync(join(folder, "model.onnx")), {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
  });
  return { seconds: (performance.now() - start) / 1000 };
}

async function answer() {
  const start = performance.now();
  const results = await session.run(feeds);
  const seconds = (performance.now() - start) / 1000;
  const outputs = session.outputNames.map((name) => {
    const { type, data } = results[name];
    return { type, data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64") };
  });
  return { seconds, outputs };
}

async function calls(times) {
  const start = performance.now();
  for (let i = 0; i < times; i++) await session.run(feeds);
  return performance.now() - start;
}

async function time({ seconds }) {
  const end = performance.now() + 1000 * seconds;
  let times = 1;
  while ((await calls(times)) < LEAST) times *= 2;
  const found = [];
  const before = process.cpuUsage();
  while (!found.length || performance.now() < end) found.push((await calls(times)) / times);
  const { user, system } = process.cpuUsage(before); // microseconds
  return {
    seconds: median(found) / 1000,
    least: Math.min(...found) / 1000,
    processor: (user + system) / 1e6 / (found.length * times),
  };
}

function median(values) {
  values.sort((a, b) => a - b);
  const middle = values.length >> 1;
  return values.length % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

function versions() {
  const { version } = JSON.parse(
    readFileSync(join(process.argv[2], "node_modules/onnxruntime-web/package.json"), "utf8"),
  );
  return { "onnxruntime-web": version, node: process.versions.node };
}

const actions = { load, answer, time, versions };
for await (const line of createInterface({ input: process.stdin })) {
  const { do: action, ...rest } = JSON.parse(line);
  const found = await Promise.resolve(rest)
    .then(actions[action])
    .catch((error) => ({ error: String(error) }));
  process.stdout.write(JSON.stringify(found) + "\n");
}
