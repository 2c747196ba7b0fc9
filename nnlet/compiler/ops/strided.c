// Copies between two layouts. A loop is three numbers: its size, its step in y, its step in x.

static void NAME(copy_run)(T *restrict y, const T *restrict x, idx n, idx to, idx at) {
  if (to == 1 && at == 1) {
    memcpy(y, x, n * sizeof(T));
  } else if (to == 1 && at == 0) {
    for (idx i = 0; i < n; i++) y[i] = x[0];
  } else {
    for (idx i = 0; i < n; i++) y[i * to] = x[i * at];
  }
}

// y[i * to + j] = x[j * at + i] for i < n, j < m
static void NAME(turn_naive)(T *restrict y, const T *restrict x, idx n, idx m, idx to, idx at) {
  for (idx i = 0; i < n; i++) {
    for (idx j = 0; j < m; j++) y[i * to + j] = x[j * at + i];
  }
}

// 4 x 4 elements of 4 bytes, in registers.
static void NAME(turn_4x4)(u32 *restrict y, const u32 *restrict x, idx to, idx at) {
  typedef u32 quad __attribute__((vector_size(16), aligned(4)));
  const quad a = *(const quad *)x, b = *(const quad *)(x + at);
  const quad c = *(const quad *)(x + 2 * at), d = *(const quad *)(x + 3 * at);
  const quad ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const quad ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const quad cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const quad cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  *(quad *)y = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
  *(quad *)(y + to) = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
  *(quad *)(y + 2 * to) = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
  *(quad *)(y + 3 * to) = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

// The same as turn_naive in blocks, so that each cache line is read and written once.
static void NAME(turn)(T *restrict y, const T *restrict x, idx n, idx m, idx to, idx at) {
  enum { BLOCK = 32, QUAD = sizeof(T) == 4 ? 4 : 1 };
  if (n < 4 || m < 4) {  // a few long lines, such as the colours of an image
    for (idx i = 0; n < 4 && i < n; i++) NAME(copy_run)(y + i * to, x + i, m, 1, at);
    for (idx j = 0; n >= 4 && j < m; j++) NAME(copy_run)(y + j, x + j * at, n, to, 1);
    return;
  }
  for (idx i0 = 0; i0 < n; i0 += BLOCK) {
    const idx rows = n - i0 < BLOCK ? n - i0 : BLOCK;
    for (idx j0 = 0; j0 < m; j0 += BLOCK) {
      const idx columns = m - j0 < BLOCK ? m - j0 : BLOCK;
      T *to_block = y + i0 * to + j0;
      const T *from_block = x + j0 * at + i0;
      const idx i_end = QUAD == 4 ? rows & -4 : 0, j_end = QUAD == 4 ? columns & -4 : 0;
      for (idx i = 0; i < i_end; i += 4) {
        for (idx j = 0; j < j_end; j += 4) {
          NAME(turn_4x4)((void *)(to_block + i * to + j), (void *)(from_block + j * at + i), to, at);
        }
      }
      NAME(turn_naive)(to_block + j_end, from_block + j_end * at, i_end, columns - j_end, to, at);
      NAME(turn_naive)(to_block + i_end * to, from_block + i_end, rows - i_end, columns, to, at);
    }
  }
}

static void NAME(copy)(T *restrict y, const T *restrict x, idx rank, const idx *loops) {
  if (rank == 0) {
    *y = *x;
  } else if (rank == 1) {
    NAME(copy_run)(y, x, loops[0], loops[1], loops[2]);
  } else if (rank == 2 && loops[2] == 1 && loops[4] == 1 && loops[5] != 1) {
    NAME(turn)(y, x, loops[0], loops[3], loops[1], loops[5]);
  } else {
    for (idx i = 0; i < loops[0]; i++) {
      NAME(copy)(y + i * loops[1], x + i * loops[2], rank - 1, loops + 3);
    }
  }
}
