// Stacks of matrix products in f32, packed: matmul of linear.c, which is their naive twin.
#include "gemm.h"

// Where matrix `p` of a stack starts, whose batch has `rank` dims.
static inline idx gemm_matrix_at(idx p, idx rank, const idx *dims, const idx *strides) {
  idx at = 0;
  for (idx r = rank; r-- > 0; p /= dims[r]) at += p % dims[r] * strides[r];
  return at;
}

// An epilogue for the rows from `row` on of a matrix, which start at y + at.
static inline gemm_epilogue gemm_from(gemm_epilogue e, idx row, idx at) {
  if (e.row) e.row += row;
  if (e.add) e.add += at;
  return e;
}

// y[n] = the epilogue of a[k] b[k, n], where elements of a are `step` and rows of b `ldb` apart.
// Packing b would take longer than this: each row is read once, front to back, four at a time.
static void gemm_vector(f32 *y, const f32 *a, idx step, const f32 *b, idx ldb, idx n, idx k,
                        gemm_epilogue e) {
  for (idx j = 0; j < n; j++) {
    y[j] = (e.row ? *e.row : 0) + (e.column ? e.column[j] : 0) + (e.add ? e.add[j] : 0);
  }
  idx l = 0;
  for (; l + 4 <= k; l += 4, a += 4 * step, b += 4 * ldb) {
    const f32 *b1 = b + ldb, *b2 = b1 + ldb, *b3 = b2 + ldb;
    const f32 a0 = a[0], a1 = a[step], a2 = a[2 * step], a3 = a[3 * step];
    idx j = 0;
    for (; j + 4 <= n; j += 4) {
      f32x4 sum = MADD(f32)(gemm_load(b + j), SPLAT(f32)(a0), gemm_load(y + j));
      sum = MADD(f32)(gemm_load(b1 + j), SPLAT(f32)(a1), sum);
      sum = MADD(f32)(gemm_load(b2 + j), SPLAT(f32)(a2), sum);
      gemm_store(y + j, MADD(f32)(gemm_load(b3 + j), SPLAT(f32)(a3), sum));
    }
    for (; j < n; j++) y[j] += a0 * b[j] + a1 * b1[j] + a2 * b2[j] + a3 * b3[j];
  }
  for (; l < k; l++, a += step, b += ldb) {
    for (idx j = 0; j < n; j++) y[j] += *a * b[j];
  }
  for (idx j = 0; j < n; j++) y[j] = y[j] < e.low ? e.low : y[j] > e.high ? e.high : y[j];
}

// y[batch..., m, n] = the epilogue of a[batch..., m, k] b[k, n]; dims and strides as in linear.c,
// except that columns of y are 1 apart, and that b is packed. `panels` is scratch for
// [GEMM_ROWS, k] of a.
static void gemm_packed(f32 *y, const f32 *a, const f32 *b, idx rank, const idx *dims,
                        const idx *y_strides, const idx *a_strides, f32 *panels,
                        gemm_epilogue e) {
  const idx m = dims[rank], n = dims[rank + 1], k = dims[rank + 2];
  const idx ldy = y_strides[rank], row = a_strides[rank], column = a_strides[rank + 1];
  idx batch = 1;
  for (idx r = 0; r < rank; r++) batch *= dims[r];
  for (idx p = 0; p < batch; p++) {
    const f32 *from = a + gemm_matrix_at(p, rank, dims, a_strides);
    for (idx i = 0; i < m; i += GEMM_ROWS) {
      const idx rows = m - i < GEMM_ROWS ? m - i : GEMM_ROWS;
      const idx at = gemm_matrix_at(p, rank, dims, y_strides) + i * ldy;
      const f32 *left = from + i * row;
      if (rows > 1 || column != 1) {  // else a row is its own panel
        gemm_pack_a(panels, left, row, column, rows, k);
        left = panels;
      }
      gemm_strips(y + at, ldy, left, b, rows, n, k, gemm_from(e, i, at));
    }
  }
}

// y[batch..., m, n] = the epilogue of a[batch..., m, k] b[batch..., k, n], as above, but b has
// strides. `block` is scratch for [GEMM_DEPTH, GEMM_BLOCK] of it.
static void gemm(f32 *y, const f32 *a, const f32 *b, idx rank, const idx *dims,
                 const idx *y_strides, const idx *a_strides, const idx *b_strides, f32 *panels,
                 f32 *block, gemm_epilogue e) {
  const idx m = dims[rank], n = dims[rank + 1], k = dims[rank + 2];
  const idx ldy = y_strides[rank], row = a_strides[rank], column = a_strides[rank + 1];
  const idx *bs = b_strides + rank;
  const bool vectors = m < 4 && bs[1] == 1;
  const idx most = vectors ? 1 : GEMM_ROWS;
  idx batch = 1;
  for (idx r = 0; r < rank; r++) batch *= dims[r];
  for (idx p = 0; p < batch; p++) {
    const f32 *right = b + gemm_matrix_at(p, rank, dims, b_strides);
    for (idx i = 0; i < m; i += most) {
      const idx rows = m - i < most ? m - i : most;
      const idx at = gemm_matrix_at(p, rank, dims, y_strides) + i * ldy;
      const f32 *left = a + gemm_matrix_at(p, rank, dims, a_strides) + i * row;
      if (vectors) {
        gemm_vector(y + at, left, column, right, bs[0], n, k, gemm_from(e, i, at));
      } else {
        gemm_pack_a(panels, left, row, column, rows, k);
        gemm_blocks(y + at, ldy, panels, right, bs, block, rows, n, k, gemm_from(e, i, at));
      }
    }
  }
}
