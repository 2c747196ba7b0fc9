static idx NAME(nonzero_count)(const T *x, idx n) {
  idx count = 0;
  for (idx i = 0; i < n; i++) count += x[i] != 0;
  return count;
}

// y[rank, count] = the indices of the elements of x (n in all, of shape dims) that are not 0
static void NAME(nonzero)(i64 *restrict y, const T *restrict x, idx n, idx count, idx rank,
                          const idx *dims) {
  for (idx i = 0, found = 0; i < n; i++) {
    if (x[i] == 0) continue;
    idx rest = i;
    for (idx axis = rank - 1; axis >= 0; axis--) {
      y[axis * count + found] = rest % dims[axis];
      rest /= dims[axis];
    }
    found++;
  }
}
