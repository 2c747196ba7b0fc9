// Recurrent networks: one direction of RNN, GRU or LSTM over time. The input's part of every
// step is a matrix product made before; a step adds the state's part and applies the gates.

#ifndef NN_RECURRENT
#define NN_RECURRENT

#include "gemm.h"

// Activation functions; alpha and beta are what ONNX calls so.
enum {
  RNN_AFFINE,
  RNN_ELU,
  RNN_HARDSIGMOID,
  RNN_LEAKYRELU,
  RNN_RELU,
  RNN_SCALEDTANH,
  RNN_SIGMOID,
  RNN_SOFTPLUS,
  RNN_SOFTSIGN,
  RNN_TANH,
  RNN_THRESHOLDEDRELU,
};

typedef struct {
  i32 kind;
  f32 alpha, beta;
} rnn_function;

// What a direction does: `lengths` of each sequence, or NULL where all have `steps`; strides, in
// elements, of the projected input and of the output along time and batch.
typedef struct {
  idx steps, batch, hidden;
  const i32 *lengths;
  bool reverse, linear_before_reset, input_forget;
  f32 clip;  // 0 for none
  idx x_time, x_batch, y_time, y_batch;
  rnn_function functions[3];
} rnn_direction;

// How weights of the state lie. In panels of 8 columns, the last one filled up with zeros: any
// type, any batch. For f32, constant weights and few sequences in blocks of 4 rows and 8 columns,
// rows of blocks one after the other, both filled up with zeros. For f32, constant weights and
// more sequences packed as gemm.h has it.
enum { RNN_PANELS, RNN_BLOCKS, RNN_PACKED };
enum { RNN_PANEL = 8, RNN_DEPTH = 4 };
static inline idx rnn_padded(idx n) { return (n + RNN_PANEL - 1) / RNN_PANEL * RNN_PANEL; }

// y[n] = bias[n] + x[k] w[k, n] for w in blocks. Each round brings four rows of w to eight sums that
// wait in memory: nothing is carried from round to round, so nothing is copied between registers.
static void rnn_product_blocks(f32 *restrict y, const f32 *restrict x, const f32 *restrict w,
                               const f32 *restrict bias, idx n, idx k) {
  const f32 *from = bias;
  for (idx l = 0; l < k; l += RNN_DEPTH, from = y) {
    const f32x4 x0 = SPLAT(f32)(x[l]);
    const f32x4 x1 = SPLAT(f32)(l + 1 < k ? x[l + 1] : 0);
    const f32x4 x2 = SPLAT(f32)(l + 2 < k ? x[l + 2] : 0);
    const f32x4 x3 = SPLAT(f32)(l + 3 < k ? x[l + 3] : 0);
    for (idx j = 0; j < n; j += RNN_PANEL, w += RNN_DEPTH * RNN_PANEL) {
      NN_OPAQUE(w);
      f32x4 low = MADD(f32)(gemm_load(w), x0, gemm_load(from + j));
      f32x4 high = MADD(f32)(gemm_load(w + 4), x0, gemm_load(from + j + 4));
      low = MADD(f32)(gemm_load(w + 8), x1, low);
      high = MADD(f32)(gemm_load(w + 12), x1, high);
      low = MADD(f32)(gemm_load(w + 16), x2, low);
      high = MADD(f32)(gemm_load(w + 20), x2, high);
      gemm_store(y + j, MADD(f32)(gemm_load(w + 24), x3, low));
      gemm_store(y + j + 4, MADD(f32)(gemm_load(w + 28), x3, high));
    }
  }
}

// w[n, k] in blocks, packed into `room` if that is the layout that a run needs.
static inline const f32 *rnn_repack(i32 layout, f32 *restrict room, const f32 *restrict w, idx n,
                                    idx k) {
  if (layout != RNN_PACKED) return w;
  f32 *to = room;
  for (idx j = 0; j < n; j += GEMM_STRIP) {
    for (idx l = 0; l < k; l++) {
      for (idx i = j; i < j + GEMM_STRIP && i < n; i += RNN_PANEL, to += RNN_PANEL) {
        const idx block = l / RNN_DEPTH * (n / RNN_PANEL) + i / RNN_PANEL;
        memcpy(to, w + (block * RNN_DEPTH + l % RNN_DEPTH) * RNN_PANEL, RNN_PANEL * sizeof *to);
      }
    }
  }
  return room;
}

