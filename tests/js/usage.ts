// Type-checked, not run, by test_types.py: every line marked so must be an error.
import { load, models, ModelError, type Models, type Tensor } from "./js/index.js";
import { openInferenceProtocol } from "./js/oip.js";

const digits: Models["digits"] = await load("digits");
const { probabilities } = digits.infer({ image: new Float32Array(64) });
const values: Float32Array = probabilities.data;
const shaped: Tensor<Float32Array, "FP32"> = digits.infer({
  image: { data: values, shape: [1, 1, 8, 8] },
}).probabilities;
digits.infer({ image: [[[[0, 1, 0.5]]]] });
digits.infer({ image: shaped });
const handle: (request: Request) => Promise<Response> = openInferenceProtocol({ load, models });
const code: "not-found" | string = new ModelError().code;
for (const { name, inputs } of models) console.log(name, inputs[0]?.shape, handle, code);
for (const { name, version } of models) console.log((await load(name, { version })).description);

// @ts-expect-error: no such model
await load("nope");
// @ts-expect-error: no such input
digits.infer({ pixels: new Float32Array(64) });
// @ts-expect-error: an input is missing
digits.infer({});
// @ts-expect-error: another datatype
digits.infer({ image: new Float64Array(64) });
// @ts-expect-error: text is no number
digits.infer({ image: ["1"] });
// @ts-expect-error: no such output
digits.infer({ image: new Float32Array(64) }).labels;
// @ts-expect-error: versions are text
await load("digits", { version: 1 });
