// Where the WebAssembly lies. Bundlers find the files by these expressions, so they are written
// out. The flavours stand in the order of preference.

export const FLAVOURS = {
  relaxed: new URL("./models.relaxed.wasm", import.meta.url),
  simd128: new URL("./models.simd128.wasm", import.meta.url),
};

export const GLUE = {
  "glue.core2.wasm": new URL("./glue.core2.wasm", import.meta.url),
  "glue.core3.wasm": new URL("./glue.core3.wasm", import.meta.url),
};
