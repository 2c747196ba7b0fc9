// Elements and rows written by index. Indices may count from the end; kernels give the place of
// the first index that is outside, -1 where there is none.

static inline idx NAME(target)(U index, idx n) {
  const i64 at = (i64)index < 0 ? (i64)index + n : (i64)index;
  return at >= 0 && at < n ? (idx)at : -1;
}

// What is left of `old` where `new` is written; a NaN in either stays.
static inline T NAME(combined)(T old, T new, idx reduction) {
  switch (reduction) {
    case 1: return (T)(old + new);
    case 2: return (T)(old * new);
    case 3: return new < old || new != new ? new : old;
    case 4: return new > old || new != new ? new : old;
    default: return new;
  }
}

// y[indices[i, j, ...], j, ...] = updates[i, j, ...], where the index counts along an axis of n,
// `axis_step` apart. A loop is three numbers: its size, its step in indices and updates, its
// step in y. `at` is the place in indices and updates.
static idx NAME(scatter_elements)(T *restrict y, const U *restrict indices,
                                  const T *restrict updates, idx rank, const idx *loops, idx n,
                                  idx axis_step, idx at, idx reduction) {
  if (rank == 0) {
    const idx k = NAME(target)(indices[at], n);
    if (k < 0) return at;
    y[k * axis_step] = NAME(combined)(y[k * axis_step], updates[at], reduction);
    return -1;
  }
  idx bad = -1;
  for (idx i = 0; i < loops[0] && bad < 0; i++, at += loops[1], y += loops[2]) {
    bad = NAME(scatter_elements)(y, indices, updates, rank - 1, loops + 3, n, axis_step, at,
                                 reduction);
  }
  return bad;
}

// The row of y[dims, inner] that each tuple of `depth` indices names = updates[count, inner]
static idx NAME(scatter_nd)(T *restrict y, const U *restrict indices, const T *restrict updates,
                            idx count, idx depth, const idx *dims, idx inner, idx reduction) {
  for (idx k = 0; k < count; k++, updates += inner) {
    idx row = 0;
    for (idx j = 0; j < depth; j++) {
      const idx place = NAME(target)(indices[k * depth + j], dims[j]);
      if (place < 0) return k * depth + j;
      row = row * dims[j] + place;
    }
    for (idx i = 0; i < inner; i++) {
      y[row * inner + i] = NAME(combined)(y[row * inner + i], updates[i], reduction);
    }
  }
  return -1;
}
