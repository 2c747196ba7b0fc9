// One axis of a resize: sums of a few elements each, `index` and `weight` say which. T is what
// comes out, U what goes in, V the type of weights and sums.

static inline T NAME(resize_store)(V value) {
  if (IS_FLOAT(T)) return (T)value;
  const V rounded = (V)__builtin_rint((f64)value);
  return rounded >= (V)HIGHEST(T) ? HIGHEST(T) : rounded <= (V)LOWEST(T) ? LOWEST(T) : (T)rounded;
}

// y[i] = the sum over taps of weight[i, tap] * x[index[i, tap]]
static void NAME(resize_line)(T *restrict y, const U *restrict x, const i32 *restrict index,
                              const V *restrict weight, idx taps, idx n) {
  if (taps == 2) {
    for (idx i = 0; i < n; i++, index += 2, weight += 2) {
      y[i] = NAME(resize_store)(weight[0] * x[index[0]] + weight[1] * x[index[1]]);
    }
    return;
  }
  for (idx i = 0; i < n; i++, index += taps, weight += taps) {
    V sum = 0;
    for (idx t = 0; t < taps; t++) sum += weight[t] * x[index[t]];
    y[i] = NAME(resize_store)(sum);
  }
}

// y[inner] = the sum over taps of weight[tap] * x[index[tap], inner]
static void NAME(resize_row)(T *restrict y, const U *restrict x, const i32 *restrict index,
                             const V *restrict w, idx taps, idx inner) {
  const U *const a = x + index[0] * inner, *const b = x + index[taps > 1 ? 1 : 0] * inner;
  if (taps == 2) {
    for (idx k = 0; k < inner; k++) y[k] = NAME(resize_store)(w[0] * a[k] + w[1] * b[k]);
  } else if (taps == 4) {
    const U *const c = x + index[2] * inner, *const d = x + index[3] * inner;
    for (idx k = 0; k < inner; k++) {
      y[k] = NAME(resize_store)(w[0] * a[k] + w[1] * b[k] + w[2] * c[k] + w[3] * d[k]);
    }
  } else {
    for (idx k = 0; k < inner; k++) {
      V sum = 0;
      for (idx t = 0; t < taps; t++) sum += w[t] * x[index[t] * inner + k];
      y[k] = NAME(resize_store)(sum);
    }
  }
}

// y[outer, n, inner] from x[outer, size, inner]
static void NAME(resize_axis)(T *restrict y, const U *restrict x, const i32 *restrict index,
                              const V *restrict weight, idx taps, idx outer, idx n, idx size,
                              idx inner) {
  for (idx o = 0; o < outer; o++, x += size * inner) {
    if (inner == 1) {
      NAME(resize_line)(y, x, index, weight, taps, n);
      y += n;
      continue;
    }
    for (idx i = 0; i < n; i++, y += inner) {
      NAME(resize_row)(y, x, index + i * taps, weight + i * taps, taps, inner);
    }
  }
}

// The same; where the first index is -1, `outside` stands instead.
static void NAME(resize_cropped)(T *restrict y, const U *restrict x, const i32 *restrict index,
                                 const V *restrict weight, idx taps, idx outer, idx n, idx size,
                                 idx inner, f32 outside) {
  for (idx o = 0; o < outer; o++, x += size * inner) {
    for (idx i = 0; i < n; i++, y += inner) {
      if (index[i * taps] < 0) {
        for (idx k = 0; k < inner; k++) y[k] = NAME(resize_store)(outside);
      } else {
        NAME(resize_row)(y, x, index + i * taps, weight + i * taps, taps, inner);
      }
    }
  }
}
