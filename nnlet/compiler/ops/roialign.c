// One dimension of a region: where it starts, how long a bin is, and its samples per bin.
typedef struct {
  T start, bin;
  i64 samples;
} NAME(roi_side);

static NAME(roi_side) NAME(roi_side_of)(T low, T high, T scale, idx bins, idx ratio, bool half) {
  const T start = low * scale - (T)(half ? 0.5 : 0), end = high * scale - (T)(half ? 0.5 : 0);
  const T length = half || end - start > 1 ? end - start : 1;
  const T bin = length / (T)bins;
  const bool finite = bin < (T)0x1p31;  // else there is nothing to sample
  const i64 samples = ratio > 0 ? ratio : finite ? nn_to_i64(__builtin_ceil((f64)bin)) : 0;
  return (NAME(roi_side)){start, bin, nn_max(samples, 0)};
}

static inline T NAME(roi_place)(NAME(roi_side) side, idx bin, i64 sample) {
  return side.start + (T)bin * side.bin + ((T)sample + (T)0.5) * side.bin / (T)side.samples;
}

// A sample that is not before the first on the image, so that a huge region costs nothing.
static i64 NAME(roi_first)(NAME(roi_side) side, idx bin) {
  if (!(side.bin > 0) || side.samples == 0) return 0;
  const f64 before = (-1 - ((f64)side.start + (f64)bin * side.bin)) / side.bin * (f64)side.samples;
  return nn_max(nn_to_i64(before) - 2, 0);
}

// The two elements between which a place from -1 to `size` lies, and the weight of the second.
static inline T NAME(roi_between)(T place, idx size, idx *low, idx *high) {
  if (place < 0) place = 0;
  *low = (idx)place;
  if (*low >= size - 1) {
    *low = *high = size - 1;
    return 0;
  }
  *high = *low + 1;
  return place - (T)*low;
}

// Adds (or takes the highest with) one sample of every channel; `first` starts afresh.
static void NAME(roi_sample)(T *restrict y, const T *restrict x, idx channels, idx y_step,
                             idx height, idx width, T row, T column, bool highest, bool first) {
  idx top, bottom, left, right;
  const T down = NAME(roi_between)(row, height, &top, &bottom);
  const T along = NAME(roi_between)(column, width, &left, &right);
  for (idx c = 0; c < channels; c++, y += y_step, x += height * width) {
    const T a = (1 - down) * (1 - along) * x[top * width + left];
    const T b = (1 - down) * along * x[top * width + right];
    const T d = down * (1 - along) * x[bottom * width + left];
    const T e = down * along * x[bottom * width + right];
    if (highest) {
      const T ab = a > b ? a : b, de = d > e ? d : e, best = ab > de ? ab : de;
      *y = first || best > *y ? best : *y;
    } else {
      *y = (first ? 0 : *y) + (a + b + d + e);
    }
  }
}

// One bin of every channel. Samples off the image count as 0.
static void NAME(roi_bin)(T *restrict y, const T *restrict x, idx channels, idx y_step, idx height,
                          idx width, NAME(roi_side) rows, NAME(roi_side) columns, idx bin_row,
                          idx bin_column, bool highest) {
  i64 inside = 0;
  for (idx c = 0; c < channels; c++) y[c * y_step] = 0;
  for (i64 i = NAME(roi_first)(rows, bin_row); i < rows.samples; i++) {
    const T row = NAME(roi_place)(rows, bin_row, i);
    if (row > (T)height && rows.bin > 0) break;
    if (!(row >= -1 && row <= (T)height)) continue;
    for (i64 j = NAME(roi_first)(columns, bin_column); j < columns.samples; j++) {
      const T column = NAME(roi_place)(columns, bin_column, j);
      if (column > (T)width && columns.bin > 0) break;
      if (!(column >= -1 && column <= (T)width)) continue;
      NAME(roi_sample)(y, x, channels, y_step, height, width, row, column, highest, inside++ == 0);
    }
  }
  const f64 count = (f64)rows.samples * (f64)columns.samples;
  for (idx c = 0; c < channels; c++) {
    T *const value = y + c * y_step;
    if (!highest) *value = (T)(*value / (count > 1 ? (T)count : 1));
    if (highest && (f64)inside < count && *value < 0) *value = 0;
  }
}

// y[n, channels, rows, columns] from x[batch, channels, height, width] at regions[n, 4], each of
// the image that batches[n] names. False where that is outside.
static bool NAME(roi_align)(T *restrict y, const T *restrict x, const T *restrict regions,
                            const U *restrict batches, idx n, idx batch, idx channels, idx height,
                            idx width, idx rows, idx columns, idx ratio, T scale, bool half,
                            bool highest) {
  const idx bins = rows * columns;
  for (idx r = 0; r < n; r++, y += channels * bins) {
    const T *const region = regions + 4 * r;
    if ((i64)batches[r] < 0 || (i64)batches[r] >= batch) return false;
    const T *const image = x + (idx)batches[r] * channels * height * width;
    const NAME(roi_side) down = NAME(roi_side_of)(region[1], region[3], scale, rows, ratio, half);
    const NAME(roi_side) across =
        NAME(roi_side_of)(region[0], region[2], scale, columns, ratio, half);
    for (idx b = 0; b < bins && height * width > 0; b++) {
      NAME(roi_bin)(y + b, image, channels, bins, height, width, down, across, b / columns,
                    b % columns, highest);
    }
  }
  return true;
}
