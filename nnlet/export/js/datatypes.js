// The datatypes of nnlet/tensor.py in JavaScript: the typed array of each, and the one in which
// its values cross wasi:nn, which carries seven types only. kind: b bool, u unsigned, i signed,
// f floating point.

const CARRIERS = {
  U8: Uint8Array,
  I32: Int32Array,
  I64: BigInt64Array,
  FP16: Uint16Array, // bits: few hosts have Float16Array, and none has one for BF16
  BF16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
};

export const DATATYPES = {
  BOOL: { array: Uint8Array, carrier: "U8", kind: "b" },
  UINT8: { array: Uint8Array, carrier: "U8", kind: "u" },
  UINT16: { array: Uint16Array, carrier: "I32", kind: "u" },
  UINT32: { array: Uint32Array, carrier: "I64", kind: "u" },
  UINT64: { array: BigUint64Array, carrier: "I64", kind: "u" },
  INT8: { array: Int8Array, carrier: "I32", kind: "i" },
  INT16: { array: Int16Array, carrier: "I32", kind: "i" },
  INT32: { array: Int32Array, carrier: "I32", kind: "i" },
  INT64: { array: BigInt64Array, carrier: "I64", kind: "i" },
  FP16: { array: Uint16Array, carrier: "FP16", kind: "f", bits: true },
  BF16: { array: Uint16Array, carrier: "BF16", kind: "f", bits: true },
  FP32: { array: Float32Array, carrier: "FP32", kind: "f" },
  FP64: { array: Float64Array, carrier: "FP64", kind: "f" },
};

/** The bytes in which a typed array of `datatype` crosses. */
export function toCarrier(datatype, data) {
  const { array, carrier } = DATATYPES[datatype];
  const Carrier = CARRIERS[carrier];
  if (array === Carrier || datatype === "UINT64") return bytesOf(data); // UINT64: the same 64 bits
  return bytesOf(carrier === "I64" ? Carrier.from(data, BigInt) : Carrier.from(data));
}

/** The typed array of `datatype` that crossed as `bytes`, which begin their buffer. */
export function fromCarrier(datatype, bytes) {
  const { array, carrier } = DATATYPES[datatype];
  const Carrier = CARRIERS[carrier];
  if (array === Carrier || datatype === "UINT64") return new array(bytes.buffer);
  return array.from(new Carrier(bytes.buffer), Number);
}

function bytesOf(data) {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
