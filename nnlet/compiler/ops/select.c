// How many of the first n are chosen.
static idx NAME(compress_count)(const u8 *condition, idx n) {
  idx count = 0;
  for (idx i = 0; i < n; i++) count += condition[i] != 0;
  return count;
}

// y[outer, chosen, inner] = those of x[outer, n, inner] whose condition holds; the condition
// reaches to `limit`.
static void NAME(compress)(T *restrict y, const T *restrict x, const u8 *restrict condition,
                           idx limit, idx outer, idx n, idx inner) {
  for (idx o = 0; o < outer; o++) {
    for (idx k = 0; k < limit; k++) {
      if (!condition[k]) continue;
      memcpy(y, x + (o * n + k) * inner, inner * sizeof(T));
      y += inner;
    }
  }
}
