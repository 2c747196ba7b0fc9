// Feature preparation of ai.onnx.ml. T is the type of the input.

// y[rows, n] = x / max x; a maximum of 0 divides by nothing
static void NAME(normalize_max)(f32 *restrict y, const T *restrict x, idx rows, idx n) {
  for (idx r = 0; r < rows; r++, x += n, y += n) {
    f32 highest = -0x1.fffffep127f;
    for (idx i = 0; i < n; i++) highest = (f32)x[i] > highest ? (f32)x[i] : highest;
    if (highest == 0) highest = 1;
    for (idx i = 0; i < n; i++) y[i] = (f32)x[i] / highest;
  }
}

// y[rows, n] = x / sum |x|
static void NAME(normalize_l1)(f32 *restrict y, const T *restrict x, idx rows, idx n) {
  for (idx r = 0; r < rows; r++, x += n, y += n) {
    f32 sum = 0;
    for (idx i = 0; i < n; i++) sum += (f32)(x[i] < 0 ? -x[i] : x[i]);
    if (sum == 0) sum = 1;
    for (idx i = 0; i < n; i++) y[i] = (f32)x[i] / sum;
  }
}

// y[rows, n] = x / sqrt(sum x^2)
static void NAME(normalize_l2)(f32 *restrict y, const T *restrict x, idx rows, idx n) {
  for (idx r = 0; r < rows; r++, x += n, y += n) {
    f32 sum = 0;
    for (idx i = 0; i < n; i++) sum += (f32)(x[i] * x[i]);
    if (sum == 0) sum = 1;
    for (idx i = 0; i < n; i++) {
      const f32 root = sqrtf((f32)(x[i] * x[i]) / sum);
      y[i] = x[i] < 0 ? -root : root;
    }
  }
}

// y[rows, total] from `start` on = the first `size` of x[rows, columns], 0 where it has fewer
static void NAME(place_columns)(f32 *restrict y, const T *restrict x, idx rows, idx columns,
                                idx size, idx start, idx total) {
  for (idx r = 0; r < rows; r++) {
    for (idx i = 0; i < size; i++) {
      y[r * total + start + i] = i < columns ? (f32)x[r * columns + i] : 0;
    }
  }
}

// y[rows, n] = x[rows, columns] at indices[n]; false where one is outside
static bool NAME(pick_columns)(T *restrict y, const T *restrict x, const i64 *restrict indices,
                               idx rows, idx columns, idx n) {
  for (idx i = 0; i < n; i++) {
    if (indices[i] < 0 || indices[i] >= columns) return false;
    for (idx r = 0; r < rows; r++) y[r * n + i] = x[r * columns + indices[i]];
  }
  return true;
}