// The time that a sequence is at in a step, or -1 behind its end
static inline idx rnn_time(const rnn_direction *d, idx step, idx b) {
  const idx length = d->lengths ? d->lengths[b] : d->steps;
  return step >= length ? -1 : d->reverse ? length - 1 - step : step;
}

#endif

// y[rows, n] = bias[n] + x[rows, k] w[k, n], w in panels and n a whole number of them
static void NAME(rnn_product_panels)(T *restrict y, idx y_step, const T *restrict x, idx x_step,
                                     const T *restrict w, const T *restrict bias, idx rows, idx n,
                                     idx k) {
  enum { LANES = 16 / sizeof(T), VECTORS = RNN_PANEL / LANES };
  for (idx start = 0; start < n; start += RNN_PANEL, w += k * RNN_PANEL) {
    for (idx r = 0; r < rows; r++) {
      VEC(T) sums[VECTORS];
      memcpy(sums, bias + start, sizeof sums);
      for (idx l = 0; l < k; l++) {
        const VEC(T) *row = (const VEC(T) *)(w + l * RNN_PANEL);
        const VEC(T) each = SPLAT(T)(x[r * x_step + l]);
        for (idx v = 0; v < VECTORS; v++) sums[v] = MADD(T)(row[v], each, sums[v]);
      }
      memcpy(y + r * y_step + start, sums, sizeof sums);
    }
  }
}

// The same for w that lies as `layout` says; `room` is for x, packed.
static inline void NAME(rnn_product)(i32 layout, T *y, idx y_step, const T *x, idx x_step,
                                     const T *w, const T *bias, T *room, idx rows, idx n, idx k) {
  if (layout == RNN_BLOCKS) {
    for (idx r = 0; r < rows; r++) {
      rnn_product_blocks((f32 *)(y + r * y_step), (const f32 *)(x + r * x_step), (const f32 *)w,
                         (const f32 *)bias, n, k);
    }
  } else if (layout == RNN_PACKED) {
    gemm_epilogue e = GEMM_PLAIN;
    e.column = (const f32 *)bias;
    gemm_pack_a((f32 *)room, (const f32 *)x, x_step, 1, rows, k);
    gemm_strips((f32 *)y, y_step, (const f32 *)room, (const f32 *)w, rows, n, k, e);
  } else {
    NAME(rnn_product_panels)(y, y_step, x, x_step, w, bias, rows, n, k);
  }
}

// panels of w[n, k], for weights that only the run knows
static void NAME(rnn_pack)(T *restrict panels, const T *restrict w, idx n, idx k) {
  for (idx start = 0; start < n; start += RNN_PANEL) {
    for (idx l = 0; l < k; l++) {
      for (idx j = start; j < start + RNN_PANEL; j++) *panels++ = j < n ? w[j * k + l] : 0;
    }
  }
}

// y[n] = a + b, either of which may be NULL, then zeros up to y[padded]
static void NAME(rnn_bias)(T *restrict y, const T *restrict a, const T *restrict b, idx n,
                           idx padded) {
  for (idx i = 0; i < padded; i++) y[i] = i < n ? (a ? a[i] : 0) + (b ? b[i] : 0) : 0;
}

// rows of n elements, y_step and x_step apart; zeros where x is NULL
static void NAME(rnn_rows)(T *restrict y, const T *restrict x, idx y_step, idx x_step, idx rows,
                           idx n) {
  for (idx r = 0; r < rows; r++) {
    for (idx i = 0; i < n; i++) y[r * y_step + i] = x ? x[r * x_step + i] : 0;
  }
}

