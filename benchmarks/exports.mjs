// node exports.mjs PACKAGE MODEL: what a start and a call cost in Node, as one line of JSON.
import { pathToFileURL } from "node:url";

const [folder, name] = process.argv.slice(2);
const start = performance.now();
const { load } = await import(pathToFileURL(`${folder}/node.js`));
const model = await load(name);
const first = model.infer(model.example);
const started = performance.now() - start;

const calls = 200;
const samples = [];
for (let round = 0; round < 31; round++) {
  const begin = performance.now();
  for (let call = 0; call < calls; call++) model.infer(model.example);
  samples.push((1000 * (performance.now() - begin)) / calls);
}
samples.sort((a, b) => a - b);
const outputs = Object.fromEntries(Object.entries(first).map(([key, { data }]) => [key, Array.from(data)]));
console.log(JSON.stringify({ start: started, call: samples[samples.length >> 1], outputs }));
