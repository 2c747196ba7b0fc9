// Deformable convolution: every tap looks where `offset` moves it.
#include "window.h"

// The value of plane[in_h, in_w] at (h, w) by bilinear interpolation; outside there are zeros.
static T NAME(bilinear)(const T *plane, idx in_h, idx in_w, T h, T w) {
  if (!(h > -1 && h < (T)in_h && w > -1 && w < (T)in_w)) return 0;
  const idx top = (idx)FLOOR(T)(h), left = (idx)FLOOR(T)(w);
  const T down = h - (T)top, right = w - (T)left;
  T sum = 0;
  for (idx i = 0; i < 2; i++) {
    for (idx j = 0; j < 2; j++) {
      if (top + i < 0 || top + i >= in_h || left + j < 0 || left + j >= in_w) continue;
      sum += plane[(top + i) * in_w + left + j] * (i ? down : 1 - down) * (j ? right : 1 - right);
    }
  }
  return sum;
}

// taps[groups * channels, kernel] = what output (oh, ow) of one image x sees. offset is
// [offset_groups, kernel, 2, out...], mask [offset_groups, kernel, out...]: how far each tap
// moves, and its factor.
static void NAME(deform_taps)(T *restrict taps, const T *restrict x, const T *restrict offset,
                              const T *restrict mask, nn_window h, nn_window w, idx offset_groups,
                              idx channels, idx oh, idx ow) {
  const idx kernel = h.kernel * w.kernel, pixels = h.out * w.out, at = oh * w.out + ow;
  for (idx c = 0; c < channels; c++) {
    const idx group = c / (channels / offset_groups);
    for (idx k = 0; k < kernel; k++) {
      const idx tap = group * kernel + k;
      const T in_h = (T)nn_tap(h, oh, k / w.kernel) + offset[2 * tap * pixels + at];
      const T in_w = (T)nn_tap(w, ow, k % w.kernel) + offset[(2 * tap + 1) * pixels + at];
      const T value = NAME(bilinear)(x + c * h.in * w.in, h.in, w.in, in_h, in_w);
      taps[c * kernel + k] = mask ? value * mask[tap * pixels + at] : value;
    }
  }
}

// y[n, groups * filters, out...] = bias + w[groups * filters, channels, kernel] times the taps
// of x[n, groups * channels, in...]. `taps` is scratch of groups * channels * kernel.
static void NAME(deformconv)(T *restrict y, const T *restrict x, const T *restrict w,
                             const T *restrict offset, const T *restrict bias,
                             const T *restrict mask, T *restrict taps, const nn_window *a, idx n,
                             idx groups, idx offset_groups, idx filters, idx channels) {
  const nn_window h = a[1], v = a[2];
  const idx pixels = h.out * v.out, kernel = h.kernel * v.kernel, seen = channels * kernel;
  for (idx i = 0; i < n; i++) {
    for (idx at = 0; at < pixels; at++) {
      NAME(deform_taps)(taps, x, offset, mask, h, v, offset_groups, groups * channels, at / v.out,
                        at % v.out);
      for (idx f = 0; f < groups * filters; f++) {
        T sum = bias ? bias[f] : 0;
        for (idx c = 0; c < seen; c++) sum += taps[f / filters * seen + c] * w[f * seen + c];
        y[f * pixels + at] = sum;
      }
    }
    y += groups * filters * pixels;
    x += groups * channels * h.in * v.in;
    offset += offset_groups * 2 * kernel * pixels;
    if (mask) mask += offset_groups * kernel * pixels;
  }
}
