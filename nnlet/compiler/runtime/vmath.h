// Mathematics by type: EXP(T)(x) is exponential of an f32 or f64.
//
// The f32 functions that networks use most have no branches and call nothing, so that a loop
// over them becomes SIMD. Their answers are right, also for inf, NaN and subnormal numbers,
// within the error stated at each: units in the last place (ulp), found by trying every f32
// (for erf every 64th). The others, and all of f64, are libm's.
#ifndef NNLET_VMATH_H
#define NNLET_VMATH_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "nnlet.h"

static inline u32 nn_bits_of(f32 x) {
  u32 bits;
  memcpy(&bits, &x, 4);
  return bits;
}

static inline f32 nn_of_bits(u32 bits) {
  f32 x;
  memcpy(&x, &bits, 4);
  return x;
}

#define NN_LN2_HIGH 0x1.62e4p-1f    // few bits: its product with an exponent is exact
#define NN_LN2_LOW 0x1.7f7d1cp-20f  // ln 2 - NN_LN2_HIGH
#define NN_LOG2_E 0x1.715476p+0f
#define NN_ROUNDER 0x1.8p23f  // adding it rounds to an integer, in the low bits

// Here a product and a sum may be one instruction: that only makes them more exact. Powers of
// the argument are computed apart, so that a loop has several of them under way.
#pragma clang fp contract(fast)

// x = n ln 2 + r with |r| <= ln 2 / 2; returns e^r - 1. For |x| < 2^20.
static inline f32 nn_exp_parts(f32 x, i32 *n) {
  const f32 shifted = x * NN_LOG2_E + NN_ROUNDER;
  const f32 k = shifted - NN_ROUNDER;
  const f32 r = x - k * NN_LN2_HIGH - k * NN_LN2_LOW;
  *n = (i32)(nn_bits_of(shifted) - nn_bits_of(NN_ROUNDER));
  const f32 r2 = r * r;
  const f32 q = (0.49999997f + r * 0.16666543f) +
                r2 * ((0.0416672f + r * 0.0083665205f) + r2 * 0.0013882521f);
  return r + r2 * q;
}

// 2^n for -126 <= n <= 127
static inline f32 nn_power_of_2(i32 n) { return nn_of_bits((u32)(n + 127) << 23); }

// 1.1 ulp
static inline f32 nn_exp_f32(f32 x) {
  // Beyond these the answer is 0 or inf; a NaN is in no comparison and stays.
  const f32 low = x < -104.0f ? -104.0f : x;
  i32 n;
  const f32 p = nn_exp_parts(low > 89.0f ? 89.0f : low, &n);
  // In two steps, since 2^n itself may be out of range.
  return (1.0f + p) * nn_power_of_2(n >> 1) * nn_power_of_2(n - (n >> 1));
}

// e^x - 1; 1.8 ulp, near 0 too
static inline f32 nn_expm1_f32(f32 x) {
  const f32 low = x < -20.0f ? -20.0f : x;
  i32 n;
  const f32 p = nn_exp_parts(low > 89.0f ? 89.0f : low, &n);
  const f32 half = nn_power_of_2(n - 1);  // of 2^n, which may be out of range
  return (half * p + (half - 0.5f)) * 2.0f;
}

// log(x 2^-shift) for a normal x above 0, by the method of FreeBSD's logf: x = m 2^e with m
// about 1, then a series in s = f / (2 + f) for f = m - 1.
static inline f32 nn_log_normal(f32 x, i32 shift) {
  const u32 bits = nn_bits_of(x), root_half = 0x3f3504f3;  // the bits of sqrt(1/2)
  const i32 e = (i32)(bits - root_half) >> 23;
  const f32 f = nn_of_bits(bits - ((u32)e << 23)) - 1.0f;
  const f32 k = (f32)(e - shift);
  const f32 s = f / (2.0f + f);
  const f32 s2 = s * s, s4 = s2 * s2;
  const f32 series =
      s2 * (0.66666662693f + s4 * 0.28498786688f) + s4 * (0.40000972152f + s4 * 0.24279078841f);
  const f32 square = 0.5f * f * f;
  return s * (square + series) + k * NN_LN2_LOW - square + f + k * NN_LN2_HIGH;
}

// 0.9 ulp
static inline f32 nn_log_f32(f32 x) {
  const bool subnormal = x < 0x1p-126f;
  const f32 y = nn_log_normal(subnormal ? x * 0x1p23f : x, subnormal ? 23 : 0);
  const f32 edge = x == 0.0f ? -__builtin_inff() : x < 0.0f ? __builtin_nanf("") : x;
  return x > 0.0f && x < __builtin_inff() ? y : edge;
}

// 2.5 ulp
static inline f32 nn_tanh_f32(f32 x) {
  const f32 m = nn_expm1_f32(-2.0f * __builtin_fabsf(x));
  return __builtin_copysignf(m / (m + 2.0f), x);
}

// 1 / (1 + e^-x); 2.5 ulp, but 0 below 2^-127
static inline f32 nn_sigmoid_f32(f32 x) { return 1.0f / (1.0f + nn_exp_f32(-x)); }

// log(1 + e^x); 2 ulp
static inline f32 nn_softplus_f32(f32 x) {
  const f32 u = nn_exp_f32(-__builtin_fabsf(x));
  const f32 w = 1.0f + u;
  // log(1 + u), where the second term is what w lost by rounding.
  return (x < 0.0f ? 0.0f : x) + (nn_log_normal(w, 0) + (u - (w - 1.0f)) / w);
}

