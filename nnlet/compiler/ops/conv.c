// Convolutions, straight from their definitions.
#include "window.h"

// y[n, groups * filters, out...] = bias + sum of x[n, groups * channels, in...] times
// w[groups * filters, channels, kernel...] over the channels and the taps of the window.
static void NAME(conv)(T *restrict y, const T *restrict x, const T *restrict w,
                       const T *restrict bias, const nn_window *a, idx n, idx groups, idx filters,
                       idx channels) {
  const idx plane = a[0].in * a[1].in * a[2].in;
  const idx taps = a[0].kernel * a[1].kernel * a[2].kernel;
  for (idx i = 0; i < n * groups * filters; i++) {
    const idx f = i % (groups * filters);  // the filter, and the first input channel it sees:
    const T *from = x + (i / (groups * filters) * groups + f / filters) * channels * plane;
    for (idx od = 0; od < a[0].out; od++) {
      for (idx oh = 0; oh < a[1].out; oh++) {
        for (idx ow = 0; ow < a[2].out; ow++) {
          T sum = bias ? bias[f] : 0;
          for (idx kd = nn_tap_first(a[0], od); kd < nn_tap_last(a[0], od, a[0].in); kd++) {
            for (idx kh = nn_tap_first(a[1], oh); kh < nn_tap_last(a[1], oh, a[1].in); kh++) {
              for (idx kw = nn_tap_first(a[2], ow); kw < nn_tap_last(a[2], ow, a[2].in); kw++) {
                const idx row = nn_tap(a[0], od, kd) * a[1].in + nn_tap(a[1], oh, kh);
                const T *pixel = from + row * a[2].in + nn_tap(a[2], ow, kw);
                const T *tap = w + f * channels * taps + (kd * a[1].kernel + kh) * a[2].kernel + kw;
                for (idx c = 0; c < channels; c++) sum += pixel[c * plane] * tap[c * taps];
              }
            }
          }
          *y++ = sum;
        }
      }
    }
  }
}

// The transposed convolution: y[n, groups * filters, a.in...] is the input of a convolution
// whose output is x[n, groups * channels, a.out...]; w is [groups * channels, filters, kernel...].
static void NAME(convtranspose)(T *restrict y, const T *restrict x, const T *restrict w,
                                const T *restrict bias, const nn_window *a, idx n, idx groups,
                                idx filters, idx channels) {
  const idx plane = a[0].in * a[1].in * a[2].in;
  const idx taps = a[0].kernel * a[1].kernel * a[2].kernel;
  for (idx i = 0; i < n * groups * filters * plane; i++) {
    y[i] = bias ? bias[i / plane % (groups * filters)] : 0;
  }
  for (idx i = 0; i < n * groups * channels; i++) {
    T *to = y + i / channels * filters * plane;
    const T *tap = w + i % (groups * channels) * filters * taps;
    for (idx od = 0; od < a[0].out; od++) {
      for (idx oh = 0; oh < a[1].out; oh++) {
        for (idx ow = 0; ow < a[2].out; ow++, x++) {
          for (idx kd = nn_tap_first(a[0], od); kd < nn_tap_last(a[0], od, a[0].in); kd++) {
            for (idx kh = nn_tap_first(a[1], oh); kh < nn_tap_last(a[1], oh, a[1].in); kh++) {
              for (idx kw = nn_tap_first(a[2], ow); kw < nn_tap_last(a[2], ow, a[2].in); kw++) {
                const idx row = nn_tap(a[0], od, kd) * a[1].in + nn_tap(a[1], oh, kh);
                const idx at = row * a[2].in + nn_tap(a[2], ow, kw);
                const idx k = (kd * a[1].kernel + kh) * a[2].kernel + kw;
                for (idx f = 0; f < filters; f++) to[f * plane + at] += *x * tap[f * taps + k];
              }
            }
          }
        }
      }
    }
  }
}
