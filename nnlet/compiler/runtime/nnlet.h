// What a compiled model offers, and who calls it.
//
// The compiler emits one C file that defines `nn_models`; component.c (wasi:nn exports) and
// native.c (tests through ctypes) are its only callers. The memory allocator is arena.c.
#ifndef NNLET_H
#define NNLET_H

#include <stddef.h>
#include <stdint.h>

typedef int8_t i8;
typedef int16_t i16;
typedef int32_t i32;
typedef int64_t i64;
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef float f32;
typedef double f64;
typedef ptrdiff_t idx;  // a dimension, index or element count: 32 bits in Wasm

// wasi-nn's tensor-type, in its order.
enum { NN_FP16, NN_FP32, NN_FP64, NN_BF16, NN_U8, NN_I32, NN_I64 };

// wasi-nn's error-code, in its order. A run that succeeds returns NN_OK.
enum {
  NN_OK = -1,
  NN_INVALID_ARGUMENT,
  NN_INVALID_ENCODING,
  NN_TIMEOUT,
  NN_RUNTIME_ERROR,
  NN_UNSUPPORTED_OPERATION,
  NN_TOO_LARGE,
  NN_NOT_FOUND,
  NN_SECURITY,
  NN_UNKNOWN,
};

// One input or output as the caller sees it: `type` is the wasi-nn type in which it crosses
// (nnlet/tensor.py: carrier), dims hold -1 where the size is known only at run time.
typedef struct {
  const char *name;
  const i32 *dims;
  u8 type;
  u8 rank;
} nn_port;

// A tensor that crosses: row-major, little endian. For inputs everything belongs to the
// caller. For outputs the model sets all fields; data and dims come from nn_alloc and belong
// to the caller afterwards (nn_free).
typedef struct {
  void *data;
  u32 *dims;
  i64 bytes;
  u8 type;
  u8 rank;
} nn_tensor;

typedef struct {
  const char *name;     // "digits"
  const char *version;  // "1"
  const nn_port *inputs, *outputs;
  u32 input_count, output_count;
  // Inputs in the order of `inputs`, checked by the caller against them (type, rank, static
  // dims, bytes). Outputs arrive zeroed. Returns NN_OK or an error code with the words in
  // nn_error_text. The caller frees all scratch blocks afterwards, and after an error also
  // what was set in `out`.
  i32 (*run)(const nn_tensor *in, nn_tensor *out);
} nn_model;

extern const nn_model nn_models[];  // by name, then by version, ascending
extern const u32 nn_model_count;

// The weights of all models: one blob that the compiler lays out, 64-byte aligned. They never
// pass through the C compiler: component.py puts them into the memory image at a constant
// address, and native.py sets the pointer.
#ifdef __wasm__
#define NN_WEIGHTS ((const u8 *)NN_WEIGHTS_BASE)
#else
extern const u8 *nn_weights;
#define NN_WEIGHTS nn_weights
#endif

#define NN_ERROR_TEXT 512
extern char nn_error_text[NN_ERROR_TEXT];  // why the last run failed, UTF-8, ends with 0

// Sets nn_error_text from printf-like %s and %d (an i64) only; returns code.
i32 nn_fail(i32 code, const char *format, ...);

// Memory from one growing heap behind the data and weights; NULL when there is no more.
// Blocks are 16-byte aligned. Blocks from nn_scratch are freed together by nn_scratch_reset.
void *nn_alloc(i64 bytes);
void *nn_scratch(i64 bytes);
void nn_free(void *block);
void nn_scratch_reset(void);

#endif
