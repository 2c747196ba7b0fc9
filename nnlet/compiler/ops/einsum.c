// Moves an index, the last dimension fastest; returns how far its element moves.
static idx NAME(advance)(idx *at, idx rank, const idx *dims, const idx *strides) {
  idx moved = 0;
  for (idx r = rank; r-- > 0;) {
    moved += strides[r];
    if (++at[r] < dims[r]) break;
    moved -= dims[r] * strides[r];
    at[r] = 0;
  }
  return moved;
}

// y[outer...] = the sum over inner... of x, read at the sum of indices times strides: a
// transposition, a diagonal and a reduction in one. dims and strides are (outer..., inner...),
// 64 at most.
static void NAME(gather_sum)(T *restrict y, const T *restrict x, idx outer, idx inner,
                             const idx *dims, const idx *strides) {
  idx at[64] = {0};
  idx count = 1, terms = 1;
  for (idx r = 0; r < outer; r++) count *= dims[r];
  for (idx r = outer; r < outer + inner; r++) terms *= dims[r];
  for (idx i = 0; i < count; i++) {
    T sum = 0;
    for (idx j = 0; j < terms; j++) {
      sum += *x;
      x += NAME(advance)(at + outer, inner, dims + outer, strides + outer);
    }
    y[i] = sum;
    x += NAME(advance)(at, outer, dims, strides);
  }
}
