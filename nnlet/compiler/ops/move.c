// y and x are [outer, rows, columns]; elements below the diagonal become 0.
static void NAME(triu)(T *restrict y, const T *restrict x, idx outer, idx rows, idx columns,
                       i64 diagonal) {
  for (idx o = 0; o < outer; o++) {
    for (idx i = 0; i < rows; i++) {
      for (idx j = 0; j < columns; j++, x++, y++) *y = j - i >= diagonal ? *x : 0;
    }
  }
}

// The same for those above.
static void NAME(tril)(T *restrict y, const T *restrict x, idx outer, idx rows, idx columns,
                       i64 diagonal) {
  for (idx o = 0; o < outer; o++) {
    for (idx i = 0; i < rows; i++) {
      for (idx j = 0; j < columns; j++, x++, y++) *y = j - i <= diagonal ? *x : 0;
    }
  }
}
