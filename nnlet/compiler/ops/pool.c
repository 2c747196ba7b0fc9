// Pooling: y is [planes, out...], x is [planes, in...]; a plane is one channel of one image.
#include "window.h"

// y = max x; where `indices` is there, the index in x of each maximum, the first of equals.
// Counted along columns first if `columns`, as Fortran stores arrays.
static void NAME(maxpool)(T *restrict y, i64 *restrict indices, const T *restrict x,
                          const nn_window *w, idx planes, bool columns) {
  const idx size = w[0].in * w[1].in * w[2].in;
  for (idx p = 0; p < planes; p++, x += size) {
    for (idx od = 0; od < w[0].out; od++) {
      for (idx oh = 0; oh < w[1].out; oh++) {
        for (idx ow = 0; ow < w[2].out; ow++) {
          T highest = LOWEST(T);
          idx best = -1;
          NN_EACH_TAP(if (x[at] > highest || best < 0) {
            highest = x[at];
            best = columns ? (iw * w[1].in + ih) * w[0].in + id : at;
          })
          *y++ = highest;
          if (indices) *indices++ = p * size + best;
        }
      }
    }
  }
}

// Pooling of rows: as far as taps lie above each other, whole rows of the input are joined into
// `row`; then its elements into outputs, one tap after the other, where `picked` is what the
// outputs see through that tap. Loops without conditions, which become SIMD. Both are scratch.

// to[i] = from[i * stride] for i < count
static inline void NAME(pick)(T *restrict to, const T *restrict from, idx stride, idx count) {
  if (stride == 1) {
    for (idx i = 0; i < count; i++) to[i] = from[i];
  } else if (stride == 2) {
    for (idx i = 0; i < count; i++) to[i] = from[2 * i];
  } else {
    for (idx i = 0; i < count; i++) to[i] = from[i * stride];
  }
}

// y = max x, as maxpool without indices
static void NAME(maxpool_rows)(T *restrict y, const T *restrict x, T *restrict row,
                               T *restrict picked, const nn_window *w, idx planes) {
  const idx in = w[2].in, out = w[2].out, rows = w[0].out * w[1].out;
  for (idx r = 0; r < planes * rows; r++, y += out) {
    const idx od = r % rows / w[1].out, oh = r % w[1].out;
    const T *plane = x + r / rows * w[0].in * w[1].in * in;
    for (idx i = 0; i < in; i++) row[i] = LOWEST(T);
    for (idx kd = nn_tap_first(w[0], od); kd < nn_tap_last(w[0], od, w[0].in); kd++) {
      for (idx kh = nn_tap_first(w[1], oh); kh < nn_tap_last(w[1], oh, w[1].in); kh++) {
        const T *from = plane + (nn_tap(w[0], od, kd) * w[1].in + nn_tap(w[1], oh, kh)) * in;
        for (idx i = 0; i < in; i++) row[i] = from[i] > row[i] ? from[i] : row[i];
      }
    }
    for (idx o = 0; o < out; o++) y[o] = LOWEST(T);
    for (idx k = 0; k < w[2].kernel; k++) {
      const idx first = nn_output_first(w[2], k), last = nn_output_last(w[2], k);
      NAME(pick)(picked + first, row + nn_tap(w[2], first, k), w[2].stride, last - first);
      for (idx o = first; o < last; o++) y[o] = picked[o] > y[o] ? picked[o] : y[o];
    }
  }
}

// How many inputs an axis of output o counts in an average: those inside, or with padding.
static idx NAME(counted)(nn_window w, idx o, bool with_padding) {
  if (with_padding) return nn_tap_last(w, o, w.in + w.pad_end);
  return nn_tap_last(w, o, w.in) - nn_tap_first(w, o);
}

// y = sum x / count
static void NAME(averagepool)(T *restrict y, const T *restrict x, T *restrict row,
                              T *restrict picked, const nn_window *w, idx planes,
                              bool count_include_pad) {
  const idx in = w[2].in, out = w[2].out, rows = w[0].out * w[1].out;
  for (idx r = 0; r < planes * rows; r++, y += out) {
    const idx od = r % rows / w[1].out, oh = r % w[1].out;
    const T *plane = x + r / rows * w[0].in * w[1].in * in;
    for (idx i = 0; i < in; i++) row[i] = 0;
    for (idx kd = nn_tap_first(w[0], od); kd < nn_tap_last(w[0], od, w[0].in); kd++) {
      for (idx kh = nn_tap_first(w[1], oh); kh < nn_tap_last(w[1], oh, w[1].in); kh++) {
        const T *from = plane + (nn_tap(w[0], od, kd) * w[1].in + nn_tap(w[1], oh, kh)) * in;
        for (idx i = 0; i < in; i++) row[i] += from[i];
      }
    }
    for (idx o = 0; o < out; o++) y[o] = 0;
    for (idx k = 0; k < w[2].kernel; k++) {
      const idx first = nn_output_first(w[2], k), last = nn_output_last(w[2], k);
      NAME(pick)(picked + first, row + nn_tap(w[2], first, k), w[2].stride, last - first);
      for (idx o = first; o < last; o++) y[o] += picked[o];
    }
    const idx count = NAME(counted)(w[0], od, count_include_pad) *
                      NAME(counted)(w[1], oh, count_include_pad);
    for (idx o = 0; o < out; o++) y[o] /= (T)(count * NAME(counted)(w[2], o, count_include_pad));
  }
}

// y is [planes], x is [planes, size]: pooling whose window is all of a plane.

static void NAME(globalmaxpool)(T *restrict y, const T *restrict x, idx planes, idx size) {
  for (idx p = 0; p < planes; p++, x += size) {
    T highest = LOWEST(T);
    for (idx i = 0; i < size; i++) highest = x[i] > highest ? x[i] : highest;
    y[p] = highest;
  }
}

static void NAME(globalaveragepool)(T *restrict y, const T *restrict x, idx planes, idx size) {
  enum { LANES = 8 };  // sums of their own: one vector operation, and less rounding
  for (idx p = 0; p < planes; p++, x += size) {
    T sums[LANES] = {0};
    idx i = 0;
    for (; i + LANES <= size; i += LANES) {
      for (idx l = 0; l < LANES; l++) sums[l] += x[i + l];
    }
    T sum = 0;
    for (idx l = 0; l < LANES; l++) sum += sums[l];
    for (; i < size; i++) sum += x[i];
    y[p] = sum / (T)size;
  }
}
