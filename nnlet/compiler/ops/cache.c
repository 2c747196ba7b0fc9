// y[batch, heads, past + fresh, size] = old[batch, heads, past, size], then x, whose strides of
// a batch entry, a head and a position are given
static void NAME(join_cache)(T *restrict y, const T *restrict old, const T *restrict x, idx batch,
                             idx heads, idx past, idx fresh, idx size, const idx *strides) {
  for (idx head = 0; head < batch * heads; head++) {
    const T *from = x + head / heads * strides[0] + head % heads * strides[1];
    if (past) memcpy(y, old + head * past * size, past * size * sizeof(T));
    y += past * size;
    for (idx i = 0; i < fresh; i++, y += size) memcpy(y, from + i * strides[2], size * sizeof(T));
  }
}
