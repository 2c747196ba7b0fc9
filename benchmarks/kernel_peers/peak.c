// The most that 128-bit vectors can do here: multiply-adds and nothing else, in as many chains
// as hide their latency, all in registers.
#ifdef __wasm_relaxed_simd__
#define MADD __builtin_wasm_relaxed_madd_f32x4
#else
#define MADD(a, b, c) ((a) * (b) + (c))
#endif

typedef float f32x4 __attribute__((vector_size(16)));
enum { CHAINS = 12 };  // peak.py: OPERATIONS

// 8 * CHAINS operations, `times` times. The result only keeps them from being left out.
__attribute__((export_name("peak"))) float peak(int times) {
  const f32x4 a = {0.5f, 0.5f, 0.5f, 0.5f}, b = {1, 2, 3, 4};
  f32x4 sum[CHAINS];
  for (int k = 0; k < CHAINS; k++) sum[k] = b * (float)k;
  for (int i = 0; i < times; i++) {
#pragma clang loop unroll(full)
    for (int k = 0; k < CHAINS; k++) sum[k] = MADD(sum[k], a, b);
  }
  float all = 0;
  for (int k = 0; k < CHAINS; k++) all += sum[k][0] + sum[k][1] + sum[k][2] + sum[k][3];
  return all;
}
