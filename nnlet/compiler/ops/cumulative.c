// y and x are [outer, n, inner]; element k is made of those up to k (before it if exclusive),
// or of those from k on (behind it) if reverse.

static void NAME(cumsum)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner,
                         bool exclusive, bool reverse) {
  for (idx o = 0; o < outer; o++) {
    for (idx i = 0; i < inner; i++) {
      T sum = 0;
      for (idx k = 0; k < n; k++) {
        const idx at = (o * n + (reverse ? n - 1 - k : k)) * inner + i;
        if (exclusive) y[at] = sum;
        sum = (T)(sum + x[at]);
        if (!exclusive) y[at] = sum;
      }
    }
  }
}

static void NAME(cumprod)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner,
                          bool exclusive, bool reverse) {
  for (idx o = 0; o < outer; o++) {
    for (idx i = 0; i < inner; i++) {
      T product = 1;
      for (idx k = 0; k < n; k++) {
        const idx at = (o * n + (reverse ? n - 1 - k : k)) * inner + i;
        if (exclusive) y[at] = product;
        product = (T)(1u * product * x[at]);  // 1u: a u16 would become a signed int
        if (!exclusive) y[at] = product;
      }
    }
  }
}
