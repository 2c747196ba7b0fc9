// Where the elements of a resized axis come from. `n` is the new size, `size` the old one;
// coordinates and rounding count in the order of resize.py. Places are float32, as in
// onnxruntime, so that ties fall alike.

// The place in the old axis of element i of the new one.
static f32 NAME(resize_place)(idx i, idx n, idx size, f32 scale, f32 start, f32 end,
                              idx coordinates) {
  enum { HALF_PIXEL, PYTORCH_HALF_PIXEL, HALF_PIXEL_SYMMETRIC, ASYMMETRIC, ALIGN_CORNERS,
         TF_HALF_PIXEL_FOR_NN, TF_CROP_AND_RESIZE };
  const f32 at = (f32)i, last = (f32)(size - 1);
  switch (coordinates) {
    case PYTORCH_HALF_PIXEL: return n > 1 ? (at + 0.5f) / scale - 0.5f : 0;
    case HALF_PIXEL_SYMMETRIC: {
      const f32 adjustment = (f32)n / (scale * (f32)size);
      return (f32)size / 2 * (1 - adjustment) + (at + 0.5f) / scale - 0.5f;
    }
    case ASYMMETRIC: return at / scale;
    case ALIGN_CORNERS: return n > 1 ? at * last / (f32)(n - 1) : 0;
    case TF_HALF_PIXEL_FOR_NN: return (at + 0.5f) / scale;
    case TF_CROP_AND_RESIZE:
      return n > 1 ? start * last + at * (end - start) * last / (f32)(n - 1)
                   : 0.5f * (start + end) * last;
    default: return (at + 0.5f) / scale - 0.5f;
  }
}

// The element nearest to `place`.
static idx NAME(resize_round)(f32 place, idx size, f32 scale, idx rounding) {
  enum { PREFER_FLOOR, PREFER_CEIL, FLOOR, CEIL, SIMPLE };
  f32 at = floorf(place);
  if (rounding == PREFER_FLOOR) at = ceilf(place - 0.5f);
  if (rounding == PREFER_CEIL) at = floorf(place + 0.5f);
  if (rounding == CEIL || (rounding == SIMPLE && scale < 1)) at = ceilf(place);
  return (idx)nn_min(nn_max(nn_to_i64(at), 0), size - 1);
}

static void NAME(resize_nearest)(i32 *restrict table, idx n, idx size, f32 scale, f32 start,
                                 f32 end, idx coordinates, idx rounding) {
  for (idx i = 0; i < n; i++) {
    const f32 place = NAME(resize_place)(i, n, size, scale, start, end, coordinates);
    table[i] = (i32)NAME(resize_round)(place, size, scale, rounding);
  }
}

// How many elements a filter spans that is stretched by 1 / scale.
static idx NAME(resize_taps)(f32 scale, idx reach) {
  if (!(scale > 0)) return 2 * reach;
  const f32 narrow = scale < 1 ? scale : 1;
  return (idx)nn_min(-2 * nn_to_i64(floorf((f32)-reach / narrow)), (i64)1 << 30);
}

// The weight of an element `x` away from where it is looked for.
static T NAME(resize_weight)(T x, idx reach, T a) {
  x = x < 0 ? -x : x;
  if (reach == 1) return x < 1 ? 1 - x : 0;
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

// For each of n elements the `taps` elements that it is made of, and their weights. An index of
// -1 says that it lies outside the old axis (and `crops`, so that this shows). `reach` is 0
// (nearest), 1 (linear) or 2 (cubic with parameter a).
static void NAME(resize_weights)(i32 *restrict index, T *restrict weight, idx n, idx size,
                                 f32 scale, f32 start, f32 end, idx coordinates, idx rounding,
                                 idx taps, idx reach, f32 a, bool antialias, bool exclude_outside,
                                 bool crops) {
  const T narrow = antialias && scale < 1 ? scale : 1;
  for (idx i = 0; i < n; i++, index += taps, weight += taps) {
    const f32 place = NAME(resize_place)(i, n, size, scale, start, end, coordinates);
    // Further outside than any axis is long is far enough.
    const i64 whole = nn_min(nn_max(nn_to_i64(floorf(place)), -((i64)1 << 40)), (i64)1 << 40);
    const i64 base = reach ? whole + 1 - taps / 2
                           : NAME(resize_round)(place, size, scale, rounding);
    T sum = 0;
    for (idx k = 0; k < taps; k++) {
      const i64 at = base + k;
      index[k] = (i32)nn_min(nn_max(at, 0), size - 1);
      weight[k] = reach ? NAME(resize_weight)((T)((f32)at - place) * narrow, reach, a) : 1;
      if (exclude_outside && (at < 0 || at >= size)) weight[k] = 0;
      sum += weight[k];
    }
    const bool uneven = (antialias || exclude_outside) && sum != 0;
    for (idx k = 0; uneven && k < taps; k++) weight[k] /= sum;
    if (crops && (place < 0 || place > (f32)(size - 1))) index[0] = -1;
  }
}
