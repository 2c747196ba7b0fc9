// Pooling by a norm: (sum |x|^p)^(1/p). Shapes as in pool.c.
#include "window.h"

static void NAME(lppool)(T *restrict y, const T *restrict x, const nn_window *w, idx planes, T p) {
  for (idx plane = 0; plane < planes; plane++, x += w[0].in * w[1].in * w[2].in) {
    for (idx od = 0; od < w[0].out; od++) {
      for (idx oh = 0; oh < w[1].out; oh++) {
        for (idx ow = 0; ow < w[2].out; ow++) {
          T sum = 0;
          NN_EACH_TAP(sum += POW(T)(x[at] < 0 ? -x[at] : x[at], p);)
          *y++ = POW(T)(sum, 1 / p);
        }
      }
    }
  }
}

static void NAME(globallppool)(T *restrict y, const T *restrict x, idx planes, idx size, T p) {
  for (idx plane = 0; plane < planes; plane++, x += size) {
    T sum = 0;
    for (idx i = 0; i < size; i++) sum += POW(T)(x[i] < 0 ? -x[i] : x[i], p);
    y[plane] = POW(T)(sum, 1 / p);
  }
}
