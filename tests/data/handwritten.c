// Models as the compiler would emit them, but written by hand: what the runtime, the
// component around it and its callers are tested with. handwritten.py has their weights.
#include <string.h>

#include "nnlet.h"

static i32 no_memory(void) { return nn_fail(NN_TOO_LARGE, "out of memory"); }

// An output of these dims, with room for `bytes`; 0 when there is no memory.
static int make(nn_tensor *out, u8 type, u8 rank, const u32 *dims, i64 bytes) {
  *out = (nn_tensor){nn_alloc(bytes), nn_alloc(rank * 4), bytes, type, rank};
  if (!out->data || !out->dims) return 0;
  if (rank) memcpy(out->dims, dims, rank * 4);
  return 1;
}

// line: y = a*x + b, elementwise, x of shape [batch, 2]; a and b are weights.
static i32 line(const nn_tensor *in, nn_tensor *out, idx offset) {
  const f32 *w = (const f32 *)(NN_WEIGHTS + offset);
  if (!make(out, NN_FP32, 2, in->dims, in->bytes)) return no_memory();
  const f32 *x = in->data;
  f32 *y = out->data;
  for (idx i = 0; i < (idx)(in->bytes / 4); i++) y[i] = w[0] * x[i] + w[1];
  return NN_OK;
}

static i32 line_1(const nn_tensor *in, nn_tensor *out) { return line(in, out, 0); }
static i32 line_2(const nn_tensor *in, nn_tensor *out) { return line(in, out, 64); }
static i32 line_10(const nn_tensor *in, nn_tensor *out) { return line(in, out, 128); }

// greedy: takes n bytes of scratch, and gives n back.
static i32 greedy(const nn_tensor *in, nn_tensor *out) {
  i64 n;
  memcpy(&n, in->data, 8);
  if (!make(out, NN_I64, 0, NULL, 8)) return no_memory();
  memcpy(out->data, &n, 8);
  return nn_scratch(n) ? NN_OK : no_memory();
}

// join: two outputs, left and right once more, of two inputs whose rows must be as many.
static i32 join(const nn_tensor *in, nn_tensor *out) {
  if (in[0].dims[0] != in[1].dims[0]) {
    return nn_fail(NN_INVALID_ARGUMENT, "rows differ: %d and %d", (i64)in[0].dims[0],
                   (i64)in[1].dims[0]);
  }
  for (int i = 0; i < 2; i++) {
    if (!make(&out[i], in[i].type, in[i].rank, in[i].dims, in[i].bytes)) return no_memory();
    memcpy(out[i].data, in[i].data, (size_t)in[i].bytes);
  }
  return NN_OK;
}

// wordy: fails with more words than an error has room for, of two bytes a letter, after an
// odd number of letters of one byte.
static i32 wordy(const nn_tensor *in, nn_tensor *out) {
  static char words[1001];
  (void)in, (void)out;
  for (int i = 0; i < 1000; i++) words[i] = i % 2 ? (char)0xA9 : (char)0xC3;  // é
  return nn_fail(NN_RUNTIME_ERROR, "%s%d%% %s", "a", (i64)-7, words);
}

static const i32 batch_of_2[] = {-1, 2}, rows[] = {-1}, rows_of_3[] = {-1, 3}, none[1];
static const nn_port x[] = {{"x", batch_of_2, NN_FP32, 2}};
static const nn_port y[] = {{"y", batch_of_2, NN_FP32, 2}};
static const nn_port n[] = {{"n", none, NN_I64, 0}};
static const nn_port sides[] = {{"left", rows, NN_U8, 1}, {"right", rows_of_3, NN_FP64, 2}};

const nn_model nn_models[] = {
    {"greedy", "1", n, n, 1, 1, greedy},
    {"join", "1", sides, sides, 2, 2, join},
    {"line", "1", x, y, 1, 1, line_1},
    {"line", "2", x, y, 1, 1, line_2},
    {"line", "10", x, y, 1, 1, line_10},
    {"wordy", "1", n, n, 0, 1, wordy},
};
const u32 nn_model_count = sizeof nn_models / sizeof *nn_models;
