// y[i, ...] = x[tables[0][i], ...], a loop an axis: its size, its step in y, its step in x.
// Behind the last one come `inner` elements as they are.
static void NAME(take_plane)(T *restrict y, const T *restrict x, idx rank, const idx *loops,
                             const i32 *const *tables, idx inner) {
  const i32 *table = tables[0];
  const idx n = loops[0], to = loops[1], at = loops[2];
  if (rank == 1 && inner == 1 && table) {
    for (idx i = 0; i < n; i++) y[i] = x[table[i]];
  } else if (rank == 1 && !table) {
    memcpy(y, x, n * to * sizeof(T));
  } else {
    for (idx i = 0; i < n; i++) {
      if (table && i && table[i] == table[i - 1]) {
        memcpy(y + i * to, y + (i - 1) * to, to * sizeof(T));  // the same row again
      } else if (rank == 1) {
        memcpy(y + i * to, x + table[i] * at, inner * sizeof(T));
      } else {
        const idx from = table ? table[i] : i;
        NAME(take_plane)(y + i * to, x + from * at, rank - 1, loops + 3, tables + 1, inner);
      }
    }
  }
}

// The same `outer` times, `to` and `at` elements apart.
static void NAME(take)(T *restrict y, const T *restrict x, idx outer, idx to, idx at, idx rank,
                       const idx *loops, const i32 *const *tables, idx inner) {
  for (idx o = 0; o < outer; o++) {
    NAME(take_plane)(y + o * to, x + o * at, rank, loops, tables, inner);
  }
}
