// Convolutions in f32 as products of packed matrices: conv of conv.c, which is its naive twin.
//
// For each image and group, y[filters, pixels] = w[filters, k] columns[k, pixels], where k counts
// taps and, within a tap, channels. The columns are never there as a whole: a block of them is
// gathered from the image just before it is used.
#include "gemm.h"
#include "window.h"

static inline idx conv_clamp(idx i, idx most) { return i < 0 ? 0 : i < most ? i : most; }

// What `count` outputs of one row, from (od, oh, ow) on, see of `channels` planes through one
// tap, in rows of `to`. Of the whole row, outputs from `first` to `last` see the image.
static void conv_gather_row(f32 *to, const f32 *x, const nn_window *a, idx od, idx oh, idx ow,
                            idx count, idx kd, idx kh, idx kw, idx first, idx last, idx channels) {
  const idx id = nn_tap(a[0], od, kd), ih = nn_tap(a[1], oh, kh);
  const bool inside = id >= 0 && id < a[0].in && ih >= 0 && ih < a[1].in;
  const idx from = conv_clamp(first - ow, count);
  idx until = inside ? conv_clamp(last - ow, count) : 0;
  if (until < from) until = from;
  const f32 *at = x + (id * a[1].in + ih) * a[2].in + nn_tap(a[2], ow + from, kw);
  for (idx c = 0; c < channels; c++, to += GEMM_BLOCK, at += a[0].in * a[1].in * a[2].in) {
    nn_zero(to, from);
    nn_take_every(to + from, at, a[2].stride, until - from);
    nn_zero(to + until, count - until);
  }
}

// The columns of `count` pixels from `pixel` on, rows k0 .. k0 + depth of them, and zeros up to
// a multiple of 4 pixels.
static void conv_gather(f32 *to, const f32 *x, const nn_window *a, idx pixel, idx count,
                        idx channels, idx k0, idx depth) {
  const idx plane = a[0].in * a[1].in * a[2].in, end = k0 + depth;
  for (idx k = k0, many; k < end; k += many, to += many * GEMM_BLOCK) {
    const idx tap = k / channels, channel = k % channels;
    many = channels - channel < end - k ? channels - channel : end - k;
    const idx kw = tap % a[2].kernel, kh = tap / a[2].kernel % a[1].kernel;
    const idx kd = tap / a[2].kernel / a[1].kernel;
    const idx first = nn_output_first(a[2], kw), last = nn_output_last(a[2], kw);
    for (idx done = 0, part; done < count; done += part) {
      const idx row = (pixel + done) / a[2].out, ow = (pixel + done) % a[2].out;
      part = a[2].out - ow < count - done ? a[2].out - ow : count - done;
      conv_gather_row(to + done, x + channel * plane, a, row / a[1].out, row % a[1].out, ow, part,
                      kd, kh, kw, first, last, many);
    }
    for (idx c = 0; c < many; c++) {
      nn_zero(to + c * GEMM_BLOCK + count, -count & 3);
    }
  }
}

// y[n, groups * filters, out...] = the epilogue of the convolution of x[n, groups * channels,
// in...] with weights that are packed as conv_pack packs them. `columns` is scratch.
static void conv_packed(f32 *y, const f32 *x, const f32 *weights, f32 *columns,
                        const nn_window *a, idx n, idx groups, idx filters, idx channels,
                        gemm_epilogue e) {
  const idx pixels = a[0].out * a[1].out * a[2].out, plane = a[0].in * a[1].in * a[2].in;
  const idx k = channels * a[0].kernel * a[1].kernel * a[2].kernel;
  for (idx i = 0; i < n * groups; i++) {
    const f32 *w = weights + i % groups * filters * k;
    for (idx pixel = 0; pixel < pixels; pixel += GEMM_BLOCK) {
      const idx count = pixels - pixel < GEMM_BLOCK ? pixels - pixel : GEMM_BLOCK;
      f32 *to = y + i * filters * pixels + pixel;
      gemm_epilogue here = e;
      if (e.row) here.row += i % groups * filters;
      if (e.add) here.add += i * filters * pixels + pixel;
      idx k0 = 0, depth;
      do {
        depth = k - k0 < GEMM_DEPTH ? k - k0 : GEMM_DEPTH;
        conv_gather(columns, x, a, pixel, count, channels, k0, depth);
        gemm_columns(to, pixels, w, columns, GEMM_BLOCK, filters, count, k, k0, depth,
                     gemm_part(here, to, k0 == 0, k0 + depth == k));
        k0 += depth;
      } while (k0 < k);
    }
    x += channels * plane;
  }
}

