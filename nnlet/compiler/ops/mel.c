static inline f64 NAME(mel_of)(f64 hertz) { return 2595 * log10(1 + hertz / 700); }
static inline f64 NAME(hertz_of)(f64 mel) { return 700 * (pow(10, mel / 2595) - 1); }

// Triangles: column i of y[rows, bins] rises from point i to point i + 1 and falls to i + 2,
// where the points are equally far apart in mel.
static void NAME(mel_weight_matrix)(T *restrict y, idx rows, idx bins, i64 length, i64 rate,
                                    f64 low, f64 high) {
  const f64 first = NAME(mel_of)(low);
  const f64 step = (NAME(mel_of)(high) - first) / (f64)(bins + 2);
  memset(y, 0, rows * bins * sizeof(T));
  for (idx i = 0; i < bins; i++) {
    i64 point[3];
    for (idx k = 0; k < 3; k++) {
      const f64 hertz = NAME(hertz_of)(first + (f64)(i + k) * step);
      point[k] = nn_to_i64(__builtin_floor((f64)(length + 1) * hertz / (f64)rate));
    }
    const i64 end = nn_min(point[2], rows);
    for (i64 j = nn_max(point[0], 0); j < end; j++) {
      const f64 rise = (f64)(j - point[0]) / (f64)nn_max(point[1] - point[0], 1);
      const f64 fall = (f64)(point[2] - j) / (f64)nn_max(point[2] - point[1], 1);
      y[(idx)j * bins + i] = (T)(j < point[1] ? rise : fall);
    }
    if (point[1] >= 0 && point[1] < rows) y[(idx)point[1] * bins + i] = 1;
  }
}
