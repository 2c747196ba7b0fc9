// Which of the exported flavours runs here: the engine itself is asked, with a module of one
// instruction each. https://github.com/WebAssembly/relaxed-simd

import { ModelError } from "./error.js";

// () -> v128: two splats and i8x16.relaxed_swizzle; one splat.
const PROBES = {
  relaxed: [0x41, 1, 0xfd, 0x0f, 0x41, 2, 0xfd, 0x0f, 0xfd, 0x80, 0x02],
  simd128: [0x41, 0, 0xfd, 0x0f],
};

const NEEDS = {
  relaxed: "Chromium 114 or Node 21, or an export with --flavour simd128",
  simd128: "Chromium 91, Firefox 89, Safari 16.4 or Node 16.4",
};

/** The first of `flavours` that this engine knows. Throws ModelError where it knows none. */
export function pickFlavour(flavours) {
  const found = flavours.find((flavour) => WebAssembly.validate(probe(PROBES[flavour])));
  if (found) return found;
  const least = flavours.at(-1);
  throw new ModelError(
    "unsupported-operation",
    `this engine does not know the SIMD of these models (${flavours.join(", ")}): ` +
      `it takes ${NEEDS[least]}, or newer`,
  );
}

function probe(instructions) {
  const body = [0, ...instructions, 0x0b];
  const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0];
  return Uint8Array.from([...header, 10, body.length + 2, 1, body.length, ...body]);
}
