// What generated code and kernels share: checks, sizes, halves, limits of each type.
#ifndef NNLET_PRELUDE_H
#define NNLET_PRELUDE_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "convert.h"
#include "nnlet.h"
#include "simd.h"
#include "vmath.h"

typedef u16 f16;   // IEEE binary16, as bits
typedef u16 bf16;  // the upper half of an f32, as bits

#define NN_INF __builtin_inff()
#define NN_NAN __builtin_nanf("")

// In a run function: ends the run with an error code and words.
#define NN_CHECK(ok, code, ...)            \
  do {                                     \
    if (!(ok)) {                           \
      status = nn_fail((code), __VA_ARGS__); \
      goto done;                           \
    }                                      \
  } while (0)

// In a run function: memory for `pointer`, dims as i64; too much ends the run.
#define NN_TAKE(pointer, from, label, ...)                                             \
  do {                                                                                 \
    const i64 dims_[] = {__VA_ARGS__};                                                 \
    (pointer) = nn_take((from), sizeof *(pointer), dims_, sizeof dims_ / sizeof *dims_); \
    NN_CHECK(pointer, NN_TOO_LARGE, "%s needs more memory than there is", (label));    \
  } while (0)

static inline i64 nn_max(i64 a, i64 b) { return a > b ? a : b; }
static inline i64 nn_min(i64 a, i64 b) { return a < b ? a : b; }

static inline i64 nn_floordiv(i64 a, i64 b) {
  if (b == 0) return 0;  // a size of zero divides nothing: the result is empty
  const i64 q = a / b;
  return q - (a % b != 0 && (a < 0) != (b < 0));
}

static inline i64 nn_ceildiv(i64 a, i64 b) { return -nn_floordiv(-a, b); }

// a / b as C does it, towards zero, but defined for every a and b.
static inline i64 nn_truncdiv(i64 a, i64 b) {
  return b == 0 ? 0 : b == -1 ? (i64)(0 - (u64)a) : a / b;
}

// The sign follows b, as Python's %.
static inline i64 nn_mod(i64 a, i64 b) {
  return b == 0 || b == -1 ? 0 : a % b + ((a % b != 0 && (a < 0) != (b < 0)) ? b : 0);
}

// The number of elements in dimensions [from, to).
static inline i64 nn_product(const i64 *dims, i64 from, i64 to) {
  i64 product = 1;
  for (i64 i = from; i < to; i++) product *= dims[i];
  return product;
}

// A number from a tensor as a size: small enough that two of them can be multiplied, large
// enough that it is refused wherever it was too large.
static inline i64 nn_as_size(i64 x) { return nn_min(nn_max(x, -((i64)1 << 31)), (i64)1 << 31); }

// Cut to an integer; NaN becomes 0, what is out of range the nearest i64.
static inline i64 nn_to_i64(f64 x) {
  if (x != x) return 0;
  return x >= 0x1p63 ? INT64_MAX : x <= -0x1p63 ? INT64_MIN : (i64)x;
}

// Bytes of a tensor, or -1 where they, or the product of its dims that are not zero, pass
// 2^31: below that no product of some of its dims overflows an idx.
static inline i64 nn_bytes(i64 size, const i64 *dims, idx rank) {
  i64 bytes = size;
  bool empty = false;
  for (idx i = 0; i < rank; i++) {
    if (dims[i] < 0) return -1;
    if (dims[i] == 0) {
      empty = true;
    } else if (dims[i] > INT32_MAX || (bytes *= dims[i]) > INT32_MAX) {
      return -1;
    }
  }
  return empty ? 0 : bytes;
}

static inline void *nn_take(void *(*from)(i64), i64 size, const i64 *dims, idx rank) {
  const i64 bytes = nn_bytes(size, dims, rank);
  return bytes < 0 ? 0 : from(bytes > 16 ? bytes : 16);
}

