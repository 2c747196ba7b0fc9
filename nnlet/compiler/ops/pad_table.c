// table[i] = the element of `size` that stands at i in n, with `before` elements in front of
// the first: the nearest (mode 0), mirrored at the ends (1), or repeated from the start (2).
static void pad_table(i32 *table, idx n, idx size, idx before, idx mode) {
  for (idx i = 0; i < n; i++) {
    const i64 at = i - before;
    if (mode == 0) {
      table[i] = (i32)nn_min(nn_max(at, 0), size - 1);
    } else if (mode == 1) {
      const i64 folded = nn_mod(at, nn_max(2 * (size - 1), 1));
      table[i] = (i32)nn_min(folded, 2 * (size - 1) - folded);
    } else {
      table[i] = (i32)nn_mod(at, size);
    }
  }
}
