// Samples of x at the places that a grid of U names, of any spatial rank.

// From -1 .. 1 to an index of `size` elements.
static inline U NAME(grid_place)(U at, idx size, bool align_corners) {
  return align_corners ? (at + 1) / 2 * (U)(size - 1) : ((at + 1) * (U)size - 1) / 2;
}

// Mirrored at the borders until it lies between them.
static inline U NAME(grid_mirrored)(U at, idx size, bool align_corners) {
  const U low = align_corners ? 0 : (U)-0.5, high = (U)(size - 1) - low;
  const U range = high - low;
  if (at >= low && at <= high) return at;
  if (!(range > 0)) return 0;
  const U over = at < low ? low - at : at - high;
  const i64 times = nn_to_i64(over / range);
  const U rest = over - (U)times * range;
  return (at < low) == (times % 2 == 0) ? low + rest : high - rest;
}

// The element that stands at `at`: an index, or -1 for a zero.
static inline idx NAME(grid_element)(i64 at, idx size, idx padding, bool align_corners) {
  if (at >= 0 && at < size) return (idx)at;
  if (padding == 0) return -1;
  if (padding == 2) at = nn_to_i64(NAME(grid_mirrored)((U)at, size, align_corners));
  return (idx)nn_min(nn_max(at, 0), size - 1);
}

// The weight of an element `x` away; reach is 1 (linear) or 2 (cubic, a = -0.75).
static inline U NAME(grid_weight)(U x, idx reach) {
  const U a = (U)-0.75;
  x = x < 0 ? -x : x;
  if (reach == 1) return 1 - x;
  return x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}

// The elements, at most 4, of one dimension that make up the sample at `at`, and their weights.
static void NAME(grid_taps)(idx *index, U *weight, U at, idx size, idx reach, idx padding,
                            bool align_corners) {
  U place = NAME(grid_place)(at, size, align_corners);
  if (reach == 0) place = (U)__builtin_rint((f64)place);
  const U low = align_corners ? 0 : (U)-0.5, high = (U)(size - 1) - low;
  // A cubic sample has its elements padded one by one, as in PyTorch and onnxruntime.
  if (reach < 2 && (place < low || place > high)) {
    if (padding == 1) place = place < 0 ? 0 : (U)(size - 1);
    if (padding == 2) place = NAME(grid_mirrored)(place, size, align_corners);
  }
  const i64 limit = (i64)1 << 30;
  const i64 floored = nn_to_i64((f64)(reach ? __builtin_floor((f64)place) : place));
  const i64 base = nn_min(nn_max(floored, -limit), limit);
  for (idx k = 0; k < (reach ? 2 * reach : 1); k++) {
    const i64 element = base + (reach ? k + 1 - reach : 0);
    index[k] = NAME(grid_element)(element, size, padding, align_corners);
    weight[k] = reach ? NAME(grid_weight)(place - (U)element, reach) : 1;
  }
}

// The weighted sum over the elements of all dimensions, the first of them here.
static U NAME(grid_sum)(const T *x, idx rank, const idx *dims, const idx *index, const U *weight,
                        idx taps, idx plane) {
  if (rank == 0) return (U)*x;
  const idx step = plane / dims[0];
  U sum = 0;
  for (idx k = 0; k < taps; k++) {
    if (index[k] < 0) continue;
    sum += weight[k] * NAME(grid_sum)(x + index[k] * step, rank - 1, dims + 1, index + 4,
                                      weight + 4, taps, step);
  }
  return sum;
}

// y[batch, channels, count] = x[batch, channels, dims] at grid[batch, count, rank], whose numbers
// count the dimensions from the last; reach is 0 (nearest), 1 (linear) or 2 (cubic).
static void NAME(grid_sample)(T *restrict y, const T *restrict x, const U *restrict grid,
                              idx batch, idx channels, idx count, idx rank, const idx *dims,
                              idx reach, idx padding, bool align_corners) {
  idx index[4 * rank], plane = 1;
  U weight[4 * rank];
  for (idx k = 0; k < rank; k++) plane *= dims[k];
  if (plane == 0) {
    memset(y, 0, batch * channels * count * sizeof(T));
    return;
  }
  for (idx n = 0; n < batch; n++, y += channels * count, x += channels * plane) {
    for (idx i = 0; i < count; i++, grid += rank) {
      for (idx k = 0; k < rank; k++) {
        NAME(grid_taps)(index + 4 * k, weight + 4 * k, grid[rank - 1 - k], dims[k], reach, padding,
                        align_corners);
      }
      for (idx c = 0; c < channels; c++) {
        y[c * count + i] = (T)NAME(grid_sum)(x + c * plane, rank, dims, index, weight,
                                             reach ? 2 * reach : 1, plane);
      }
    }
  }
}