// x[n] = f(x)
static void NAME(rnn_apply)(T *x, idx n, rnn_function f) {
  const T a = f.alpha, b = f.beta;
#define APPLY(y) \
  for (idx i = 0; i < n; i++) x[i] = (y)
  switch (f.kind) {
    case RNN_AFFINE: APPLY(a * x[i] + b); break;
    case RNN_ELU: APPLY(x[i] > 0 ? x[i] : a * EXPM1(T)(x[i])); break;
    case RNN_HARDSIGMOID: APPLY(a * x[i] + b < 0 ? 0 : a * x[i] + b > 1 ? 1 : a * x[i] + b); break;
    case RNN_LEAKYRELU: APPLY(x[i] > 0 ? x[i] : a * x[i]); break;
    case RNN_RELU: APPLY(x[i] > 0 ? x[i] : 0); break;
    case RNN_SCALEDTANH: APPLY(a * TANH(T)(b * x[i])); break;
    case RNN_SIGMOID: APPLY(SIGMOID(T)(x[i])); break;
    case RNN_SOFTPLUS: APPLY(SOFTPLUS(T)(x[i])); break;
    case RNN_SOFTSIGN: APPLY(x[i] / (1 + ABS(T)(x[i]))); break;
    case RNN_TANH: APPLY(TANH(T)(x[i])); break;
    case RNN_THRESHOLDEDRELU: APPLY(x[i] > a ? x[i] : 0); break;
  }
#undef APPLY
}

// x[n] = f(x between -clip and clip)
static void NAME(rnn_activate)(T *x, idx n, f32 clip, rnn_function f) {
  const T bound = clip;
  for (idx i = 0; clip > 0 && i < n; i++) {
    x[i] = x[i] < -bound ? -bound : x[i] > bound ? bound : x[i];
  }
  NAME(rnn_apply)(x, n, f);
}

// y[.., n], where it is wanted, gets h[n] for its time; zeros behind a sequence's end
static void NAME(rnn_emit)(T *restrict y, const T *restrict h, const rnn_direction *d, idx step,
                           idx time, idx b) {
  if (!y) return;
  T *to = y + (time < 0 ? step : time) * d->y_time + b * d->y_batch;
  for (idx i = 0; i < d->hidden; i++) to[i] = time < 0 ? 0 : h[i];
}

// In the following, h and c [batch, hidden] are the states, x the input's part of all gates,
// w and bias the state's part in that layout, `gates` is room for both and `room` for h, packed.

static void NAME(rnn)(i32 layout, T *restrict y, T *restrict h, T *restrict gates, T *restrict room, const T *restrict x,
                      const T *restrict w, const T *restrict bias, const rnn_direction *d) {
  const idx n = d->hidden, row = rnn_padded(n);
  for (idx step = 0; step < d->steps; step++) {
    NAME(rnn_product)(layout, gates, row, h, n, w, bias, room, d->batch, row, n);
    for (idx b = 0; b < d->batch; b++) {
      const idx time = rnn_time(d, step, b);
      if (time >= 0) {
        T *s = gates + b * row;
        const T *from = x + time * d->x_time + b * d->x_batch;
        for (idx i = 0; i < n; i++) s[i] += from[i];
        NAME(rnn_activate)(s, n, d->clip, d->functions[0]);
        memcpy(h + b * n, s, n * sizeof(T));
      }
      NAME(rnn_emit)(y, h + b * n, d, step, time, b);
    }
  }
}

