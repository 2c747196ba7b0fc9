// Looking up keys of type T; U is the type of the values.

// The place of x among keys[count], ascending and NaN last; count where it is not there
static idx NAME(place_of)(T x, const T *keys, idx count) {
  if (x != x) return count && keys[count - 1] != keys[count - 1] ? count - 1 : count;
  idx low = 0, high = count;  // the first key that is not below x lies in here
  while (low < high) {
    const idx middle = low + (high - low) / 2;
    if (keys[middle] < x) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < count && keys[low] == x ? low : count;
}

// y[n] = the value of key x[n], or *fallback
static void NAME(encode)(U *restrict y, const T *restrict x, const T *restrict keys,
                         const U *restrict values, const U *restrict fallback, idx n, idx count) {
  for (idx i = 0; i < n; i++) {
    const idx place = NAME(place_of)(x[i], keys, count);
    y[i] = place < count ? values[place] : *fallback;
  }
}

// y[n, width] = 1 at the column of key x[n], else 0; false where a key is unknown
static bool NAME(one_hot)(U *restrict y, const T *restrict x, const T *restrict keys,
                          const i32 *restrict columns, idx n, idx count, idx width) {
  bool known = true;
  for (idx i = 0; i < n * width; i++) y[i] = 0;
  for (idx i = 0; i < n; i++) {
    const idx place = NAME(place_of)(x[i], keys, count);
    known &= place < count;
    if (place < count) y[i * width + columns[place]] = 1;
  }
  return known;
}
