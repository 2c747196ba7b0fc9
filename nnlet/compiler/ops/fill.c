// y = `value` everywhere, zeros where it is null.
static void NAME(fill)(T *restrict y, idx n, const T *value) {
  if (!value) memset(y, 0, n * sizeof(T));
  for (idx i = 0; value && i < n; i++) y[i] = *value;
}

// y[rows, columns] = `one` where column - row is `diagonal`, else 0.
static void NAME(eye)(T *restrict y, idx rows, idx columns, idx diagonal, const T *one) {
  memset(y, 0, rows * columns * sizeof(T));
  for (idx i = 0; i < rows; i++) {
    const idx j = i + diagonal;
    if (j >= 0 && j < columns) y[i * columns + j] = *one;
  }
}
