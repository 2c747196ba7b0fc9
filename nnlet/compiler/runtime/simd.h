// 16 bytes of numbers at once, by type: VEC(T) is a vector of T, SPLAT(T)(x) one of x alone,
// MADD(T)(a, b, c) is a * b + c, rounded once where Wasm's relaxed SIMD has an instruction.
#ifndef NNLET_SIMD_H
#define NNLET_SIMD_H

#include "nnlet.h"

#define VEC(type) NN_JOIN(nn_vec_, type)
#define SPLAT(type) NN_JOIN(nn_splat_, type)
#define MADD(type) NN_JOIN(nn_madd_, type)

typedef f32 nn_vec_f32 __attribute__((vector_size(16), aligned(4)));
typedef f64 nn_vec_f64 __attribute__((vector_size(16), aligned(8)));

static inline nn_vec_f32 nn_splat_f32(f32 x) { return (nn_vec_f32){x, x, x, x}; }
static inline nn_vec_f64 nn_splat_f64(f64 x) { return (nn_vec_f64){x, x}; }

static inline nn_vec_f32 nn_madd_f32(nn_vec_f32 a, nn_vec_f32 b, nn_vec_f32 c) {
#ifdef __wasm_relaxed_simd__
  return __builtin_wasm_relaxed_madd_f32x4(a, b, c);
#else
  return a * b + c;
#endif
}

static inline nn_vec_f64 nn_madd_f64(nn_vec_f64 a, nn_vec_f64 b, nn_vec_f64 c) {
#ifdef __wasm_relaxed_simd__
  return __builtin_wasm_relaxed_madd_f64x2(a, b, c);
#else
  return a * b + c;
#endif
}

// Clang would rather advance one pointer for each load; with this, loads at constant offsets
// from `p` stay what they are: part of the load instruction.
#define NN_OPAQUE(p) __asm__("" : "+r"(p))

#endif
