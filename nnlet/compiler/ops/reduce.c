// Reductions: y is [outer, inner], x is [outer, n, inner], folded along its middle axis.
//
// U is T, or its unsigned twin for integers whose sums wrap. The inlined functions take how to
// fold as `kind`, a constant in every call, so that each loop has one way through.
#include "rows.h"

#ifndef REDUCE_KINDS
#define REDUCE_KINDS
enum { FOLD_SUM, FOLD_ABS, FOLD_SQUARES, FOLD_PRODUCT, FOLD_HIGHEST, FOLD_LOWEST };
#define FOLD_INLINE static inline __attribute__((always_inline))
#define REDUCE_TILE 64   // columns that are folded side by side: their sums stay in the cache
#define REDUCE_ROWS 256  // then a new sum begins, as in rows.h
#endif

FOLD_INLINE U NAME(start)(int kind) {
  if (kind == FOLD_HIGHEST) return LOWEST(U);
  if (kind == FOLD_LOWEST) return HIGHEST(U);
  return kind == FOLD_PRODUCT;
}

FOLD_INLINE U NAME(term)(T x, int kind) {
  if (kind == FOLD_ABS) return x < 0 ? -(U)x : (U)x;
  return kind == FOLD_SQUARES ? (U)x * (U)x : (U)x;
}

// Among extremes a NaN wins.
FOLD_INLINE U NAME(joined)(U a, U b, int kind) {
  if (kind == FOLD_HIGHEST) return ((b > a) | (b != b)) ? b : a;
  if (kind == FOLD_LOWEST) return ((b < a) | (b != b)) ? b : a;
  return kind == FOLD_PRODUCT ? a * b : a + b;
}

FOLD_INLINE void NAME(fold_rows)(T *restrict y, const T *restrict x, idx outer, idx n, int kind) {
  for (idx o = 0; o < outer; o++, x += n) {
    y[o] = (T)ROW_FOLD(U, NAME(start)(kind), i, n, NAME(term)(x[i], kind),
                       NAME(joined)(so_far, next, kind));
  }
}

FOLD_INLINE void NAME(fold_columns)(T *restrict y, const T *restrict x, idx n, idx inner,
                                    int kind) {
  for (idx from = 0; from < inner; from += REDUCE_TILE) {
    const idx width = inner - from < REDUCE_TILE ? inner - from : REDUCE_TILE;
    U all[REDUCE_TILE], part[REDUCE_TILE];
    for (idx j = 0; j < width; j++) all[j] = part[j] = NAME(start)(kind);
    for (idx k = 0; k < n; k++) {
      const T *row = x + k * inner + from;
      for (idx j = 0; j < width; j++) {
        part[j] = NAME(joined)(part[j], NAME(term)(row[j], kind), kind);
      }
      if (k % REDUCE_ROWS != REDUCE_ROWS - 1 && k != n - 1) continue;
      for (idx j = 0; j < width; j++) {
        all[j] = NAME(joined)(all[j], part[j], kind);
        part[j] = NAME(start)(kind);
      }
    }
    for (idx j = 0; j < width; j++) y[from + j] = (T)all[j];
  }
}

FOLD_INLINE void NAME(fold)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner,
                            int kind) {
  if (inner == 1) {
    NAME(fold_rows)(y, x, outer, n, kind);
    return;
  }
  for (idx o = 0; o < outer; o++) {
    NAME(fold_columns)(y + o * inner, x + o * n * inner, n, inner, kind);
  }
}

static void NAME(sum)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner) {
  NAME(fold)(y, x, outer, n, inner, FOLD_SUM);
}

static void NAME(sum_abs)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner) {
  NAME(fold)(y, x, outer, n, inner, FOLD_ABS);
}

static void NAME(sum_squares)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner) {
  NAME(fold)(y, x, outer, n, inner, FOLD_SQUARES);
}

static void NAME(product)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner) {
  NAME(fold)(y, x, outer, n, inner, FOLD_PRODUCT);
}

static void NAME(highest)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner) {
  NAME(fold)(y, x, outer, n, inner, FOLD_HIGHEST);
}

static void NAME(lowest)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner) {
  NAME(fold)(y, x, outer, n, inner, FOLD_LOWEST);
}
