// Conversions that C leaves undefined for some values, defined: a float that an integer type
// cannot hold becomes its nearest bound, NaN becomes 0. No branches, so that loops are SIMD.
#ifndef NNLET_CONVERT_H
#define NNLET_CONVERT_H

#include <string.h>

#include "nnlet.h"

static inline i32 nn_f32_to_i32(f32 x) {
  return x >= 0x1p31f ? INT32_MAX : x < -0x1p31f ? INT32_MIN : x == x ? (i32)x : 0;
}

static inline i32 nn_f64_to_i32(f64 x) {
  return x >= 0x1p31 ? INT32_MAX : x < -0x1p31 ? INT32_MIN : x == x ? (i32)x : 0;
}

static inline i64 nn_f32_to_i64(f32 x) {
  return x >= 0x1p63f ? INT64_MAX : x < -0x1p63f ? INT64_MIN : x == x ? (i64)x : 0;
}

static inline i64 nn_f64_to_i64(f64 x) {
  return x >= 0x1p63 ? INT64_MAX : x < -0x1p63 ? INT64_MIN : x == x ? (i64)x : 0;
}

// Below 0 it wraps, as the narrower unsigned types do.
static inline u64 nn_f32_to_u64(f32 x) {
  return x >= 0x1p64f ? UINT64_MAX : x >= 0x1p63f ? (u64)x : (u64)nn_f32_to_i64(x);
}

static inline u64 nn_f64_to_u64(f64 x) {
  return x >= 0x1p64 ? UINT64_MAX : x >= 0x1p63 ? (u64)x : (u64)nn_f64_to_i64(x);
}

// Narrower types take the low bits of a wider one, as C does from integers.
static inline i8 nn_f32_to_i8(f32 x) { return (i8)nn_f32_to_i32(x); }
static inline i8 nn_f64_to_i8(f64 x) { return (i8)nn_f64_to_i32(x); }
static inline i16 nn_f32_to_i16(f32 x) { return (i16)nn_f32_to_i32(x); }
static inline i16 nn_f64_to_i16(f64 x) { return (i16)nn_f64_to_i32(x); }
static inline u8 nn_f32_to_u8(f32 x) { return (u8)nn_f32_to_i32(x); }
static inline u8 nn_f64_to_u8(f64 x) { return (u8)nn_f64_to_i32(x); }
static inline u16 nn_f32_to_u16(f32 x) { return (u16)nn_f32_to_i32(x); }
static inline u16 nn_f64_to_u16(f64 x) { return (u16)nn_f64_to_i32(x); }
static inline u32 nn_f32_to_u32(f32 x) { return (u32)nn_f32_to_i64(x); }
static inline u32 nn_f64_to_u32(f64 x) { return (u32)nn_f64_to_i64(x); }

// An f64 as an f32 that rounds to the same f16 as the f64 itself would: where bits were cut
// off, the last one that is left is set, so that nothing looks like a tie that is none.
static inline f32 nn_f64_to_f32_odd(f64 x) {
  f32 y = (f32)x;
  u32 bits;
  memcpy(&bits, &y, 4);
  if ((f64)y == x || x != x || __builtin_isinf(y) || (bits & 1)) return y;
  // y has an even last bit and is not x: its neighbour on x's side has an odd one.
  bits += (__builtin_fabs(x) > __builtin_fabs((f64)y)) ? 1 : -1u;
  memcpy(&y, &bits, 4);
  return y;
}

#endif
