// Shapes that depend on data. `dims` are the input's, `axes` as they were given: perhaps
// negative, in any order. The first functions give one dimension of the new shape, -1 where
// there is none.

// Reshape: in `wanted`, -1 is what the others leave, and 0 the input's size if it `copies`.
static i64 reshaped(i64 at, const i64 *wanted, idx count, const i64 *dims, idx rank, bool copies) {
  const i64 size = nn_bytes(1, dims, rank);
  i64 known = 1, result = 1;
  bool open = false;
  for (idx i = 0; i < count; i++) {
    const i64 dim = wanted[i] == 0 && copies ? (i < rank ? dims[i] : -2) : wanted[i];
    if (dim < -1 || dim > INT32_MAX || (dim == -1 && open)) return -1;
    if (dim == -1) open = true;
    if (dim != -1) known *= dim;
    if (known > INT32_MAX) return -1;
    if (i == at) result = dim;
  }
  if (!open) return known == size ? result : -1;
  if (known == 0 ? size != 0 : size % known != 0) return -1;
  return result == -1 ? nn_floordiv(size, known) : result;
}

static bool has_axis(i64 axis, i64 rank, const i64 *axes, idx count) {
  for (idx k = 0; k < count; k++) {
    if (axes[k] == axis || axes[k] + rank == axis) return true;
  }
  return false;
}

// Dimension `at` of the shape without `axes`; -1 where an axis is not there or not 1.
static i64 squeezed(i64 at, const i64 *dims, idx rank, const i64 *axes, idx count) {
  i64 result = 1;
  idx kept = 0;
  for (idx i = 0; i < rank; i++) {
    if (!has_axis(i, rank, axes, count)) {
      if (kept++ == at) result = dims[i];
    } else if (dims[i] != 1) {
      return -1;
    }
  }
  return kept == rank - count ? result : -1;
}

// Dimension `at` of the shape with a 1 at each of `axes`; -1 where an axis is outside or twice.
static i64 unsqueezed(i64 at, const i64 *dims, idx rank, const i64 *axes, idx count) {
  i64 result = 1;
  idx kept = 0;
  for (idx i = 0; i < rank + count; i++) {
    const bool is_new = has_axis(i, rank + count, axes, count);
    if (i == at) result = is_new ? 1 : kept < rank ? dims[kept] : -1;
    kept += !is_new;
  }
  return kept == rank ? result : -1;
}

// values[k] where axes[k] is `axis`, else `otherwise`.
static i64 picked(i64 axis, const i64 *axes, const i64 *values, idx count, idx rank,
                  i64 otherwise) {
  i64 result = otherwise;
  for (idx k = 0; k < count; k++) {
    if (axes[k] == axis || axes[k] + rank == axis) result = values[k];
  }
  return result;
}

// Slice: the first element along a dimension of `size`.
static i64 slice_first(i64 size, i64 start, i64 step) {
  const i64 first = start < 0 ? start + size : start;
  return step < 0 ? nn_min(nn_max(first, -1), size - 1) : nn_min(nn_max(first, 0), size);
}

// Slice: how many elements; -1 for a step of 0.
static i64 slice_count(i64 size, i64 start, i64 end, i64 step) {
  if (step == 0) return -1;
  const i64 first = slice_first(size, start, step), last = slice_first(size, end, step);
  return nn_max(0, nn_ceildiv(last - first, step));
}
