// Products of packed matrices in f32, y = a b: what MatMul, Gemm, Conv and others share.
//
// a [m, k] is packed in panels of 8 rows, what is left in panels of 4 and then of 1; each lies
// column by column, and the panel of row i starts at i * k. Constant b [k, n] is packed in
// strips of 16 columns, the last one as wide as what is left, filled up to a multiple of 4 with
// zeros; each lies row by row, and the strip of column j starts at j * k. Other b is copied block
// by block, row by row, just before it is used.
//
// The tile that a loop keeps in registers is 8 x 4 elements of y. dev/gemm/README.md has the
// other shapes that were tried, and why this one wins on 16 registers under Cranelift.
#ifndef NNLET_GEMM_H
#define NNLET_GEMM_H

#include "simd.h"

#define GEMM_STRIP 16         // columns of a strip: a cache line
#define GEMM_DEPTH 256        // of k at a time: strip (16 KB) and panel (8 KB) fit an L1 cache
#define GEMM_ROWS 128         // of a that are packed together, when they are packed in the run
#define GEMM_BLOCK (7 * 16)   // columns of a block, which fits an L2 cache (112 KB)

// How far apart rows of a block lie: an odd number of cache lines, so that they do not compete
// for the same places in the L1 cache.
#define GEMM_LDB(columns) ((((columns) + 15) / 16 | 1) * 16)

// What no model of a component needs of an epilogue is left out of its code, and where models are
// small, so is speed that takes much code: emit.py says so.
#ifndef GEMM_ROW
#define GEMM_ROW 1
#endif
#ifndef GEMM_COLUMN
#define GEMM_COLUMN 1
#endif
#ifndef GEMM_ADD
#define GEMM_ADD 1
#endif
#ifndef GEMM_SMALL
#define GEMM_SMALL 0
#endif

typedef VEC(f32) f32x4;

// y = min(max(a b + row + column + add, low), high). `row` has m elements, `column` n, and
// `add` lies as y does; each may be 0.
typedef struct {
  const f32 *row, *column, *add;
  f32 low, high;
} gemm_epilogue;

#define GEMM_PLAIN ((gemm_epilogue){.low = -__builtin_inff(), .high = __builtin_inff()})

static inline f32x4 gemm_load(const f32 *p) { return *(const f32x4 *)p; }
static inline void gemm_store(f32 *p, f32x4 v) { *(f32x4 *)p = v; }

// to[0..3] += a[0..3] b: one column of a with 4 rows times one row of b with 4 columns. The
// broadcast element is the first factor: Cranelift overwrites that one, and it is not needed
// again, so nothing is copied.
#define GEMM_OUTER(to, a, b)                                                        \
  do {                                                                              \
    (to)[0] = MADD(f32)(__builtin_shufflevector(a, a, 0, 0, 0, 0), (b), (to)[0]);   \
    (to)[1] = MADD(f32)(__builtin_shufflevector(a, a, 1, 1, 1, 1), (b), (to)[1]);   \
    (to)[2] = MADD(f32)(__builtin_shufflevector(a, a, 2, 2, 2, 2), (b), (to)[2]);   \
    (to)[3] = MADD(f32)(__builtin_shufflevector(a, a, 3, 3, 3, 3), (b), (to)[3]);   \
  } while (0)

// acc[8] += a[8, k] b[k, 4], where rows of b are `ldb` apart.
static inline void gemm_tile8(f32x4 *acc, const f32 *a, const f32 *b, idx ldb, idx k) {
  for (; !GEMM_SMALL && k >= 2; k -= 2, a += 16, b += 2 * ldb) {
    NN_OPAQUE(a);
    const f32x4 b0 = gemm_load(b), b1 = gemm_load(b + ldb);
    const f32x4 low0 = gemm_load(a), high0 = gemm_load(a + 4);
    const f32x4 low1 = gemm_load(a + 8), high1 = gemm_load(a + 12);
    GEMM_OUTER(acc, low0, b0);
    GEMM_OUTER(acc + 4, high0, b0);
    GEMM_OUTER(acc, low1, b1);
    GEMM_OUTER(acc + 4, high1, b1);
  }
  for (; k > 0; k--, a += 8, b += ldb) {
    const f32x4 b0 = gemm_load(b), low = gemm_load(a), high = gemm_load(a + 4);
    GEMM_OUTER(acc, low, b0);
    GEMM_OUTER(acc + 4, high, b0);
  }
}

