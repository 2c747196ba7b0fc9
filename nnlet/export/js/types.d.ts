// What is the same for all exported models; index.d.ts adds theirs.

/** A datatype of the Open Inference Protocol. */
export type Datatype =
  | "BOOL" | "UINT8" | "UINT16" | "UINT32" | "UINT64" | "INT8" | "INT16" | "INT32" | "INT64"
  | "FP16" | "BF16" | "FP32" | "FP64";

/** Values in row-major order; FP16 and BF16 are the bits of each. */
export type TensorData =
  | Uint8Array | Uint16Array | Uint32Array | BigUint64Array
  | Int8Array | Int16Array | Int32Array | BigInt64Array
  | Float32Array | Float64Array;

/** Numbers, flat or nested as the shape says. */
export type Numbers<Element> = readonly (Element | Numbers<Element>)[];

/**
 * An input: a typed array, or numbers. Its shape is told from the count where one size is
 * free; else it is given too. What one model gives, another takes.
 */
export type Input<Data extends TensorData, Element = never> =
  | Data
  | Numbers<Element>
  | { readonly data: Data | Numbers<Element>; readonly shape?: readonly number[] };

/** An output. `labels` has one word for each class, where the model has labels. */
export interface Tensor<Data extends TensorData, Type extends Datatype> {
  readonly data: Data;
  readonly shape: readonly number[];
  readonly datatype: Type;
  readonly labels?: readonly string[];
}

/** What a model takes or gives; -1 in the shape is a size that varies. */
export interface TensorInfo {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly labels?: readonly string[];
}

/** One version of one model. */
export interface ModelInfo {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  /** sha256 of the ONNX file. */
  readonly digest: string;
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /** Values for each input, nested as its shape says; empty if model.toml has none. */
  readonly example: { readonly [input: string]: unknown };
}

/** A loaded model. */
export interface Model<Inputs, Outputs> extends ModelInfo {
  /** The outputs by name, at once. Throws ModelError, which says what is wrong with the inputs. */
  infer(inputs: Inputs): Outputs;
}

/** `version`: the newest unless given. */
export interface LoadOptions {
  readonly version?: string;
}

/** wasi:nn's error codes. */
export type ErrorCode =
  | "invalid-argument" | "invalid-encoding" | "timeout" | "runtime-error"
  | "unsupported-operation" | "too-large" | "not-found" | "security" | "unknown";

/** Every error that this package throws on purpose; its message is for people. */
export declare class ModelError extends Error {
  readonly code: ErrorCode;
}
