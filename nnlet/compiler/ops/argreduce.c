// y is [outer, inner], x is [outer, n, inner]: the index of the highest (or, with `lowest`, the
// lowest) along the middle axis; the first of equals, or the last with `last`. NaN wins.
static void NAME(argreduce)(i64 *restrict y, const T *restrict x, idx outer, idx n, idx inner,
                            bool lowest, bool last) {
  for (idx o = 0; o < outer; o++) {
    for (idx i = 0; i < inner; i++) {
      const T *from = x + o * n * inner + i;
      T best = n ? from[0] : 0;
      idx at = 0;
      for (idx k = 1; k < n; k++) {
        const T v = from[k * inner];
        const bool better = (lowest ? v < best : v > best) || (v != v && best == best);
        const bool equal = v == best || (v != v && best != best);
        if (better || (last && equal)) {
          best = v;
          at = k;
        }
      }
      y[o * inner + i] = at;
    }
  }
}
