// Matrix products, straight from their definition.

// Where matrix `p` of a stack starts, whose batch has `rank` dims.
static idx NAME(matrix_at)(idx p, idx rank, const idx *dims, const idx *strides) {
  idx at = 0;
  for (idx r = rank; r-- > 0; p /= dims[r]) at += p % dims[r] * strides[r];
  return at;
}

// y[batch..., m, n] = a[batch..., m, k] b[batch..., k, n]. dims are (batch..., m, n, k), a batch
// of `rank` dims; the strides of each tensor are (batch..., row, column).
static void NAME(matmul)(T *restrict y, const T *restrict a, const T *restrict b, idx rank,
                         const idx *dims, const idx *y_strides, const idx *a_strides,
                         const idx *b_strides) {
  const idx m = dims[rank], n = dims[rank + 1], k = dims[rank + 2];
  const idx *ys = y_strides + rank, *as = a_strides + rank, *bs = b_strides + rank;
  idx batch = 1;
  for (idx r = 0; r < rank; r++) batch *= dims[r];
  for (idx p = 0; p < batch; p++) {
    T *to = y + NAME(matrix_at)(p, rank, dims, y_strides);
    const T *left = a + NAME(matrix_at)(p, rank, dims, a_strides);
    const T *right = b + NAME(matrix_at)(p, rank, dims, b_strides);
    for (idx i = 0; i < m; i++) {
      for (idx j = 0; j < n; j++) {
        T sum = 0;
        for (idx l = 0; l < k; l++) {
          sum += left[i * as[0] + l * as[1]] * right[l * bs[0] + j * bs[1]];
        }
        to[i * ys[0] + j * ys[1]] = sum;
      }
    }
  }
}
