// Depthwise convolutions in f32, where every filter sees one channel: conv of conv.c for
// channels = 1, which is its naive twin.
//
// Each channel is copied with its padding, so that no tap needs a condition. In the copy the
// columns that outputs of one tap see lie side by side: a row is `stride` rows, of columns
// 0, s, 2s, ..., of columns 1, s + 1, ... and so on, each of `span` elements.
#include "gemm.h"
#include "quantized.h"
#include "window.h"

#define DEPTHWISE_BLOCK 16  // outputs of a row that are computed together

// How many inputs an axis needs from the first one on, padding included.
static inline idx depthwise_reach(nn_window w) {
  return (w.out - 1) * w.stride + (w.kernel - 1) * w.dilation + 1;
}

// The rows of copy that lie inside x, which has one channel; the padding stays as it is.
static void depthwise_copy(f32 *copy, const f32 *x, const nn_window *a, idx span) {
  const idx height = depthwise_reach(a[1]), depth = depthwise_reach(a[0]), step = a[2].stride;
  for (idx phase = 0; phase < step; phase++) {
    // Column i * step + phase of the copy is column i * step + phase - pad of x.
    const idx before = a[2].pad - phase, behind = before + a[2].in;
    const idx first = before > 0 ? (before + step - 1) / step : 0;
    idx last = behind > 0 ? (behind + step - 1) / step : 0;
    if (last > span) last = span;
    for (idx d = a[0].pad; d < depth && d - a[0].pad < a[0].in; d++) {
      for (idx r = a[1].pad; r < height && r - a[1].pad < a[1].in; r++) {
        const f32 *from = x + ((d - a[0].pad) * a[1].in + r - a[1].pad) * a[2].in - before;
        f32 *to = copy + ((d * height + r) * step + phase) * span;
        nn_take_every(to + first, from + first * step, step, last - first);
      }
    }
  }
}

// to[0..4) = the sums over the taps of w[tap] times 16 elements from x + offsets[tap] on.
static inline void depthwise_sums(f32x4 *to, const f32 *x, const f32 *w, const i32 *offsets,
                                  idx taps) {
  f32x4 s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
  for (idx t = 0; t < taps; t++) {
    const f32 *at = x + offsets[t];
    const f32x4 factor = SPLAT(f32)(w[t]);
    s0 = MADD(f32)(gemm_load(at), factor, s0);
    s1 = MADD(f32)(gemm_load(at + 4), factor, s1);
    s2 = MADD(f32)(gemm_load(at + 8), factor, s2);
    s3 = MADD(f32)(gemm_load(at + 12), factor, s3);
  }
  to[0] = s0, to[1] = s1, to[2] = s2, to[3] = s3;
}

// One row of outputs.
static void depthwise_row(f32 *y, const f32 *x, const f32 *w, const i32 *offsets, idx taps,
                          idx out, f32 bias, const f32 *add, const gemm_epilogue *e) {
  const f32x4 low = SPLAT(f32)(e->low), high = SPLAT(f32)(e->high), start = SPLAT(f32)(bias);
  for (idx o = 0; o < out; o += DEPTHWISE_BLOCK) {
    f32x4 sums[DEPTHWISE_BLOCK / 4];
    depthwise_sums(sums, x + o, w, offsets, taps);
#pragma unroll
    for (int j = 0; j < DEPTHWISE_BLOCK / 4; j++) {
      const idx at = o + 4 * j, count = out - at;
      if (count <= 0) break;
      f32x4 v = sums[j] + start;
      if (add) v += gemm_load_some(add + at, count);
      gemm_store_some(y + at, gemm_limit(v, low, high), count);
    }
  }
}

// Where in the copy each tap of the first output looks.
static void depthwise_offsets(i32 *offsets, const nn_window *a, idx span) {
  const idx height = depthwise_reach(a[1]), row = span * a[2].stride;
  const idx taps = a[0].kernel * a[1].kernel * a[2].kernel;
  for (idx t = 0; t < taps; t++) {
    const idx column = t % a[2].kernel * a[2].dilation;
    const idx line = t / a[2].kernel % a[1].kernel * a[1].dilation;
    const idx slice = t / a[2].kernel / a[1].kernel * a[0].dilation;
    const idx place = column % a[2].stride * span + column / a[2].stride;
    offsets[t] = (i32)((slice * height + line) * row + place);
  }
}