// Packs w[groups * filters, channels, taps] for conv_packed.
static void conv_pack(f32 *to, const f32 *w, idx groups, idx filters, idx channels, idx taps) {
  const idx k = channels * taps;
  for (idx g = 0; g < groups; g++) {
    for (idx f = 0, rows; f < filters; f += rows, w += rows * k, to += rows * k) {
      rows = filters - f >= 8 ? 8 : filters - f >= 4 ? 4 : 1;
      for (idx tap = 0; tap < taps; tap++) {
        gemm_pack(to + tap * channels * rows, w + tap, taps, k, channels, rows, rows);
      }
    }
  }
}

// y += what the block, the products [filters * taps, count pixels of x from `pixel` on], gives
// to the outputs that each tap reaches.
static void conv_scatter(f32 *y, const f32 *block, const nn_window *a, idx pixel, idx count,
                         idx filters) {
  const idx taps = a[0].kernel * a[1].kernel * a[2].kernel;
  for (idx r = 0; r < filters * taps; r++, block += GEMM_BLOCK) {
    const idx kw = r % a[2].kernel, kh = r / a[2].kernel % a[1].kernel;
    const idx kd = r % taps / a[2].kernel / a[1].kernel;
    const idx first = nn_output_first(a[2], kw), last = nn_output_last(a[2], kw);
    for (idx done = 0, part; done < count; done += part) {
      const idx row = (pixel + done) / a[2].out, ow = (pixel + done) % a[2].out;
      part = a[2].out - ow < count - done ? a[2].out - ow : count - done;
      const idx id = nn_tap(a[0], row / a[1].out, kd), ih = nn_tap(a[1], row % a[1].out, kh);
      if (id < 0 || id >= a[0].in || ih < 0 || ih >= a[1].in) continue;
      f32 *to = y + ((r / taps * a[0].in + id) * a[1].in + ih) * a[2].in + nn_tap(a[2], ow, kw);
      for (idx i = conv_clamp(first - ow, part); i < conv_clamp(last - ow, part); i++) {
        to[i * a[2].stride] += block[done + i];
      }
    }
  }
}

// convtranspose of conv.c, with weights that are packed as conv_transpose_pack packs them.
// `columns` is scratch as for conv_packed, `block` for [filters * taps, GEMM_BLOCK].
static void conv_transpose_packed(f32 *y, const f32 *x, const f32 *weights, const f32 *bias,
                                  f32 *columns, f32 *block, const nn_window *a, idx n, idx groups,
                                  idx filters, idx channels) {
  const idx pixels = a[0].out * a[1].out * a[2].out, plane = a[0].in * a[1].in * a[2].in;
  const idx rows = filters * a[0].kernel * a[1].kernel * a[2].kernel;
  const nn_window one = {1, 1, 1, 1, 1, 0, 0}, all = {pixels, pixels, 1, 1, 1, 0, 0};
  const nn_window flat[] = {one, one, all};
  for (idx i = 0; i < n * groups; i++, x += channels * pixels, y += filters * plane) {
    const idx g = i % groups;
    for (idx at = 0; at < filters * plane; at++) y[at] = bias ? bias[g * filters + at / plane] : 0;
    for (idx pixel = 0; pixel < pixels; pixel += GEMM_BLOCK) {
      const idx count = pixels - pixel < GEMM_BLOCK ? pixels - pixel : GEMM_BLOCK;
      idx k0 = 0, depth;
      do {
        depth = channels - k0 < GEMM_DEPTH ? channels - k0 : GEMM_DEPTH;
        conv_gather(columns, x, flat, pixel, count, channels, k0, depth);
        gemm_columns(block, GEMM_BLOCK, weights + g * rows * channels, columns, GEMM_BLOCK, rows,
                     count, channels, k0, depth,
                     gemm_part(GEMM_PLAIN, block, k0 == 0, k0 + depth == channels));
        k0 += depth;
      } while (k0 < channels);
      conv_scatter(y, block, a, pixel, count, filters);
    }
  }
}

// Packs w[groups * channels, filters, taps], transposed in each group, for conv_transpose_packed.
static void conv_transpose_pack(f32 *to, const f32 *w, idx groups, idx filters, idx channels,
                                idx taps) {
  const idx rows = filters * taps;
  for (idx at = 0; at < groups * rows * channels; at += rows * channels) {
    gemm_pack_a(to + at, w + at, 1, rows, rows, channels);
  }
}
