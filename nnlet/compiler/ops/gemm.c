// Stacks of matrix products in f32, packed: matmul of linear.c, which is their naive twin.
#include "gemm.h"

// Where matrix `p` of a stack starts, whose batch has `rank` dims.
static inline idx gemm_matrix_at(idx p, idx rank, const idx *dims, const idx *strides) {
  idx at = 0;
  for (idx r = rank; r-- > 0; p /= dims[r]) at += p % dims[r] * strides[r];
  return at;
}

// y[rows, n] = the epilogue of a, packed, and b. b is packed too, or `packed` is 0 and element
// (l, j) of b lies at l * bs[0] + j * bs[1]; then `block` is scratch for a part of it.
static void gemm_rows(f32 *y, idx ldy, const f32 *a, const f32 *b, const idx *bs,
                      const f32 *packed, f32 *block, idx rows, idx n, idx k, gemm_epilogue e) {
  const idx most = packed ? GEMM_STRIP : GEMM_BLOCK;
  for (idx j = 0, columns; j < n; j += columns) {
    columns = n - j < most ? n - j : most;
    const idx ldb = packed ? (columns + 3) & ~(idx)3 : GEMM_LDB(columns);
    idx k0 = 0, depth;
    do {
      depth = k - k0 < GEMM_DEPTH ? k - k0 : GEMM_DEPTH;
      const f32 *part = packed ? packed + j * k + k0 * ldb : block;
      if (!packed) gemm_pack(block, b + k0 * bs[0] + j * bs[1], bs[0], bs[1], depth, columns, ldb);
      gemm_columns(y + j, ldy, a, part, ldb, rows, columns, k, k0, depth,
                   gemm_part(e, y + j, k0 == 0, k0 + depth >= k));
      k0 += depth;
    } while (k0 < k);
    if (e.column) e.column += columns;
    if (e.add) e.add += columns;
  }
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

// y[m, n] = the epilogue of a[m, k] b[k, n], one matrix of each stack.
static void gemm_matrix(f32 *y, idx ldy, const f32 *a, const idx *as, const f32 *b, const idx *bs,
                        const f32 *packed, f32 *panels, f32 *block, idx m, idx n, idx k,
                        gemm_epilogue e) {
  const bool vectors = m < 4 && !packed && bs[1] == 1;
  const idx most = vectors ? 1 : GEMM_ROWS;
  for (idx i = 0; i < m; i += most, y += most * ldy, a += most * as[0]) {
    const idx rows = m - i < most ? m - i : most;
    if (vectors) {
      gemm_vector(y, a, as[1], b, bs[0], n, k, e);
    } else {
      gemm_pack_a(panels, a, as[0], as[1], rows, k);
      gemm_rows(y, ldy, panels, b, bs, packed, block, rows, n, k, e);
    }
    if (e.row) e.row += rows;
    if (e.add) e.add += rows * ldy;
  }
}

// y[batch..., m, n] = the epilogue of a[batch..., m, k] b[batch..., k, n]; dims and strides as
// in linear.c, except that columns of y are 1 apart. Constant b, the same for all of a batch,
// is packed; else `packed` is 0. `panels` is scratch for up to GEMM_ROWS rows of a, `block` for
// a part of b that is not packed.
static void gemm(f32 *y, const f32 *a, const f32 *b, idx rank, const idx *dims,
                 const idx *y_strides, const idx *a_strides, const idx *b_strides,
                 const f32 *packed, f32 *panels, f32 *block, gemm_epilogue e) {
  idx batch = 1;
  for (idx r = 0; r < rank; r++) batch *= dims[r];
  for (idx p = 0; p < batch; p++) {
    const idx at = gemm_matrix_at(p, rank, dims, y_strides);
    gemm_epilogue here = e;
    if (e.add) here.add += at;
    gemm_matrix(y + at, y_strides[rank], a + gemm_matrix_at(p, rank, dims, a_strides),
                a_strides + rank, packed ? 0 : b + gemm_matrix_at(p, rank, dims, b_strides),
                b_strides + rank, packed, panels, block, dims[rank], dims[rank + 1],
                dims[rank + 2], here);
  }
}
