// Products of 8-bit integers, exact: what quantized convolutions and matrix products share.
//
// Both factors have their zero points taken off. One lies as 16 bits in vectors of four places
// and two neighbours along k (a pair); the other is read four rows and a pair at a time, and each
// row's pair is broadcast. i32x4.dot_i16x8_s then adds two products to each of four sums, on
// every host alike. dev/quantized/README.md has what else was tried.
#ifndef NNLET_QUANTIZED_H
#define NNLET_QUANTIZED_H

#include "gemm.h"

#define Q_ROWS 4  // of the factor that is broadcast, in a panel

typedef i8 i8x8 __attribute__((vector_size(8), aligned(1)));
typedef u8 u8x16 __attribute__((vector_size(16), aligned(1)));
typedef i8 i8x16 __attribute__((vector_size(16), aligned(1)));
typedef i16 i16x8 __attribute__((vector_size(16), aligned(2)));
typedef i32 i32x4 __attribute__((vector_size(16), aligned(4)));

// What becomes of a sum s: round((s + bias) * scale) + zero, cut to [low, high]. `bias` may be 0.
typedef struct {
  const i32 *bias;
  const f32 *scale;
  i32 zero, low, high;
} q_result;

// Eight of 8 bits as 16.
static inline i16x8 q_widen(const i8 *p) {
  return __builtin_convertvector(*(const i8x8 *)p, i16x8);
}

static inline i16x8 q_widen_low(u8x16 v) {
  return __builtin_convertvector(
      (i8x8)__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7), i16x8);
}

static inline i16x8 q_widen_high(u8x16 v) {
  return __builtin_convertvector(
      (i8x8)__builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15), i16x8);
}

static inline i32x4 q_dot(i16x8 a, i16x8 b) {
#ifdef __wasm_simd128__
  return __builtin_wasm_dot_s_i32x4_i16x8(a, b);
#else
  i32x4 sums;
  for (int i = 0; i < 4; i++) sums[i] = a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
  return sums;
#endif
}

// Pair i of four, in all places.
#define Q_PAIR(v, i) ((i16x8)__builtin_shufflevector((i32x4)(v), (i32x4)(v), i, i, i, i))

// to[0..7] += four rows of a times two vectors of b: sums of row i are to[2 i] and to[2 i + 1].
#define Q_OUTER(to, a, b0, b1)                 \
  do {                                         \
    const i16x8 a0 = Q_PAIR(a, 0);             \
    (to)[0] += q_dot(a0, b0);                  \
    (to)[1] += q_dot(a0, b1);                  \
    const i16x8 a1 = Q_PAIR(a, 1);             \
    (to)[2] += q_dot(a1, b0);                  \
    (to)[3] += q_dot(a1, b1);                  \
    const i16x8 a2 = Q_PAIR(a, 2);             \
    (to)[4] += q_dot(a2, b0);                  \
    (to)[5] += q_dot(a2, b1);                  \
    const i16x8 a3 = Q_PAIR(a, 3);             \
    (to)[6] += q_dot(a3, b0);                  \
    (to)[7] += q_dot(a3, b1);                  \
  } while (0)

// A q_result's numbers as vectors, ready for use.
typedef struct {
  f32x4 low, high;
  i32x4 zero;
} q_range;

static inline q_range q_range_of(const q_result *r) {
  // Floats from 2^23 to 2^24 are integers: adding 1.5 * 2^23 rounds to even, and leaves the
  // rounded number in the low bits.
  const i32 zero = r->zero;
  return (q_range){SPLAT(f32)((f32)(r->low - zero)), SPLAT(f32)((f32)(r->high - zero)),
                   (i32x4){zero, zero, zero, zero}};
}

// Scaled sums as elements of the result, in the low 8 bits of each.
static inline i32x4 q_round(f32x4 v, q_range r) {
  const i32x4 rounded = (i32x4)(gemm_limit(v, r.low, r.high) + SPLAT(f32)(0x1.8p23f));
  return rounded + r.zero;
}

static inline i32x4 q_finish(i32x4 sum, i32x4 bias, f32x4 scale, q_range r) {
  return q_round(__builtin_convertvector(sum + bias, f32x4) * scale, r);
}

// The low bytes of two vectors.
static inline u64 q_bytes(i32x4 a, i32x4 b) {
  const u8x16 p = __builtin_shufflevector((u8x16)a, (u8x16)b, 0, 4, 8, 12, 16, 20, 24, 28, 0, 0, 0,
                                          0, 0, 0, 0, 0);
  typedef u64 u64x2 __attribute__((vector_size(16)));
  return ((u64x2)p)[0];
}

// The first `count` of 4 bytes.
static inline void q_store(u8 *to, u32 bytes, idx count) {
  if (count >= 4) memcpy(to, &bytes, 4);
  else for (idx i = 0; i < count; i++, bytes >>= 8) to[i] = (u8)bytes;
}

#endif
