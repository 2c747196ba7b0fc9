// y[batch, count, rank] = theta[batch, rank, rank + 1] times (place, 1), for each place of an
// image of `dims`; the numbers of a place count the dimensions from the last, from -1 to 1.
static void NAME(affine_grid)(T *restrict y, const T *restrict theta, idx batch, idx count,
                              idx rank, const idx *dims, bool align_corners) {
  for (idx n = 0; n < batch; n++, theta += rank * (rank + 1)) {
    for (idx i = 0; i < count; i++, y += rank) {
      for (idx row = 0; row < rank; row++) y[row] = theta[row * (rank + 1) + rank];
      for (idx column = 0, rest = i; column < rank; column++) {
        const idx size = dims[rank - 1 - column], at = rest % size;
        const T place = align_corners ? (size > 1 ? (T)(2 * at) / (T)(size - 1) - 1 : 0)
                                      : (T)(2 * at + 1) / (T)size - 1;
        for (idx row = 0; row < rank; row++) y[row] += theta[row * (rank + 1) + column] * place;
        rest /= size;
      }
    }
  }
}