// Sets type, dims and bytes of an output whose data is there; false when memory ran out.
static inline bool nn_describe(nn_tensor *out, u8 type, i64 size, idx rank, const i64 *dims) {
  out->type = type;
  out->rank = (u8)rank;
  out->bytes = nn_bytes(size, dims, rank);
  out->dims = nn_alloc(rank ? rank * (i64)sizeof(u32) : 16);
  if (out->bytes < 0 || !out->dims) return false;
  for (idx i = 0; i < rank; i++) out->dims[i] = (u32)dims[i];
  return true;
}

static inline void nn_release(nn_tensor *out, idx count) {
  for (idx i = 0; i < count; i++) {
    if (out[i].data) nn_free(out[i].data);
    if (out[i].dims) nn_free(out[i].dims);
    out[i].data = 0;
    out[i].dims = 0;
  }
}

static inline f32 nn_bf16_to_f32(bf16 x) {
  const u32 bits = (u32)x << 16;
  f32 y;
  memcpy(&y, &bits, 4);
  return y;
}

// Round to nearest even; NaN stays a (quiet) NaN.
static inline bf16 nn_f32_to_bf16(f32 x) {
  u32 bits;
  memcpy(&bits, &x, 4);
  if (x != x) return (bf16)((bits >> 16) | 0x40);
  return (bf16)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// Scaling by 2^112 moves a half's exponent to that of a float, subnormals included.
static inline f32 nn_f16_to_f32(f16 x) {
  const u32 magnitude = (u32)(x & 0x7fff) << 13;
  const u32 sign = (u32)(x & 0x8000) << 16;
  f32 y;
  u32 bits;
  memcpy(&y, &magnitude, 4);
  y *= 0x1p112f;
  memcpy(&bits, &y, 4);
  if ((x & 0x7c00) == 0x7c00) bits = magnitude | 0x7f800000;
  bits |= sign;
  memcpy(&y, &bits, 4);
  return y;
}

// Round to nearest even, overflow to infinity.
static inline f16 nn_f32_to_f16(f32 x) {
  u32 bits;
  memcpy(&bits, &x, 4);
  const u16 sign = (u16)((bits >> 16) & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return (f16)(sign | 0x7e00);
  if (bits >= 0x477ff000) return (f16)(sign | 0x7c00);
  if (bits < 0x38800000) {
    // Subnormal: adding 0.5 aligns the mantissa's last bit with 2^-24 and rounds.
    f32 y;
    memcpy(&y, &bits, 4);
    y += 0.5f;
    memcpy(&bits, &y, 4);
    return (f16)(sign | (bits - 0x3f000000));
  }
  return (f16)(sign | ((bits - 0x38000000 + 0xfff + ((bits >> 13) & 1)) >> 13));
}

// Limits by type, for kernels that are templates over T: LOWEST(T), HIGHEST(T), IS_FLOAT(T).
#define LOWEST(type) NN_JOIN(NN_LOWEST_, type)
#define HIGHEST(type) NN_JOIN(NN_HIGHEST_, type)
#define IS_FLOAT(type) ((type)0.5 != 0)
#define NN_LOWEST_f32 (-NN_INF)
#define NN_LOWEST_f64 (-(f64)NN_INF)
#define NN_LOWEST_i8 INT8_MIN
#define NN_LOWEST_i16 INT16_MIN
#define NN_LOWEST_i32 INT32_MIN
#define NN_LOWEST_i64 INT64_MIN
#define NN_LOWEST_u8 0
#define NN_LOWEST_u16 0
#define NN_LOWEST_u32 0
#define NN_LOWEST_u64 0
#define NN_HIGHEST_f32 NN_INF
#define NN_HIGHEST_f64 ((f64)NN_INF)
#define NN_HIGHEST_i8 INT8_MAX
#define NN_HIGHEST_i16 INT16_MAX
#define NN_HIGHEST_i32 INT32_MAX
#define NN_HIGHEST_i64 INT64_MAX
#define NN_HIGHEST_u8 UINT8_MAX
#define NN_HIGHEST_u16 UINT16_MAX
#define NN_HIGHEST_u32 UINT32_MAX
#define NN_HIGHEST_u64 UINT64_MAX

#endif
