// How to quantize the n elements of x to 8 bits: so that 0 and all of them are in range.
#include "rows.h"

static void quantization_range(f32 *restrict scale, u8 *restrict zero, const f32 *restrict x,
                               idx n) {
  const f32 high = ROW_FOLD(f32, 0, i, n, x[i], next > so_far ? next : so_far);
  const f32 low = ROW_FOLD(f32, 0, i, n, x[i], next < so_far ? next : so_far);
  *scale = high == low ? 1 : (high - low) / 255;
  const f32 z = ROUND(f32)(-low / *scale);
  *zero = z > 0 ? (z < 255 ? (u8)z : 255) : 0;
}
