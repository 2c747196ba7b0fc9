// y[batch, outer, n, inner] = update[batch, outer, m, inner] from row places[batch] on (0
// without places), behind the last row from the first again if circular. False where the update
// does not fit.
static bool NAME(tensor_scatter)(T *restrict y, const T *restrict update, const U *places,
                                 idx batch, idx outer, idx n, idx m, idx inner, bool circular) {
  if (m > n) return false;
  for (idx b = 0; b < batch; b++) {
    const i64 place = places ? (i64)places[b] : 0;
    if (!circular && (place < 0 || place > n - m)) return false;
    const idx first = (idx)nn_mod(place, nn_max(n, 1));
    const idx before = first + m <= n ? m : n - first;  // rows before the end is reached
    for (idx o = 0; o < outer; o++, y += n * inner, update += m * inner) {
      memcpy(y + first * inner, update, before * inner * sizeof(T));
      memcpy(y, update + before * inner, (m - before) * inner * sizeof(T));
    }
  }
  return true;
}
