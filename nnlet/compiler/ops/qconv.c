// Convolutions of 8-bit integers, exact, over one or two spatial axes: what QLinearConv is.
// conv of conv.c on 32-bit integers is the naive twin.
//
// Some rows of the image are copied with their padding as pairs of 16 bits, of two channels, or of
// neighbouring columns of a last channel that is alone (if taps are neighbours, too).
// The columns that outputs of one tap see lie side by side: a row is `stride` rows, of columns
// 0, s, 2s, ..., of columns 1, s + 1, ... and so on, each of `span` pairs. So what four
// neighbouring outputs see through a tap is one vector at an offset that no output changes.
#include "quantized.h"
#include "window.h"

typedef struct {
  const u8 *x;
  u8 flip;      // makes signed bytes of what x has: 0x80 for unsigned ones
  i16 x_zero;   // of those signed bytes
  idx channels; // of a group
} qconv_image;

// Every stride-th of a row of one channel and of what it is paired with, as pairs; of `b` there are
// `paired`, which may be less than `count`.
static void qconv_pairs(i16 *to, const u8 *a, const u8 *b, idx count, idx paired, idx stride,
                        u8 flip, i16 zero) {
  idx i = 0;
  if (stride == 1) {
    const u8x16 flips = (u8x16){} + flip;
    const i16x8 zeros = (i16x8){} + zero;
    for (; i + 16 <= paired; i += 16) {
      const u8x16 p = *(const u8x16 *)(a + i) ^ flips, q = *(const u8x16 *)(b + i) ^ flips;
      const u8x16 low = __builtin_shufflevector(p, q, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6,
                                                22, 7, 23);
      const u8x16 high = __builtin_shufflevector(p, q, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13,
                                                 29, 14, 30, 15, 31);
      i16x8 *at = (i16x8 *)(to + 2 * i);
      at[0] = q_widen_low(low) - zeros;
      at[1] = q_widen_high(low) - zeros;
      at[2] = q_widen_low(high) - zeros;
      at[3] = q_widen_high(high) - zeros;
    }
  }
  for (; i < count; i++) {
    to[2 * i] = (i16)((i8)(a[i * stride] ^ flip) - zero);
    to[2 * i + 1] = i < paired ? (i16)((i8)(b[i * stride] ^ flip) - zero) : 0;
  }
}

// `rows` rows of the copy, which start at row `first` of the padded image.
static void qconv_copy(i16 *copy, const qconv_image *m, nn_window h, nn_window w, idx first,
                       idx rows, idx height, idx span) {
  const idx plane = h.in * w.in, row = w.stride * span;
  for (idx c = 0; c < m->channels; c += 2, copy += 2 * height * row) {
    for (idx r = 0; r < rows; r++) {
      const idx line = first + r - h.pad;
      i16 *to = copy + 2 * r * row;
      if (line < 0 || line >= h.in) {
        memset(to, 0, (size_t)(2 * row) * sizeof *to);
        continue;
      }
      const u8 *a = m->x + c * plane + line * w.in;
      const bool alone = c + 1 == m->channels, both = alone && w.dilation == 1;
      if (both && w.pad > 0 && w.pad <= row) {  // the column before the first
        const idx column = w.pad - 1;
        to[2 * (column % w.stride * span + column / w.stride) + 1] =
            (i16)((i8)(*a ^ m->flip) - m->x_zero);
      }
      for (idx phase = 0; phase < w.stride; phase++) {
        // Column i * stride + phase of the copy is column i * stride + phase - pad of x.
        const idx before = w.pad - phase;
        const idx from = before > 0 ? (before + w.stride - 1) / w.stride : 0;
        idx until = before + w.in > 0 ? (before + w.in + w.stride - 1) / w.stride : 0;
        if (until > span) until = span;
        if (until <= from) continue;
        const idx at = from * w.stride - before, count = until - from;
        // The column behind the last is padding.
        const idx last = (w.in - 2 - at + w.stride) / w.stride;
        const idx paired = !alone ? count : !both ? 0 : last < count ? last : count;
        qconv_pairs(to + 2 * (phase * span + from), a + at, a + at + (alone ? 1 : plane), count,
                    paired, w.stride, m->flip, m->x_zero);
      }
    }
  }
}

// Where in the copy each step looks: channel pairs, and in each its taps. Returns how many.
static idx qconv_offsets(i32 *to, idx channels, nn_window h, nn_window w, idx height, idx span) {
  const i32 *start = to;
  for (idx c = 0; c < channels; c += 2) {
    const idx step = c + 1 == channels && w.dilation == 1 ? 2 : 1;
    for (idx kh = 0; kh < h.kernel; kh++) {
      for (idx kw = 0; kw < w.kernel; kw += step) {
        const idx column = kw * w.dilation, row = c / 2 * height + kh * h.dilation;
        const idx at = (row * w.stride + column % w.stride) * span + column / w.stride;
        *to++ = (i32)(2 * at);
      }
    }
  }
  return to - start;
}

