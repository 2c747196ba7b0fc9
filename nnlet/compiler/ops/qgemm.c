// Matrix products of 8-bit integers, exact, with a constant right side: what QLinearMatMul and
// QGemm are. matmul of linear.c on 32-bit integers is the naive twin.
#include "quantized.h"

#define QGEMM_COLUMNS 8  // of b, in a strip

// `rows` rows of a[rows, k], 4 or 1, as pairs of 16 bits with their zero point taken off: for each
// pair of k, the rows.
static void qgemm_pack(i16 *to, const u8 *a, idx rows, idx k, u8 flip, i16 zero) {
  for (idx l = 0; l < k; l += 2) {
    for (idx i = 0; i < rows; i++) {
      *to++ = (i16)((i8)(a[i * k + l] ^ flip) - zero);
      *to++ = l + 1 < k ? (i16)((i8)(a[i * k + l + 1] ^ flip) - zero) : 0;
    }
  }
}

static inline void qgemm_tile4(i32x4 *sums, const i16 *a, const i8 *b, idx steps) {
  for (; steps > 0; steps--, a += 8, b += 16) {
    const i16x8 rows = *(const i16x8 *)a;
    Q_OUTER(sums, rows, q_widen(b), q_widen(b + 8));
  }
}

static inline void qgemm_tile1(i32x4 *sums, const i16 *a, const i8 *b, idx steps) {
  i32x4 odd[2] = {0};
  for (; steps >= 4; steps -= 4, a += 8, b += 64) {
    const i16x8 row = *(const i16x8 *)a;
    const i16x8 a0 = Q_PAIR(row, 0), a1 = Q_PAIR(row, 1);
    const i16x8 a2 = Q_PAIR(row, 2), a3 = Q_PAIR(row, 3);
    sums[0] += q_dot(a0, q_widen(b)), sums[1] += q_dot(a0, q_widen(b + 8));
    odd[0] += q_dot(a1, q_widen(b + 16)), odd[1] += q_dot(a1, q_widen(b + 24));
    sums[0] += q_dot(a2, q_widen(b + 32)), sums[1] += q_dot(a2, q_widen(b + 40));
    odd[0] += q_dot(a3, q_widen(b + 48)), odd[1] += q_dot(a3, q_widen(b + 56));
  }
  for (; steps > 0; steps--, a += 2, b += 16) {
    const i16x8 pair = {a[0], a[1], a[0], a[1], a[0], a[1], a[0], a[1]};
    sums[0] += q_dot(pair, q_widen(b)), sums[1] += q_dot(pair, q_widen(b + 8));
  }
  sums[0] += odd[0], sums[1] += odd[1];
}

// y[m, n] from a[m, k] and b[k, n], packed in strips of 8 columns, each pair by pair of k; what
// lies behind the last column, in bias and scale too, is 0. `panel` is scratch for 4 rows of a.
static void qgemm(u8 *y, const u8 *a, const i8 *b, i16 *panel, idx m, idx n, idx k,
                  bool is_unsigned, idx a_zero, q_result r) {
  const u8 flip = is_unsigned ? 0x80 : 0;
  const idx steps = (k + 1) / 2;
  const q_range range = q_range_of(&r);
  for (idx i = 0, rows; i < m; i += rows) {
    rows = m - i >= Q_ROWS ? Q_ROWS : 1;
    qgemm_pack(panel, a + i * k, rows, k, flip, (i16)(a_zero - flip));
    for (idx j = 0; j < n; j += QGEMM_COLUMNS) {
      i32x4 sums[8] = {0}, bias[2] = {0};
      const i8 *strip = b + j * 2 * steps;
      if (rows == Q_ROWS) qgemm_tile4(sums, panel, strip, steps);
      else qgemm_tile1(sums, panel, strip, steps);
      const f32x4 scale[] = {gemm_load(r.scale + j), gemm_load(r.scale + j + 4)};
      if (r.bias) {
        bias[0] = *(const i32x4 *)(r.bias + j);
        bias[1] = *(const i32x4 *)(r.bias + j + 4);
      }
      for (idx row = 0; row < rows; row++) {
        const u64 bytes = q_bytes(q_finish(sums[2 * row], bias[0], scale[0], range),
                                  q_finish(sums[2 * row + 1], bias[1], scale[1], range));
        u8 *to = y + (i + row) * n + j;
        q_store(to, (u32)bytes, n - j);
        q_store(to + 4, (u32)(bytes >> 32), n - j - 4);
      }
    }
  }
}
