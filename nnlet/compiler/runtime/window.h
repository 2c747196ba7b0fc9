// The geometry that convolutions and pooling share; ops/window.py makes these.
#ifndef NNLET_WINDOW_H
#define NNLET_WINDOW_H

#include "simd.h"

// One spatial axis: output o sees the inputs o * stride - pad + k * dilation for the taps
// 0 <= k < kernel, as far as they lie inside [0, in). Behind the input lie `pad_end` more.
typedef struct {
  idx in, out, kernel, stride, dilation, pad, pad_end;
} nn_window;

// The input index of tap k of output o; outside [0, in) it is padding.
static inline idx nn_tap(nn_window w, idx o, idx k) {
  return o * w.stride - w.pad + k * w.dilation;
}

// The first tap of output o that is not padding in front.
static inline idx nn_tap_first(nn_window w, idx o) {
  const idx start = nn_tap(w, o, 0);
  const idx k = start < 0 ? (w.dilation - 1 - start) / w.dilation : 0;
  return k < w.kernel ? k : w.kernel;
}

// One behind the last tap of output o that lies before input index `end`.
static inline idx nn_tap_last(nn_window w, idx o, idx end) {
  const idx room = end - nn_tap(w, o, 0);
  const idx k = room > 0 ? (room + w.dilation - 1) / w.dilation : 0;
  return k < w.kernel ? k : w.kernel;
}

// The outputs that see the input, not padding, through tap k are first <= o < last.
static inline idx nn_output_first(nn_window w, idx k) {
  const idx at = nn_tap(w, 0, k);
  const idx o = at < 0 ? (w.stride - 1 - at) / w.stride : 0;
  return o < w.out ? o : w.out;
}

static inline idx nn_output_last(nn_window w, idx k) {
  const idx room = w.in - nn_tap(w, 0, k);
  const idx o = room > 0 ? (room + w.stride - 1) / w.stride : 0;
  return o < w.out ? o : w.out;
}

static inline void nn_zero(f32 *to, idx count) {
  for (idx i = 0; i < count; i++) to[i] = 0;
}

// to[i] = from[i * stride] for i < count
static inline void nn_take_every(f32 *to, const f32 *from, idx stride, idx count) {
  typedef VEC(f32) vec;
  idx i = 0;
  if (stride == 1) {
    for (; i + 4 <= count; i += 4) *(vec *)(to + i) = *(const vec *)(from + i);
  } else if (stride == 2) {
    for (; i + 4 <= count; i += 4) {
      const vec a = *(const vec *)(from + 2 * i), b = *(const vec *)(from + 2 * i + 3);
      *(vec *)(to + i) = __builtin_shufflevector(a, b, 0, 2, 5, 7);
    }
  }
  for (; i < count; i++) to[i] = from[i * stride];
}

// Runs statements for every input that output (od, oh, ow) of the windows w[3] sees: `at` is its
// index in the plane, (id, ih, iw) where it is.
#define NN_EACH_TAP(...)                                                                      \
  for (idx kd = nn_tap_first(w[0], od); kd < nn_tap_last(w[0], od, w[0].in); kd++)            \
    for (idx kh = nn_tap_first(w[1], oh); kh < nn_tap_last(w[1], oh, w[1].in); kh++)          \
      for (idx kw = nn_tap_first(w[2], ow); kw < nn_tap_last(w[2], ow, w[2].in); kw++) {      \
        const idx id = nn_tap(w[0], od, kd), ih = nn_tap(w[1], oh, kh);                       \
        const idx iw = nn_tap(w[2], ow, kw), at = (id * w[1].in + ih) * w[2].in + iw;         \
        __VA_ARGS__                                                                           \
      }

#endif
