// Rows and elements by index. Indices may count from the end; kernels give the place of the
// first index that is outside, -1 where there is none.

// An index counted from the front, -1 where it is outside.
static inline idx NAME(place)(U index, idx n) {
  const i64 at = (i64)index < 0 ? (i64)index + n : (i64)index;
  return at >= 0 && at < n ? (idx)at : -1;
}

// y[outer, count, inner] = x[outer, n, inner] at the indices
static idx NAME(gather)(T *restrict y, const T *restrict x, const U *restrict indices, idx outer,
                        idx n, idx count, idx inner) {
  for (idx k = 0; k < count; k++) {
    if (NAME(place)(indices[k], n) < 0) return k;
  }
  for (idx o = 0; o < outer; o++, x += n * inner) {
    for (idx k = 0; k < count; k++, y += inner) {
      const T *row = x + NAME(place)(indices[k], n) * inner;
      if (inner == 1) *y = *row;
      else memcpy(y, row, inner * sizeof(T));
    }
  }
  return -1;
}

// y[i, j, ...] = x[indices[i, j, ...], j, ...], where the index counts along an axis of n,
// `axis_step` apart. A loop is three numbers: its size, its step in y and in indices, its step
// in x. `at` is the place in y and indices.
static idx NAME(gather_elements)(T *restrict y, const T *restrict x, const U *restrict indices,
                                 idx rank, const idx *loops, idx n, idx axis_step, idx at) {
  if (rank == 0) {
    const idx k = NAME(place)(indices[at], n);
    if (k < 0) return at;
    y[at] = x[k * axis_step];
    return -1;
  }
  idx bad = -1;
  for (idx i = 0; i < loops[0] && bad < 0; i++, at += loops[1], x += loops[2]) {
    bad = NAME(gather_elements)(y, x, indices, rank - 1, loops + 3, n, axis_step, at);
  }
  return bad;
}

// y[batch, count, inner]: for each tuple of `depth` indices the row of x[batch, dims, inner].
static idx NAME(gather_nd)(T *restrict y, const T *restrict x, const U *restrict indices,
                           idx batches, idx count, idx depth, const idx *dims, idx rows,
                           idx inner) {
  for (idx b = 0; b < batches; b++, x += rows * inner) {
    for (idx k = 0; k < count; k++, y += inner) {
      idx row = 0;
      for (idx j = 0; j < depth; j++) {
        const idx at = (b * count + k) * depth + j;
        const idx place = NAME(place)(indices[at], dims[j]);
        if (place < 0) return at;
        row = row * dims[j] + place;
      }
      memcpy(y, x + row * inner, inner * sizeof(T));
    }
  }
  return -1;
}

// y[outer, depth, inner] = values[1] at the index, else values[0]. An index outside is nowhere.
static void NAME(one_hot)(T *restrict y, const U *restrict indices, const T *restrict values,
                          idx outer, idx depth, idx inner) {
  const T off = values[0], on = values[1];
  for (idx i = 0; i < outer * depth * inner; i++) y[i] = off;
  for (idx o = 0; o < outer; o++) {
    for (idx i = 0; i < inner; i++) {
      const U given = indices[o * inner + i];
      const i64 index = IS_FLOAT(U) ? nn_to_i64((f64)given) : (i64)given;
      const i64 at = index < 0 ? index + depth : index;
      if (at >= 0 && at < depth) y[(o * depth + (idx)at) * inner + i] = on;
    }
  }
}
