// Which of n slices of x[outer, n, inner] are equal.

// -1, 0 or 1 as slice i is before, equal to or behind slice j; NaN is behind every number.
static int NAME(compared)(const T *x, i64 i, i64 j, idx outer, idx n, idx inner) {
  for (idx o = 0; o < outer; o++) {
    const T *a = x + (o * n + (idx)i) * inner, *b = x + (o * n + (idx)j) * inner;
    for (idx k = 0; k < inner; k++) {
      if (a[k] < b[k] || (a[k] == a[k] && b[k] != b[k])) return -1;
      if (a[k] > b[k] || (a[k] != a[k] && b[k] == b[k])) return 1;
    }
  }
  return 0;
}

// Merges two sorted neighbours, from[low, middle) and from[middle, high), into `to`.
static void NAME(merge)(i64 *restrict to, const i64 *restrict from, idx low, idx middle, idx high,
                        const T *x, idx outer, idx n, idx inner) {
  for (idx a = low, b = middle, at = low; at < high; at++) {
    const bool left = b == high || (a < middle && NAME(compared)(x, from[a], from[b], outer, n,
                                                                 inner) <= 0);
    to[at] = left ? from[a++] : from[b++];
  }
}

// Merge sort of the slices' indices, equal ones by index. Gives order or other, whichever holds
// the result.
static i64 *NAME(sorted)(i64 *order, i64 *other, const T *x, idx outer, idx n, idx inner) {
  for (idx i = 0; i < n; i++) order[i] = i;
  for (idx width = 1; width < n; width *= 2) {
    for (idx low = 0; low < n; low += 2 * width) {
      const idx middle = low + width < n ? low + width : n;
      const idx high = middle + width < n ? middle + width : n;
      NAME(merge)(other, order, low, middle, high, x, outer, n, inner);
    }
    i64 *const swapped = order;
    order = other;
    other = swapped;
  }
  return order;
}

// inverse[i] = which unique slice slice i equals; the unique ones count in order of value, or
// of their first occurrence. Gives their number. `work` holds 2 n numbers.
static idx NAME(unique)(i64 *restrict inverse, i64 *restrict work, const T *restrict x, idx outer,
                        idx n, idx inner, bool by_value) {
  i64 *const order = NAME(sorted)(work, work + n, x, outer, n, inner);
  idx count = 0;
  for (idx k = 0; k < n; k++) {
    if (k && NAME(compared)(x, order[k - 1], order[k], outer, n, inner) != 0) count++;
    inverse[order[k]] = count;
  }
  if (n) count++;
  if (by_value) return count;
  i64 *const renamed = order == work ? work + n : work;
  for (idx k = 0; k < count; k++) renamed[k] = -1;
  for (idx i = 0, seen = 0; i < n; i++) {
    if (renamed[inverse[i]] < 0) renamed[inverse[i]] = seen++;
    inverse[i] = renamed[inverse[i]];
  }
  return count;
}

// y[outer, count, inner] = the unique slices; where each occurs first, and how often.
static void NAME(unique_fill)(T *restrict y, i64 *restrict first, i64 *restrict often,
                              const T *restrict x, const i64 *restrict inverse, idx count,
                              idx outer, idx n, idx inner) {
  memset(often, 0, count * sizeof *often);
  for (idx i = 0; i < n; i++) {
    const idx k = (idx)inverse[i];
    if (often[k]++ == 0) first[k] = i;
  }
  for (idx o = 0; o < outer; o++) {
    for (idx k = 0; k < count; k++) {
      memcpy(y + (o * count + k) * inner, x + (o * n + (idx)first[k]) * inner, inner * sizeof(T));
    }
  }
}
