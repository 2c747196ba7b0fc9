// node infer.js [MODEL]: a model's answer to its own example. Where the package is installed
// from npm, the import is "nnlet-models".
import { load, models } from "../../node.js";

const [name = models[0].name] = process.argv.slice(2);
try {
  const model = await load(name);
  for (const [output, { data, labels }] of Object.entries(model.infer(model.example))) {
    console.log(`${name}: ${output}`);
    data.forEach((value, index) => console.log(`${labels?.[index] ?? index}\t${value}`));
  }
} catch (error) {
  console.error(`Error: ${error.message}`);
  process.exitCode = 1;
}