// x + x P(x^2) near 0, 1 - e^(x P(x)) beyond; 1.5 ulp
static inline f32 nn_erf_f32(f32 x) {
  const f32 a = __builtin_fabsf(x);
  const f32 s = a * a, s2 = s * s;
  const f32 near = (0.12837915f + s * -0.37612525f) +
                   s2 * ((0.11282141f + s * -0.026778908f) +
                         s2 * (0.0050119627f + s * -0.0006090359f));
  const f32 t = a > 4.0f ? 4.0f : a;  // 1 - erf(4) is below half of the last place
  const f32 t2 = t * t;
  const f32 far = (-1.12852f + t * -0.6356994f) +
                  t2 * ((-0.10528685f + t * 0.02290603f) +
                        t2 * (-0.0032199752f + t * 0.00021459497f));
  i32 n;
  const f32 p = nn_exp_parts(t * far, &n);
  const f32 y = a < 0.9f ? a + a * near : 1.0f - (1.0f + p) * nn_power_of_2(n);
  return __builtin_copysignf(y, x);
}

#pragma clang fp contract(off)

// Wasm's libm gives numbers where there is no answer.
static inline f32 nn_acosh_f32(f32 x) { return x < 1.0f ? __builtin_nanf("") : acoshf(x); }
static inline f64 nn_acosh_f64(f64 x) { return x < 1.0 ? __builtin_nan("") : acosh(x); }

static inline f64 nn_sigmoid_f64(f64 x) { return 1.0 / (1.0 + exp(-x)); }
static inline f64 nn_softplus_f64(f64 x) { return fmax(x, 0.0) + log1p(exp(-fabs(x))); }

// base^exponent of integers, wrapping. `negative`: the exponent is below 0, and the result that
// of a division: 0 unless the base is 1 or -1.
static inline u64 nn_power(u64 base, u64 exponent, bool negative) {
  if (negative && base != 1 && base != (u64)-1) return 0;
  u64 result = 1;
  for (; exponent; exponent >>= 1, base *= base) {
    if (exponent & 1) result *= base;
  }
  return result;
}

#define NN_PASTE(a, b) a##b
#define NN_JOIN(a, b) NN_PASTE(a, b)

#define ABS(type) NN_JOIN(nn_abs_, type)
#define nn_abs_f32 __builtin_fabsf
#define nn_abs_f64 __builtin_fabs
#define ACOS(type) NN_JOIN(nn_acos_, type)
#define nn_acos_f32 acosf
#define nn_acos_f64 acos
#define ACOSH(type) NN_JOIN(nn_acosh_, type)
#define ASIN(type) NN_JOIN(nn_asin_, type)
#define nn_asin_f32 asinf
#define nn_asin_f64 asin
#define ASINH(type) NN_JOIN(nn_asinh_, type)
#define nn_asinh_f32 asinhf
#define nn_asinh_f64 asinh
#define ATAN(type) NN_JOIN(nn_atan_, type)
#define nn_atan_f32 atanf
#define nn_atan_f64 atan
#define ATANH(type) NN_JOIN(nn_atanh_, type)
#define nn_atanh_f32 atanhf
#define nn_atanh_f64 atanh
#define CEIL(type) NN_JOIN(nn_ceil_, type)
#define nn_ceil_f32 __builtin_ceilf
#define nn_ceil_f64 __builtin_ceil
#define COPYSIGN(type) NN_JOIN(nn_copysign_, type)
#define nn_copysign_f32 __builtin_copysignf
#define nn_copysign_f64 __builtin_copysign
#define COS(type) NN_JOIN(nn_cos_, type)
#define nn_cos_f32 cosf
#define nn_cos_f64 cos
#define COSH(type) NN_JOIN(nn_cosh_, type)
#define nn_cosh_f32 coshf
#define nn_cosh_f64 cosh
#define ERF(type) NN_JOIN(nn_erf_, type)
#define nn_erf_f64 erf
#define EXP(type) NN_JOIN(nn_exp_, type)
#define nn_exp_f64 exp
#define EXPM1(type) NN_JOIN(nn_expm1_, type)
#define nn_expm1_f64 expm1
#define FLOOR(type) NN_JOIN(nn_floor_, type)
#define nn_floor_f32 __builtin_floorf
#define nn_floor_f64 __builtin_floor
#define FMOD(type) NN_JOIN(nn_fmod_, type)
#define nn_fmod_f32 fmodf
#define nn_fmod_f64 fmod
#define LOG(type) NN_JOIN(nn_log_, type)
#define nn_log_f64 log
#define POW(type) NN_JOIN(nn_pow_, type)
#define nn_pow_f32 powf
#define nn_pow_f64 pow
#define ROUND(type) NN_JOIN(nn_round_, type)  // half to even
#define nn_round_f32 __builtin_rintf
#define nn_round_f64 __builtin_rint
#define SIGMOID(type) NN_JOIN(nn_sigmoid_, type)
#define SIN(type) NN_JOIN(nn_sin_, type)
#define nn_sin_f32 sinf
#define nn_sin_f64 sin
#define SINH(type) NN_JOIN(nn_sinh_, type)
#define nn_sinh_f32 sinhf
#define nn_sinh_f64 sinh
#define SOFTPLUS(type) NN_JOIN(nn_softplus_, type)
#define SQRT(type) NN_JOIN(nn_sqrt_, type)
#define nn_sqrt_f32 __builtin_sqrtf
#define nn_sqrt_f64 __builtin_sqrt
#define TAN(type) NN_JOIN(nn_tan_, type)
#define nn_tan_f32 tanf
#define nn_tan_f64 tan
#define TANH(type) NN_JOIN(nn_tanh_, type)
#define nn_tanh_f64 tanh

#endif
