// Convolutions in f32 as products of packed matrices: conv of conv.c, which is its naive twin.
//
// For each image and group, y[filters, pixels] = w[filters, k] columns[k, pixels], where k counts
// taps and, within a tap, channels. The columns are never there as a whole: a block of them is
// gathered from the image just before it is used.
#include "gemm.h"
#include "window.h"

// Pixels of a block: its rows are an odd number of cache lines apart, so that they do not
// compete for the same places in the L1 cache.
#define CONV_PIXELS (13 * 16)

// to[i] = from[i * stride] for i < count
static inline void conv_copy(f32 *to, const f32 *from, idx stride, idx count) {
  idx i = 0;
  if (stride == 1) {
    for (; i + 4 <= count; i += 4) gemm_store(to + i, gemm_load(from + i));
  } else if (stride == 2) {
    for (; i + 4 <= count; i += 4) {
      const f32x4 a = gemm_load(from + 2 * i), b = gemm_load(from + 2 * i + 3);
      gemm_store(to + i, __builtin_shufflevector(a, b, 0, 2, 5, 7));
    }
  }
  for (; i < count; i++) to[i] = from[i * stride];
}

static inline void conv_zero(f32 *to, idx first, idx last) {
  for (idx i = first; i < last; i++) to[i] = 0;
}

static inline idx conv_clamp(idx i, idx most) { return i < 0 ? 0 : i < most ? i : most; }

// What `count` outputs of one row, from (od, oh, ow) on, see of `channels` planes through one
// tap, in rows of `to`. Of the whole row, outputs from `first` to `last` see the image.
static void conv_gather_row(f32 *to, const f32 *x, const nn_window *a, idx od, idx oh, idx ow,
                            idx count, idx kd, idx kh, idx kw, idx first, idx last, idx channels) {
  const idx id = nn_tap(a[0], od, kd), ih = nn_tap(a[1], oh, kh);
  const bool inside = id >= 0 && id < a[0].in && ih >= 0 && ih < a[1].in;
  const idx from = conv_clamp(first - ow, count), until = inside ? conv_clamp(last - ow, count) : 0;
  const f32 *at = x + (id * a[1].in + ih) * a[2].in + nn_tap(a[2], ow + from, kw);
  for (idx c = 0; c < channels; c++, to += CONV_PIXELS, at += a[0].in * a[1].in * a[2].in) {
    conv_zero(to, 0, from);
    conv_copy(to + from, at, a[2].stride, until - from);
    conv_zero(to, until > from ? until : from, count);
  }
}

// The columns of `count` pixels from `pixel` on, rows k0 .. k0 + depth of them, and zeros up to
// a multiple of 4 pixels.
static void conv_gather(f32 *to, const f32 *x, const nn_window *a, idx pixel, idx count,
                        idx channels, idx k0, idx depth) {
  const idx plane = a[0].in * a[1].in * a[2].in, end = k0 + depth;
  for (idx k = k0, many; k < end; k += many, to += many * CONV_PIXELS) {
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
      conv_zero(to + c * CONV_PIXELS, count, (count + 3) & ~(idx)3);
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
    for (idx pixel = 0; pixel < pixels; pixel += CONV_PIXELS) {
      const idx count = pixels - pixel < CONV_PIXELS ? pixels - pixel : CONV_PIXELS;
      f32 *to = y + i * filters * pixels + pixel;
      gemm_epilogue here = e;
      if (e.row) here.row += i % groups * filters;
      if (e.add) here.add += i * filters * pixels + pixel;
      for (idx k0 = 0, depth; k0 < k; k0 += depth) {
        depth = k - k0 < GEMM_DEPTH ? k - k0 : GEMM_DEPTH;
        conv_gather(columns, x, a, pixel, count, channels, k0, depth);
        gemm_strip(to, pixels, w, columns, CONV_PIXELS, filters, count, k, k0, depth,
                   gemm_part(here, to, k0 == 0, k0 + depth == k));
      }
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