// The candidate has weights (and a bias) of its own, except that linear_before_reset has its
// state's part among the other gates' and keeps the input's bias here.
static void NAME(gru)(i32 layout, T *restrict y, T *restrict h, T *restrict gates, T *restrict room,
                      const T *restrict x, const T *restrict w, const T *restrict bias,
                      const T *restrict candidate_w, const T *restrict candidate_bias,
                      const rnn_direction *d) {
  const idx n = d->hidden;
  const bool before = d->linear_before_reset;
  const idx used = rnn_padded(before ? 3 * n : 2 * n), row = rnn_padded(2 * n) + rnn_padded(n);
  const idx candidate = before ? 2 * n : used;
  for (idx step = 0; step < d->steps; step++) {
    NAME(rnn_product)(layout, gates, row, h, n, w, bias, room, d->batch, used, n);
    for (idx b = 0; b < d->batch; b++) {
      const idx time = rnn_time(d, step, b);
      T *s = gates + b * row, *r = s + n;
      if (time < 0) continue;  // its candidate is computed, of whatever is there, and not used
      const T *from = x + time * d->x_time + b * d->x_batch;
      for (idx i = 0; i < 2 * n; i++) s[i] += from[i];
      NAME(rnn_activate)(s, 2 * n, d->clip, d->functions[0]);
      for (idx i = 0; !before && i < n; i++) r[i] *= h[b * n + i];
    }
    if (!before) {
      NAME(rnn_product)(layout, gates + candidate, row, gates + n, row, candidate_w,
                        candidate_bias, room, d->batch, rnn_padded(n), n);
    }
    for (idx b = 0; b < d->batch; b++) {
      const idx time = rnn_time(d, step, b);
      if (time >= 0) {
        T *z = gates + b * row, *r = z + n, *g = z + candidate, *state = h + b * n;
        const T *from = x + time * d->x_time + b * d->x_batch + 2 * n;
        for (idx i = 0; i < n; i++) {
          g[i] = before ? from[i] + candidate_bias[i] + r[i] * g[i] : g[i] + from[i];
        }
        NAME(rnn_activate)(g, n, d->clip, d->functions[1]);
        for (idx i = 0; i < n; i++) state[i] = (1 - z[i]) * g[i] + z[i] * state[i];
      }
      NAME(rnn_emit)(y, h + b * n, d, step, time, b);
    }
  }
}

// One step of one sequence: gates i, o, f, g in s; peepholes p are i, o, f or NULL
static void NAME(lstm_step)(T *restrict h, T *restrict c, T *restrict s, const T *restrict x,
                            const T *restrict p, const rnn_direction *d) {
  const idx n = d->hidden;
  T *in = s, *out = s + n, *forget = s + 2 * n, *g = s + 3 * n;
  for (idx i = 0; i < 4 * n; i++) s[i] += x[i];
  for (idx i = 0; p && i < n; i++) {
    in[i] += p[i] * c[i];
    forget[i] += p[2 * n + i] * c[i];
  }
  NAME(rnn_activate)(in, n, d->clip, d->functions[0]);
  NAME(rnn_activate)(forget, n, d->clip, d->functions[0]);
  NAME(rnn_activate)(g, n, d->clip, d->functions[1]);
  for (idx i = 0; d->input_forget && i < n; i++) forget[i] = 1 - in[i];
  for (idx i = 0; i < n; i++) c[i] = forget[i] * c[i] + in[i] * g[i];
  for (idx i = 0; p && i < n; i++) out[i] += p[n + i] * c[i];
  NAME(rnn_activate)(out, n, d->clip, d->functions[0]);
  memcpy(g, c, n * sizeof(T));
  NAME(rnn_activate)(g, n, 0, d->functions[2]);
  for (idx i = 0; i < n; i++) h[i] = out[i] * g[i];
}

static void NAME(lstm)(i32 layout, T *restrict y, T *restrict h, T *restrict c, T *restrict gates, T *restrict room,
                       const T *restrict x, const T *restrict w, const T *restrict bias,
                       const T *restrict peepholes, const rnn_direction *d) {
  const idx n = d->hidden, row = rnn_padded(4 * n);
  for (idx step = 0; step < d->steps; step++) {
    NAME(rnn_product)(layout, gates, row, h, n, w, bias, room, d->batch, row, n);
    for (idx b = 0; b < d->batch; b++) {
      const idx time = rnn_time(d, step, b);
      if (time >= 0) {
        const T *from = x + time * d->x_time + b * d->x_batch;
        NAME(lstm_step)(h + b * n, c + b * n, gates + b * row, from, peepholes, d);
      }
      NAME(rnn_emit)(y, h + b * n, d, step, time, b);
    }
  }
}
