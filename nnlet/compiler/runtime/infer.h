// One inference, from tensors that nobody has checked: what component.c (wasi:nn) and native.c
// (tests) have in common.
#ifndef NNLET_INFER_H
#define NNLET_INFER_H

#include "nnlet.h"

// An input as it came. The name does not end with 0; data and dims may be anything while
// their count is 0. All of it belongs to the caller.
typedef struct {
  const char *name;
  void *data;
  u32 *dims;
  i64 bytes;
  u32 name_bytes;
  u32 rank;
  u32 type;
} nn_input;

// The model of a wasi:nn graph name: "digits@1", or "digits" for its highest version. NULL
// after nn_fail when there is none.
const nn_model *nn_find(const char *name, u32 bytes);

// Checks the inputs, which may come in any order, runs the model, and frees all scratch.
// `in` and `out` have room for the model's inputs and outputs. NN_OK: each of `out` holds
// memory for the caller to free; else the words are in nn_error_text and there is none.
i32 nn_infer(const nn_model *model, const nn_input *given, u32 count, nn_tensor *in,
             nn_tensor *out);

// Appends "digits@1, digits@2, iris@1" to nn_error_text.
void nn_fail_models(void);

// Appends to nn_error_text, as nn_fail sets it.
void nn_fail_more(const char *format, ...);

#endif
