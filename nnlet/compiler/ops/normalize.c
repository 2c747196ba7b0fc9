// Normalizations of floating-point tensors.
#include "rows.h"

// y = (x - mean x) / sqrt(var x + epsilon) * scale + bias over each of `outer` rows of n.
// scale and bias are [n]; mean, and inverse of the deviation, are [outer]. x and y apart, each
// may be 0, bias with scale.
static void NAME(layernorm)(T *restrict y, T *restrict mean, T *restrict inverse,
                            const T *restrict x, const T *restrict scale, const T *restrict bias,
                            idx outer, idx n, T epsilon) {
  for (idx o = 0; o < outer; o++, x += n, y += n) {
    const T m = ROW_SUM(T, i, n, x[i]) / (T)n;
    const T variance = ROW_SUM(T, i, n, (x[i] - m) * (x[i] - m)) / (T)n;
    const T by = 1 / SQRT(T)(variance + epsilon);
    if (!scale) {
      for (idx i = 0; i < n; i++) y[i] = (x[i] - m) * by;
    } else if (!bias) {
      for (idx i = 0; i < n; i++) y[i] = (x[i] - m) * by * scale[i];
    } else {
      for (idx i = 0; i < n; i++) y[i] = (x[i] - m) * by * scale[i] + bias[i];
    }
    if (mean) mean[o] = m;
    if (inverse) inverse[o] = by;
  }
}

// y = x / sqrt(mean x^2 + epsilon) * scale over each of `outer` rows of n; scale is [n], or 0.
static void NAME(rmsnorm)(T *restrict y, const T *restrict x, const T *restrict scale, idx outer,
                          idx n, T epsilon) {
  for (idx o = 0; o < outer; o++, x += n, y += n) {
    const T by = 1 / SQRT(T)(ROW_SUM(T, i, n, x[i] * x[i]) / (T)n + epsilon);
    if (scale) {
      for (idx i = 0; i < n; i++) y[i] = x[i] * by * scale[i];
    } else {
      for (idx i = 0; i < n; i++) y[i] = x[i] * by;
    }
  }
}

// y and x are [batch, groups, channels, inner]; mean and variance are of a group. scale and
// bias are [groups, channels].
static void NAME(groupnorm)(T *restrict y, const T *restrict x, const T *restrict scale,
                            const T *restrict bias, idx batch, idx groups, idx channels,
                            idx inner, T epsilon) {
  const idx n = channels * inner;
  for (idx row = 0; row < batch * groups; row++) {
    const T m = ROW_SUM(T, i, n, x[i]) / (T)n;
    const T variance = ROW_SUM(T, i, n, (x[i] - m) * (x[i] - m)) / (T)n;
    const T by = 1 / SQRT(T)(variance + epsilon);
    for (idx c = 0; c < channels; c++, x += inner, y += inner) {
      const idx at = row % groups * channels + c;
      const T factor = by * scale[at], offset = bias[at];
      for (idx i = 0; i < inner; i++) y[i] = (x[i] - m) * factor + offset;
    }
  }
}

// y = x / norm, where norm is sum |x| (p = 1) or sqrt(sum x^2) (p = 2) along the middle axis of
// [outer, n, inner]; 0 where it is 0.
static void NAME(lpnorm)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner, idx p) {
  for (idx o = 0; o < outer; o++) {
    for (idx i = 0; i < inner; i++) {
      const T *from = x + o * n * inner + i;
      T *to = y + o * n * inner + i;
      T sum = 0;
      for (idx k = 0; k < n; k++) {
        const T v = from[k * inner];
        sum += p == 1 ? ABS(T)(v) : v * v;
      }
      const T norm = p == 1 ? sum : SQRT(T)(sum);
      for (idx k = 0; k < n; k++) to[k * inner] = norm == 0 ? 0 : from[k * inner] / norm;
    }
  }
}

// y = x / (bias + alpha / size sum x^2)^beta on [batch, channels, inner]; the sum is over the
// `size` channels around each.
static void NAME(lrn)(T *restrict y, const T *restrict x, idx batch, idx channels, idx inner,
                      idx size, T alpha, T beta, T bias) {
  for (idx row = 0; row < batch * channels; row++) {
    const idx c = row % channels, first = c - (size - 1) / 2, last = c + size / 2;
    const T *middle = x + row * inner;
    T *to = y + row * inner;
    for (idx i = 0; i < inner; i++) to[i] = 0;
    for (idx k = first < 0 ? 0 : first; k <= last && k < channels; k++) {
      const T *from = middle + (k - c) * inner;
      for (idx i = 0; i < inner; i++) to[i] += from[i] * from[i];
    }
    for (idx i = 0; i < inner; i++) {
      to[i] = middle[i] * EXP(T)(-beta * LOG(T)(bias + alpha / (T)size * to[i]));
    }
  }
}