// y[n, groups * filters, out...] = the epilogue of the convolution of x[n, groups, in...] with
// w[groups * filters, taps]. `copy` is scratch for a channel as the top of this file has it,
// `offsets` for the taps.
static void depthwise(f32 *y, const f32 *x, const f32 *w, f32 *copy, i32 *offsets,
                      const nn_window *a, idx span, idx n, idx groups, idx filters,
                      gemm_epilogue e) {
  const idx height = depthwise_reach(a[1]), row = span * a[2].stride;
  const idx taps = a[0].kernel * a[1].kernel * a[2].kernel;
  depthwise_offsets(offsets, a, span);
  nn_zero(copy, depthwise_reach(a[0]) * height * row);
  for (idx i = 0; i < n * groups; i++) {
    depthwise_copy(copy, x + i * a[0].in * a[1].in * a[2].in, a, span);
    for (idx f = i % groups * filters; f < (i % groups + 1) * filters; f++) {
      for (idx o = 0; o < a[0].out * a[1].out; o++, y += a[2].out) {
        const idx from = o / a[1].out * a[0].stride * height + o % a[1].out * a[1].stride;
        depthwise_row(y, copy + from * row, w + f * taps, offsets, taps, a[2].out,
                      e.row ? e.row[f] : 0, e.add, &e);
        if (e.add) e.add += a[2].out;
      }
    }
  }
}

// One row of outputs of 8 bits.
static void qdepthwise_row(u8 *y, const f32 *x, const f32 *w, const i32 *offsets, idx taps,
                           idx out, f32x4 bias, f32x4 scale, q_range range) {
  for (idx o = 0; o < out; o += DEPTHWISE_BLOCK) {
    f32x4 sums[DEPTHWISE_BLOCK / 4];
    depthwise_sums(sums, x + o, w, offsets, taps);
#pragma unroll
    for (int j = 0; j < DEPTHWISE_BLOCK / 4; j += 2) {
      const u64 bytes = q_bytes(q_round((sums[j] + bias) * scale, range),
                                q_round((sums[j + 1] + bias) * scale, range));
      const idx at = o + 4 * j;
      q_store(y + at, (u32)bytes, out - at);
      q_store(y + at + 4, (u32)(bytes >> 32), out - at - 4);
    }
  }
}

// depthwise of 8-bit integers: conv of conv.c on 32-bit integers is the naive twin. Sums are exact
// as floats, too: the weights, which have their zero points taken off, and the biases must keep
// them below 2^24. `plane` is scratch for one of x, the rest as above.
static void qdepthwise(u8 *y, const u8 *x, const f32 *w, f32 *plane, f32 *copy, i32 *offsets,
                       const nn_window *a, idx span, idx n, idx groups, idx filters,
                       bool is_unsigned, idx x_zero, q_result r) {
  const idx height = depthwise_reach(a[1]), row = span * a[2].stride;
  const idx taps = a[0].kernel * a[1].kernel * a[2].kernel, size = a[0].in * a[1].in * a[2].in;
  const u8 flip = is_unsigned ? 0x80 : 0;
  const i32 zero = (i32)x_zero - flip;
  const q_range range = q_range_of(&r);
  depthwise_offsets(offsets, a, span);
  nn_zero(copy, depthwise_reach(a[0]) * height * row);
  for (idx i = 0; i < n * groups; i++, x += size) {
    for (idx at = 0; at < size; at++) plane[at] = (f32)((i8)(x[at] ^ flip) - zero);
    depthwise_copy(copy, plane, a, span);
    for (idx f = i % groups * filters; f < (i % groups + 1) * filters; f++) {
      const f32x4 bias = SPLAT(f32)(r.bias ? (f32)r.bias[f] : 0), scale = SPLAT(f32)(r.scale[f]);
      for (idx o = 0; o < a[0].out * a[1].out; o++, y += a[2].out) {
        const idx from = o / a[1].out * a[0].stride * height + o % a[1].out * a[1].stride;
        qdepthwise_row(y, copy + from * row, w + f * taps, offsets, taps, a[2].out, bias, scale,
                       range);
      }
    }
  }
}
