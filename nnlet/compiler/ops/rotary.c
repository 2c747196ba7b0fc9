// y = x with pairs of its first `turned` elements of every head and position turned by the angle
// whose cosine and sine are in row positions[batch, length] (or b * length + i without them) of
// cosines and sines [rows, turned / 2]. x and y have the strides of a batch entry, a head and a
// position; a pair is `apart` elements apart. False where a position has no row.
static bool NAME(rotate)(T *restrict y, const T *restrict x, const T *restrict cosines,
                         const T *restrict sines, const i64 *restrict positions, idx rows,
                         idx batch, idx heads, idx length, idx size, idx turned,
                         bool interleaved, const idx *strides) {
  const idx half = turned / 2, apart = interleaved ? 1 : half, next = interleaved ? 2 : 1;
  for (idx at = 0; at < batch * length; at++) {
    const i64 row = positions ? positions[at] : at;
    if (row < 0 || row >= rows) return false;
    const T *c = cosines + row * half, *s = sines + row * half;
    for (idx h = 0; h < heads; h++) {
      const idx start = at / length * strides[0] + h * strides[1] + at % length * strides[2];
      const T *from = x + start;
      T *to = y + start;
      for (idx i = 0; i < half; i++) {
        const T real = from[i * next], imaginary = from[i * next + apart];
        to[i * next] = c[i] * real - s[i] * imaginary;
        to[i * next + apart] = s[i] * real + c[i] * imaginary;
      }
      memcpy(to + turned, from + turned, (size - turned) * sizeof(T));
    }
  }
  return true;
}
