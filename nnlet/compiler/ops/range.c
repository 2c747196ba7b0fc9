// How many numbers there are from `start` on in steps of `delta` before `limit`; -1 where delta
// is 0 or the answer no size.
static i64 NAME(range_count)(T start, T limit, T delta) {
  if (!(delta < 0 || delta > 0)) return -1;
  if (delta > 0 ? start >= limit : start <= limit) return 0;
  if (IS_FLOAT(T)) {
    const f64 count = __builtin_ceil(((f64)limit - (f64)start) / (f64)delta);
    return count < 0x1p31 ? nn_to_i64(count) : -1;
  }
  const u64 way = delta > 0 ? (u64)limit - (u64)start : (u64)start - (u64)limit;
  const u64 step = delta > 0 ? (u64)delta : 0 - (u64)delta;
  const u64 count = way / step + (way % step != 0);
  return count <= INT32_MAX ? (i64)count : -1;
}

static void NAME(range)(T *restrict y, idx n, T start, T delta) {
  for (idx i = 0; i < n; i++) y[i] = (T)(start + (T)i * delta);
}