// sums[4 filters, 2 vectors] of what lies at p and at q.
static inline void qconv_tile(i32x4 *sums, const i8 *weights, const i16 *p, const i16 *q,
                              const i32 *offsets, idx steps) {
  for (; steps >= 2; steps -= 2, weights += 16, offsets += 2) {
    NN_OPAQUE(weights);
    const i16x8 p0 = *(const i16x8 *)(p + offsets[0]), q0 = *(const i16x8 *)(q + offsets[0]);
    const i16x8 p1 = *(const i16x8 *)(p + offsets[1]), q1 = *(const i16x8 *)(q + offsets[1]);
    const i16x8 w0 = q_widen(weights), w1 = q_widen(weights + 8);
    Q_OUTER(sums, w0, p0, q0);
    Q_OUTER(sums, w1, p1, q1);
  }
  if (steps) {
    const i16x8 p0 = *(const i16x8 *)(p + offsets[0]), q0 = *(const i16x8 *)(q + offsets[0]);
    const i16x8 w0 = q_widen(weights);
    Q_OUTER(sums, w0, p0, q0);
  }
}

// Outputs of `filters` filters, at most 4, in `lines` lines of y, whose planes are `plane` apart.
static void qconv_panel(u8 *y, const i8 *weights, const i16 *copy, const i32 *offsets, idx steps,
                        idx filters, idx plane, idx lines, nn_window h, nn_window w, idx span,
                        const q_result *r) {
  const idx across = (w.out + 3) / 4, total = lines * across;
  const idx down = 2 * h.stride * w.stride * span;
  const q_range range = q_range_of(r);
  i32x4 bias[Q_ROWS];
  f32x4 scale[Q_ROWS];
  for (int f = 0; f < Q_ROWS; f++) {
    const i32 b = r->bias ? r->bias[f] : 0;
    bias[f] = (i32x4){b, b, b, b};
    scale[f] = SPLAT(f32)(r->scale[f]);
  }
  idx line = 0, column = 0;
  for (idx v = 0; v < total; v += 2) {
    idx at[2], count[2] = {0};
    const i16 *from[2];
    for (int j = 0; j < 2; j++) {
      if (v + j == total) {
        from[1] = from[0], at[1] = at[0];
        break;
      }
      from[j] = copy + line * down + 2 * column;
      at[j] = line * w.out + column;
      count[j] = w.out - column < 4 ? w.out - column : 4;
      column += 4;
      if (column >= w.out) column = 0, line++;
    }
    i32x4 sums[2 * Q_ROWS] = {0};
    qconv_tile(sums, weights, from[0], from[1], offsets, steps);
    u8 *to = y;
#pragma unroll
    for (int f = 0; f < Q_ROWS; f++, to += plane) {
      const u64 bytes = q_bytes(q_finish(sums[2 * f], bias[f], scale[f], range),
                                q_finish(sums[2 * f + 1], bias[f], scale[f], range));
      if (f >= filters) break;
      q_store(to + at[0], (u32)bytes, count[0]);
      q_store(to + at[1], (u32)(bytes >> 32), count[1]);
    }
  }
}

// y[n, groups * filters, out...] from x[n, groups * channels, in...]. `weights` has for each group
// and 4 filters the steps of qconv_offsets, each four pairs. `copy` is scratch for `height` rows of
// all channels of a group, `offsets` for the steps; bias and scale are filled up to whole panels
// of 4 filters in each group. `lines` lines of y are made from that.
static void qconv(u8 *y, const u8 *x, const i8 *weights, i16 *copy, i32 *offsets,
                  const nn_window *a, idx lines, idx height, idx span, idx n, idx groups,
                  idx filters, idx channels, bool is_unsigned, idx x_zero, q_result r) {
  const nn_window h = a[1], w = a[2];
  const idx plane = h.out * w.out, pairs = (channels + 1) / 2;
  const idx steps = qconv_offsets(offsets, channels, h, w, height, span);
  const u8 flip = is_unsigned ? 0x80 : 0;
  memset(copy, 0, (size_t)(2 * pairs * height * w.stride * span) * sizeof *copy);
  for (idx i = 0; i < n * groups; i++, x += channels * h.in * w.in, y += filters * plane) {
    const qconv_image m = {x, flip, (i16)(x_zero - flip), channels};
    const idx g = i % groups, panels = (filters + Q_ROWS - 1) / Q_ROWS;
    for (idx first = 0; first < h.out; first += lines) {
      const idx now = h.out - first < lines ? h.out - first : lines;
      const idx rows = (now - 1) * h.stride + (h.kernel - 1) * h.dilation + 1;
      qconv_copy(copy, &m, h, w, first * h.stride, rows, height, span);
      for (idx p = 0; p < panels; p++) {
        const idx f = p * Q_ROWS, many = filters - f < Q_ROWS ? filters - f : Q_ROWS;
        q_result here = r;
        here.scale += (g * panels + p) * Q_ROWS;
        if (here.bias) here.bias += (g * panels + p) * Q_ROWS;
        qconv_panel(y + f * plane + first * w.out, weights + (g * panels + p) * steps * 2 * Q_ROWS,
                    copy, offsets, steps, many, plane, now, h, w, span, &here);
      }
    }
  }
}