// acc[4] += a[4, k] b[k, 4]. Odd columns of a have sums of their own: 8 independent chains.
static inline void gemm_tile4(f32x4 *acc, const f32 *a, const f32 *b, idx ldb, idx k) {
  f32x4 odd[4] = {0};
  for (; !GEMM_SMALL && k >= 2; k -= 2, a += 8, b += 2 * ldb) {
    NN_OPAQUE(a);
    const f32x4 b0 = gemm_load(b), b1 = gemm_load(b + ldb);
    const f32x4 a0 = gemm_load(a), a1 = gemm_load(a + 4);
    GEMM_OUTER(acc, a0, b0);
    GEMM_OUTER(odd, a1, b1);
  }
  for (; k > 0; k--, a += 4, b += ldb) {
    const f32x4 b0 = gemm_load(b), a0 = gemm_load(a);
    GEMM_OUTER(acc, a0, b0);
  }
  for (int i = 0; i < 4 && !GEMM_SMALL; i++) acc[i] += odd[i];
}

// acc[1] += a[1, k] b[k, 4]. Every fourth column of a has a sum of its own.
static inline void gemm_tile1(f32x4 *acc, const f32 *a, const f32 *b, idx ldb, idx k) {
  f32x4 sums[4] = {0};
  for (; k >= 4; k -= 4, a += 4, b += 4 * ldb) {
    const f32x4 a0 = gemm_load(a);
    for (int i = 0; i < 4; i++) {
      sums[i] = MADD(f32)(SPLAT(f32)(a0[i]), gemm_load(b + i * ldb), sums[i]);
    }
  }
  for (; k > 0; k--, a++, b += ldb) sums[0] = MADD(f32)(SPLAT(f32)(*a), gemm_load(b), sums[0]);
  acc[0] += (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// The first `count` of 4 elements, and zeros.
static inline f32x4 gemm_load_some(const f32 *p, idx count) {
  if (count >= 4) return gemm_load(p);
  f32x4 v = {0};
  for (idx i = 0; i < count; i++) v[i] = p[i];
  return v;
}

static inline void gemm_store_some(f32 *p, f32x4 v, idx count) {
  if (count >= 4) return gemm_store(p, v);
  for (idx i = 0; i < count; i++) p[i] = v[i];
}

// min(max(v, low), high); a NaN stays.
static inline f32x4 gemm_limit(f32x4 v, f32x4 low, f32x4 high) {
#ifdef __wasm_simd128__
  return __builtin_wasm_pmin_f32x4(__builtin_wasm_pmax_f32x4(v, low), high);
#else
  for (int i = 0; i < 4; i++) {
    v[i] = v[i] < low[i] ? low[i] : v[i];
    v[i] = v[i] > high[i] ? high[i] : v[i];
  }
  return v;
#endif
}

// Stores the first `count` of 4 columns from j on of `rows` rows: y[rows, columns] = the epilogue
// of `acc`. As one function with loops it is 10 % slower where k is below 64.
#if GEMM_SMALL
static __attribute__((noinline))
#else
static inline __attribute__((always_inline))
#endif
void gemm_end(const int rows, f32 *y, idx ldy, f32x4 *acc, idx j, idx count,
              const gemm_epilogue *e) {
  const f32x4 low = SPLAT(f32)(e->low), high = SPLAT(f32)(e->high);
  if (GEMM_ROW && e->row) {
#pragma unroll
    for (int i = 0; i < rows; i++) acc[i] += SPLAT(f32)(e->row[i]);
  }
  if (GEMM_COLUMN && e->column) {
    const f32x4 column = gemm_load_some(e->column + j, count);
#pragma unroll
    for (int i = 0; i < rows; i++) acc[i] += column;
  }
  f32 *to = y + j;
  const f32 *add = GEMM_ADD && e->add ? e->add + j : 0;
  if (count >= 4 && !GEMM_SMALL) {
#pragma unroll
    for (int i = 0; i < rows; i++) {
      const f32x4 v = add ? acc[i] + gemm_load(add + i * ldy) : acc[i];
      gemm_store(to + i * ldy, gemm_limit(v, low, high));
    }
  } else {
#pragma nounroll
    for (int i = 0; i < rows; i++) {
      const f32x4 v = add ? acc[i] + gemm_load_some(add + i * ldy, count) : acc[i];
      gemm_store_some(to + i * ldy, gemm_limit(v, low, high), count);
    }
  }
}

// y[rows, columns] = the epilogue of a[rows, k] b[k, columns], where `rows` is constant: one
// panel of a times some columns of b.
static inline __attribute__((always_inline)) void gemm_panel(
    const int rows, f32 *y, idx ldy, const f32 *a, const f32 *b, idx ldb, idx columns, idx k,
    const gemm_epilogue *e) {
  for (idx j = 0; j < columns; j += 4) {
    f32x4 acc[8] = {0};
    if (rows == 8) gemm_tile8(acc, a, b + j, ldb, k);
    if (rows == 4) gemm_tile4(acc, a, b + j, ldb, k);
    if (rows == 1) gemm_tile1(acc, a, b + j, ldb, k);
    gemm_end(rows, y, ldy, acc, j, columns - j, e);
  }
}

// y[m, columns] = the epilogue of a[m, k0 .. k0 + depth] b, where b is [depth, columns], rows of
// it are `ldb` apart, and a is packed for all of `k`. Behind the columns of b there is something
// up to a multiple of 4.
static void gemm_columns(f32 *y, idx ldy, const f32 *a, const f32 *b, idx ldb, idx m, idx columns,
                         idx k, idx k0, idx depth, gemm_epilogue e) {
  for (idx i = 0, rows; i < m; i += rows) {
    rows = m - i >= 8 ? 8 : m - i >= 4 ? 4 : 1;
    const f32 *panel = a + i * k + rows * k0;
    if (rows == 8) gemm_panel(8, y, ldy, panel, b, ldb, columns, depth, &e);
    if (rows == 4) gemm_panel(4, y, ldy, panel, b, ldb, columns, depth, &e);
    if (rows == 1) gemm_panel(1, y, ldy, panel, b, ldb, columns, depth, &e);
    y += rows * ldy;
    if (e.row) e.row += rows;
    if (e.add) e.add += rows * ldy;
  }
}

// The part of an epilogue for k from k0 on: the first part of the sum brings what is added,
// the others add to y, and the last one limits.
static inline gemm_epilogue gemm_part(gemm_epilogue e, const f32 *y, bool first, bool last) {
  gemm_epilogue part = GEMM_PLAIN;
  if (first) part = e;
  else part.add = y;
  part.low = last ? e.low : -__builtin_inff();
  part.high = last ? e.high : __builtin_inff();
  return part;
}

// y[rows, n] = the epilogue of a[rows, k], packed, and b[k, n], packed.
static void gemm_strips(f32 *y, idx ldy, const f32 *a, const f32 *b, idx rows, idx n, idx k,
                        gemm_epilogue e) {
  for (idx j = 0, columns; j < n; j += columns) {
    columns = n - j < GEMM_STRIP ? n - j : GEMM_STRIP;
    const idx ldb = (columns + 3) & ~(idx)3;
    idx k0 = 0, depth;
    do {
      depth = k - k0 < GEMM_DEPTH ? k - k0 : GEMM_DEPTH;
      gemm_columns(y + j, ldy, a, b + j * k + k0 * ldb, ldb, rows, columns, k, k0, depth,
                   gemm_part(e, y + j, k0 == 0, k0 + depth == k));
      k0 += depth;
    } while (k0 < k);
    if (e.column) e.column += columns;
    if (e.add) e.add += columns;
  }
}

// Four rows of four become four columns.
static inline void gemm_transpose(f32x4 r[4]) {
  const f32x4 p0 = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
  const f32x4 p1 = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
  const f32x4 p2 = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
  const f32x4 p3 = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
  r[0] = __builtin_shufflevector(p0, p1, 0, 1, 4, 5);
  r[1] = __builtin_shufflevector(p0, p1, 2, 3, 6, 7);
  r[2] = __builtin_shufflevector(p2, p3, 0, 1, 4, 5);
  r[3] = __builtin_shufflevector(p2, p3, 2, 3, 6, 7);
}

// to[depth, count] = x[depth, count], with zeros up to a multiple of 4 columns if `width` has room
// for them: a panel of a or columns of b. Element (l, c) of x lies at l * major + c * minor, rows
// of `to` are `width` apart.
static void gemm_pack(f32 *to, const f32 *x, idx major, idx minor, idx depth, idx count,
                      idx width) {
  const idx whole = count & ~(idx)3, padded = (count + 3) & ~(idx)3;
  idx l = 0, tail = 0;  // in rows before `l`, only columns from `tail` on are missing
  if (GEMM_SMALL) {
    // one loop for all
  } else if (minor == 1) {
    for (; l < depth; l++) {
      for (idx c = 0; c < whole; c += 4) {
        gemm_store(to + l * width + c, gemm_load(x + l * major + c));
      }
    }
    tail = whole;
  } else if (major == 1) {
    for (; l + 4 <= depth; l += 4) {
      for (idx c = 0; c < whole; c += 4) {
        const f32 *from = x + l + c * minor;
        f32x4 r[4];
        for (int i = 0; i < 4; i++) r[i] = gemm_load(from + i * minor);
        gemm_transpose(r);
        for (int i = 0; i < 4; i++) gemm_store(to + (l + i) * width + c, r[i]);
      }
    }
    tail = whole;
  }
  for (idx r = 0; r < depth; r++) {
    for (idx c = r < l ? tail : 0; c < padded && c < width; c++) {
      to[r * width + c] = c < count ? x[r * major + c * minor] : 0;
    }
  }
}

// Packs a[m, k], whose element (i, l) lies at i * row + l * column.
static inline void gemm_pack_a(f32 *to, const f32 *a, idx row, idx column, idx m, idx k) {
  for (idx i = 0, rows; i < m; i += rows) {
    rows = m - i >= 8 ? 8 : m - i >= 4 ? 4 : 1;
    gemm_pack(to + i * k, a + i * row, column, row, k, rows, rows);
  }
}

// gemm_strips for b whose element (l, j) lies at l * bs[0] + j * bs[1]. `block` is scratch for
// [GEMM_DEPTH, GEMM_BLOCK] of it.
static void gemm_blocks(f32 *y, idx ldy, const f32 *a, const f32 *b, const idx *bs, f32 *block,
                        idx rows, idx n, idx k, gemm_epilogue e) {
  for (idx j = 0, columns; j < n; j += columns) {
    columns = n - j < GEMM_BLOCK ? n - j : GEMM_BLOCK;
    const idx ldb = GEMM_LDB(columns);
    idx k0 = 0, depth;
    do {
      depth = k - k0 < GEMM_DEPTH ? k - k0 : GEMM_DEPTH;
      gemm_pack(block, b + k0 * bs[0] + j * bs[1], bs[0], bs[1], depth, columns, ldb);
      gemm_columns(y + j, ldy, a, block, ldb, rows, columns, k, k0, depth,
                   gemm_part(e, y + j, k0 == 0, k0 + depth == k));
      k0 += depth;
    } while (k0 < k);
    if (e.column) e.column += columns;
    if (e.add) e.add += columns;
  }
}

#endif
