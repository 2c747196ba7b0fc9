// y[batch] = the determinants of x[batch, n, n], by Gauss's elimination in `work` [n, n].
static void NAME(det)(T *restrict y, const T *restrict x, T *restrict work, idx batch, idx n) {
  for (idx p = 0; p < batch; p++) {
    memcpy(work, x + p * n * n, (size_t)(n * n) * sizeof *work);
    T result = 1;
    for (idx c = 0; c < n; c++) {
      idx pivot = c;  // the row with the largest element: keeps rounding small
      for (idx r = c + 1; r < n; r++) {
        if (ABS(T)(work[r * n + c]) > ABS(T)(work[pivot * n + c])) pivot = r;
      }
      for (idx l = c; l < n && pivot != c; l++) {
        const T swapped = work[c * n + l];
        work[c * n + l] = work[pivot * n + l];
        work[pivot * n + l] = swapped;
      }
      const T head = work[c * n + c];
      result *= pivot == c ? head : -head;
      if (head == 0) break;
      for (idx r = c + 1; r < n; r++) {
        const T factor = work[r * n + c] / head;
        for (idx l = c; l < n; l++) work[r * n + l] -= factor * work[c * n + l];
      }
    }
    y[p] = result;
  }
}
