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

// Pooling of rows. As far as taps lie above each other, rows of the input are joined into `row`,
// between its padding; then elements that taps see side by side. Loops without conditions, which
// become SIMD; the common kernels and strides have one loop for each.

static inline T NAME(joined)(bool sums, T a, T b) { return sums ? a + b : b > a ? b : a; }

// to[count] = up to three rows, which lie at from[0..n), joined, `onto` what is there or instead
static inline void NAME(join_rows)(bool sums, bool onto, T *restrict to, const T *const *from,
                                   idx n, idx count) {
#define JOIN_ROWS(first)                                                           \
  if (n == 1) {                                                                    \
    for (idx i = 0; i < count; i++) to[i] = first;                                 \
  } else if (n == 2) {                                                             \
    for (idx i = 0; i < count; i++) to[i] = NAME(joined)(sums, first, b[i]);       \
  } else {                                                                         \
    for (idx i = 0; i < count; i++) {                                              \
      to[i] = NAME(joined)(sums, NAME(joined)(sums, first, b[i]), c[i]);           \
    }                                                                              \
  }
  const T *a = from[0], *b = from[1], *c = from[2];
  if (onto) JOIN_ROWS(NAME(joined)(sums, to[i], a[i]))
  else JOIN_ROWS(a[i])
#undef JOIN_ROWS
}

// y[i] = what a window of the last axis sees of row from i * stride on, for i < count
static inline void NAME(join_taps)(bool sums, T *restrict y, const T *restrict row, idx kernel,
                                   idx stride, idx dilation, idx count) {
#define PAIR(i) NAME(joined)(sums, row[i], row[(i) + 1])
#define TRIPLE(i) NAME(joined)(sums, PAIR(i), row[(i) + 2])
  if (dilation == 1 && kernel == 2 && stride == 1) {
    for (idx i = 0; i < count; i++) y[i] = PAIR(i);
  } else if (dilation == 1 && kernel == 2 && stride == 2) {
    for (idx i = 0; i < count; i++) y[i] = PAIR(2 * i);
  } else if (dilation == 1 && kernel == 3 && stride == 1) {
    for (idx i = 0; i < count; i++) y[i] = TRIPLE(i);
  } else if (dilation == 1 && kernel == 3 && stride == 2) {
    for (idx i = 0; i < count; i++) y[i] = TRIPLE(2 * i);
  } else if (stride == 1) {
    for (idx i = 0; i < count; i++) y[i] = row[i];
    for (idx k = 1; k < kernel; k++) {
      const T *from = row + k * dilation;
      for (idx i = 0; i < count; i++) y[i] = NAME(joined)(sums, y[i], from[i]);
    }
  } else {
    for (idx i = 0; i < count; i++) y[i] = row[i * stride];
    for (idx k = 1; k < kernel; k++) {
      const T *from = row + k * dilation;
      for (idx i = 0; i < count; i++) y[i] = NAME(joined)(sums, y[i], from[i * stride]);
    }
  }
#undef PAIR
#undef TRIPLE
}

// y = max x or sum x. Scratch `row` has what all windows of a row reach.
static inline __attribute__((always_inline)) void NAME(pool_rows)(
    bool sums, T *restrict y, const T *restrict x, T *restrict row, const nn_window *w,
    idx planes) {
  enum { TOGETHER = 3 };  // rows
  const idx in = w[2].in, rows = w[0].out * w[1].out;
  const idx reach = (w[2].out - 1) * w[2].stride + (w[2].kernel - 1) * w[2].dilation + 1;
  const idx inside = in < reach - w[2].pad ? in : reach - w[2].pad;
  for (idx i = 0; i < reach; i++) row[i] = sums ? 0 : LOWEST(T);  // the padding stays
  for (idx r = 0; r < planes * rows; r++, y += w[2].out) {
    const idx od = r % rows / w[1].out, oh = r % w[1].out;
    const idx last_d = nn_tap_last(w[0], od, w[0].in), last_h = nn_tap_last(w[1], oh, w[1].in);
    T *to = row + w[2].pad;
    const T *from[TOGETHER] = {0};
    idx n = 0;
    bool onto = false;
    for (idx kd = nn_tap_first(w[0], od); kd < last_d; kd++) {
      for (idx kh = nn_tap_first(w[1], oh); kh < last_h; kh++) {
        if (n == TOGETHER) {
          NAME(join_rows)(sums, onto, to, from, n, inside);
          onto = true, n = 0;
        }
        const idx slice = r / rows * w[0].in + nn_tap(w[0], od, kd);
        from[n++] = x + (slice * w[1].in + nn_tap(w[1], oh, kh)) * in;
      }
    }
    if (n) NAME(join_rows)(sums, onto, to, from, n, inside);
    else for (idx i = 0; i < inside; i++) to[i] = sums ? 0 : LOWEST(T);
    NAME(join_taps)(sums, y, row, w[2].kernel, w[2].stride, w[2].dilation, w[2].out);
  }
}

// y = max x, as maxpool without indices
static void NAME(maxpool_rows)(T *restrict y, const T *restrict x, T *restrict row,
                               const nn_window *w, idx planes) {
  NAME(pool_rows)(false, y, x, row, w, planes);
}

// How many inputs an axis of output o counts in an average: those inside, or with padding.
static idx NAME(counted)(nn_window w, idx o, bool with_padding) {
  if (with_padding) return nn_tap_last(w, o, w.in + w.pad_end);
  return nn_tap_last(w, o, w.in) - nn_tap_first(w, o);
}

// y = sum x / count, where scratch `counts` is for what the last axis counts.
static void NAME(averagepool)(T *restrict y, const T *restrict x, T *restrict row,
                              T *restrict counts, const nn_window *w, idx planes,
                              bool count_include_pad) {
  NAME(pool_rows)(true, y, x, row, w, planes);
  for (idx o = 0; o < w[2].out; o++) counts[o] = (T)NAME(counted)(w[2], o, count_include_pad);
  for (idx r = 0; r < planes * w[0].out * w[1].out; r++, y += w[2].out) {
    const T lines = (T)(NAME(counted)(w[0], r / w[1].out % w[0].out, count_include_pad) *
                        NAME(counted)(w[1], r % w[1].out, count_include_pad));
    for (idx o = 0; o < w[2].out; o++) y[o] /= lines * counts[o];
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
