// y and x are [outer, n, inner]; every kernel works along the middle axis. Where inner is 1
// that is a row, and its loops are SIMD; else each column of inner is taken for itself.
#include "rows.h"

#ifndef SOFTMAX_TILE
#define SOFTMAX_TILE 64  // columns that are taken together: what is known of them fits the cache
#endif

static T NAME(highest_of)(const T *x, idx n, idx inner) {
  T highest = LOWEST(T);
  for (idx k = 0; k < n; k++) highest = x[k * inner] > highest ? x[k * inner] : highest;
  return highest;
}

// y = exp(x - max x) / sum exp(x - max x)
static void NAME(softmax_naive)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner) {
  for (idx o = 0; o < outer; o++) {
    for (idx i = 0; i < inner; i++) {
      const T *from = x + o * n * inner + i;
      T *to = y + o * n * inner + i;
      const T highest = NAME(highest_of)(from, n, inner);
      T sum = 0;
      for (idx k = 0; k < n; k++) sum += to[k * inner] = EXP(T)(from[k * inner] - highest);
      for (idx k = 0; k < n; k++) to[k * inner] /= sum;
    }
  }
}

// y = x - max x - log sum exp(x - max x)
static void NAME(logsoftmax_naive)(T *restrict y, const T *restrict x, idx outer, idx n,
                                   idx inner) {
  for (idx o = 0; o < outer; o++) {
    for (idx i = 0; i < inner; i++) {
      const T *from = x + o * n * inner + i;
      T *to = y + o * n * inner + i;
      const T highest = NAME(highest_of)(from, n, inner);
      T sum = 0;
      for (idx k = 0; k < n; k++) sum += EXP(T)(from[k * inner] - highest);
      const T log_sum = LOG(T)(sum);
      for (idx k = 0; k < n; k++) to[k * inner] = from[k * inner] - highest - log_sum;
    }
  }
}

static void NAME(softmax_row)(T *restrict y, const T *restrict x, idx n) {
  const T highest = ROW_HIGHEST(T, k, n, x[k]);
  for (idx k = 0; k < n; k++) y[k] = EXP(T)(x[k] - highest);
  const T scale = 1 / ROW_SUM(T, k, n, y[k]);
  for (idx k = 0; k < n; k++) y[k] *= scale;
}

static void NAME(logsoftmax_row)(T *restrict y, const T *restrict x, idx n) {
  const T highest = ROW_HIGHEST(T, k, n, x[k]);
  const T log_sum = LOG(T)(ROW_SUM(T, k, n, EXP(T)(x[k] - highest)));
  for (idx k = 0; k < n; k++) y[k] = x[k] - highest - log_sum;
}

// For each of `width` columns of x [n, inner]: its highest, and the sum of exp(x - highest).
static void NAME(column_sums)(T *restrict highest, T *restrict sum, const T *restrict x, idx n,
                              idx inner, idx width) {
  for (idx i = 0; i < width; i++) {
    highest[i] = LOWEST(T);
    sum[i] = 0;
  }
  for (idx k = 0; k < n; k++) {
    const T *row = x + k * inner;
    for (idx i = 0; i < width; i++) highest[i] = row[i] > highest[i] ? row[i] : highest[i];
  }
  for (idx k = 0; k < n; k++) {
    const T *row = x + k * inner;
    for (idx i = 0; i < width; i++) sum[i] += EXP(T)(row[i] - highest[i]);
  }
}

static void NAME(softmax)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner) {
  T highest[SOFTMAX_TILE], sum[SOFTMAX_TILE];
  for (idx o = 0; o < outer; o++, x += n * inner, y += n * inner) {
    if (inner == 1) {
      NAME(softmax_row)(y, x, n);
      continue;
    }
    for (idx from = 0; from < inner; from += SOFTMAX_TILE) {
      const idx width = inner - from < SOFTMAX_TILE ? inner - from : SOFTMAX_TILE;
      NAME(column_sums)(highest, sum, x + from, n, inner, width);
      for (idx i = 0; i < width; i++) sum[i] = 1 / sum[i];
      for (idx k = 0; k < n; k++) {
        const T *row = x + k * inner + from;
        T *to = y + k * inner + from;
        for (idx i = 0; i < width; i++) to[i] = EXP(T)(row[i] - highest[i]) * sum[i];
      }
    }
  }
}

static void NAME(logsoftmax)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner) {
  T highest[SOFTMAX_TILE], sum[SOFTMAX_TILE];
  for (idx o = 0; o < outer; o++, x += n * inner, y += n * inner) {
    if (inner == 1) {
      NAME(logsoftmax_row)(y, x, n);
      continue;
    }
    for (idx from = 0; from < inner; from += SOFTMAX_TILE) {
      const idx width = inner - from < SOFTMAX_TILE ? inner - from : SOFTMAX_TILE;
      NAME(column_sums)(highest, sum, x + from, n, inner, width);
      for (idx i = 0; i < width; i++) sum[i] = LOG(T)(sum[i]);
      for (idx k = 0; k < n; k++) {
        const T *row = x + k * inner + from;
        T *to = y + k * inner + from;
        for (idx i = 0; i < width; i++) to[i] = row[i] - highest[i] - sum[i];
      }
    }
  }
}

// y[outer, inner] = log sum exp x
static void NAME(logsumexp)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner) {
  T highest[SOFTMAX_TILE], sum[SOFTMAX_TILE];
  for (idx o = 0; o < outer; o++, x += n * inner, y += inner) {
    for (idx from = 0; from < inner; from += SOFTMAX_TILE) {
      const idx width = inner - from < SOFTMAX_TILE ? inner - from : SOFTMAX_TILE;
      NAME(column_sums)(highest, sum, x + from, n, inner, width);
      for (idx i = 0; i < width; i++) {
        // An infinite maximum is the answer: x - highest has none there.
        const bool infinite = highest[i] - highest[i] != 0;
        y[from + i] = infinite ? highest[i] : highest[i] + LOG(T)(sum[i]);
      }
    }
  }
}

// y = 1 at the first of the highest, else 0
static void NAME(hardmax)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner) {
  for (idx o = 0; o < outer; o++) {
    for (idx i = 0; i < inner; i++) {
      const T *from = x + o * n * inner + i;
      T *to = y + o * n * inner + i;
      idx best = 0;
      for (idx k = 0; k < n; k++) {
        if (from[k * inner] > from[best * inner]) best = k;
        to[k * inner] = 0;
      }
      if (n > 0) to[best * inner] = 1;
    }
  }
}
