// y[out...] = 0 but x[i] at indices[i], which count in a tensor of dims `from`; what lies
// outside of y is dropped. Returns whether every index is inside that tensor.
static bool NAME(maxunpool)(T *restrict y, const T *restrict x, const i64 *restrict indices,
                            idx count, idx rank, const idx *from, const idx *out) {
  idx total = 1, size = 1;
  for (idx r = 0; r < rank; r++) total *= from[r], size *= out[r];
  memset(y, 0, (size_t)size * sizeof *y);
  for (idx i = 0; i < count; i++) {
    if (indices[i] < 0 || indices[i] >= total) return false;
    idx rest = (idx)indices[i], at = 0, step = 1;
    bool inside = true;
    for (idx r = rank; r-- > 0; rest /= from[r], step *= out[r]) {
      inside &= rest % from[r] < out[r];
      at += rest % from[r] * step;
    }
    if (inside) y[at] = x[i];
  }
  return true;
}
