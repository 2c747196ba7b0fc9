// y [outer, n, inner] repeats each of x [outer, ceil(n / block), inner] along a block.
static void NAME(spread)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner,
                         idx block) {
  const idx blocks = (n + block - 1) / block;
  for (idx o = 0; o < outer; o++, x += blocks * inner) {
    for (idx k = 0; k < n; k++, y += inner) {
      memcpy(y, x + k / block * inner, (size_t)inner * sizeof(T));
    }
  }
}
