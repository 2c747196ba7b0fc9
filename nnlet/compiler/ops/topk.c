// The k first of n elements in order: largest or smallest first, equal ones by index, NaN above
// every number. A line of elements or indices lies `step` apart.

// Whether element i of x comes before element j.
static inline bool NAME(precedes)(const T *x, i64 i, i64 j, idx step, bool largest) {
  const T a = x[(idx)i * step], b = x[(idx)j * step];
  const bool a_above = a > b || (a != a && b == b), b_above = b > a || (b != b && a == a);
  return a_above != b_above ? a_above == largest : i < j;
}

// Puts `index` into a heap of n whose root at `at` is free: the last in order is on top.
static void NAME(sift)(i64 *heap, idx at, idx n, i64 index, const T *x, idx step, bool largest) {
  for (idx child = 2 * at + 1; child < n; child = 2 * at + 1) {
    if (child + 1 < n &&
        NAME(precedes)(x, heap[child * step], heap[(child + 1) * step], step, largest)) {
      child++;
    }
    if (!NAME(precedes)(x, index, heap[child * step], step, largest)) break;
    heap[at * step] = heap[child * step];
    at = child;
  }
  heap[at * step] = index;
}

// A heap of the best k so far; then, from the end, the worst of the rest.
static void NAME(topk_line)(T *restrict values, i64 *restrict indices, const T *restrict x, idx n,
                            idx k, idx step, bool largest) {
  if (k == 0) return;
  for (idx i = 0; i < k; i++) indices[i * step] = i;
  for (idx at = k / 2; at-- > 0;) {
    NAME(sift)(indices, at, k, indices[at * step], x, step, largest);
  }
  for (idx i = k; i < n; i++) {
    if (NAME(precedes)(x, i, indices[0], step, largest)) {
      NAME(sift)(indices, 0, k, i, x, step, largest);
    }
  }
  for (idx end = k - 1; end > 0; end--) {
    const i64 moved = indices[end * step];
    indices[end * step] = indices[0];
    NAME(sift)(indices, 0, end, moved, x, step, largest);
  }
  for (idx i = 0; i < k; i++) values[i * step] = x[(idx)indices[i * step] * step];
}

// values and indices are [outer, k, inner], x is [outer, n, inner]
static void NAME(topk)(T *restrict values, i64 *restrict indices, const T *restrict x, idx outer,
                       idx n, idx k, idx inner, bool largest) {
  for (idx o = 0; o < outer; o++) {
    for (idx i = 0; i < inner; i++) {
      const idx to = o * k * inner + i;
      NAME(topk_line)(values + to, indices + to, x + o * n * inner + i, n, k, inner, largest);
    }
  }
}
