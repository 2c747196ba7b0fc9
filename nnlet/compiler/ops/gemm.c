// Stacks of matrix products in f32, packed: matmul of linear.c, which is its naive twin.
#include "gemm.h"

// Where matrix `p` of a stack starts, whose batch has `rank` dims.
static inline idx gemm_matrix_at(idx p, idx rank, const idx *dims, const idx *strides) {
  idx at = 0;
  for (idx r = rank; r-- > 0; p /= dims[r]) at += p % dims[r] * strides[r];
  return at;
}

// y[rows, n] = the epilogue of a packed in `panels` and b. b is packed, or `packed` is 0 and
// element (l, j) of b lies at l * bs[0] + j * bs[1]; then `strip` is scratch for a part of it.
static void gemm_rows(f32 *y, idx ldy, const f32 *panels, const f32 *b, const idx *bs,
                      const f32 *packed, f32 *strip, idx rows, idx n, idx k, gemm_epilogue e) {
  for (idx j = 0; j < n; j += GEMM_STRIP) {
    const idx columns = n - j < GEMM_STRIP ? n - j : GEMM_STRIP;
    const idx width = (columns + 3) & ~(idx)3;
    idx k0 = 0, depth;
    do {
      depth = k - k0 < GEMM_DEPTH ? k - k0 : GEMM_DEPTH;
      if (!packed) gemm_pack(strip, b + k0 * bs[0] + j * bs[1], bs[0], bs[1], depth, columns, width);
      const f32 *part = packed ? packed + j * k + k0 * width : strip;
      gemm_strip(y + j, ldy, panels, part, width, rows, columns, k, k0, depth,
                 gemm_part(e, y + j, k0 == 0, k0 + depth >= k));
      k0 += depth;
    } while (k0 < k);
    if (e.column) e.column += columns;
    if (e.add) e.add += columns;
  }
}

// y[batch..., m, n] = the epilogue of a[batch..., m, k] b[batch..., k, n]; dims and strides as
// in linear.c, except that columns of y are 1 apart. Constant b, the same for all of a batch,
// is packed; else `packed` is 0. `panels` is scratch for up to 128 rows of a, `strip` for a
// part of b.
static void gemm(f32 *y, const f32 *a, const f32 *b, idx rank, const idx *dims,
                 const idx *y_strides, const idx *a_strides, const idx *b_strides,
                 const f32 *packed, f32 *panels, f32 *strip, gemm_epilogue e) {
  const idx m = dims[rank], n = dims[rank + 1], k = dims[rank + 2], ldy = y_strides[rank];
  const idx *as = a_strides + rank, *bs = b_strides + rank;
  idx batch = 1;
  for (idx r = 0; r < rank; r++) batch *= dims[r];
  for (idx p = 0; p < batch; p++) {
    const idx at = gemm_matrix_at(p, rank, dims, y_strides);
    const f32 *left = a + gemm_matrix_at(p, rank, dims, a_strides);
    const f32 *right = packed ? 0 : b + gemm_matrix_at(p, rank, dims, b_strides);
    for (idx i = 0; i < m; i += GEMM_ROWS) {
      const idx rows = m - i < GEMM_ROWS ? m - i : GEMM_ROWS;
      gemm_pack_a(panels, left + i * as[0], as[0], as[1], rows, k);
      gemm_epilogue here = e;
      if (e.row) here.row += i;
      if (e.add) here.add += at + i * ldy;
      gemm_rows(y + at + i * ldy, ldy, panels, right, bs, packed, strip, rows, n, k, here);
    }
  }
}
