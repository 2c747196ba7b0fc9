// Convolutions of 3 x 3 taps and stride 1 in f32 by minimal filtering, F(4 x 4, 3 x 3) of
// Lavin and Gray (arXiv:1509.09308): conv of conv.c, which is their naive twin.
//
// A tile of 4 x 4 outputs sees 6 x 6 inputs d. With B, G and A as below, g the taps, and products
// element by element, y = A'((G g G') (B' d B)) A: 36 multiplications where the definition has
// 144. Summed over channels, that is 36 matrix products: u[e] [filters, channels] times v[e]
// [channels, tiles], one for each element e of the 6 x 6.
//
// The matrices are those of the points 0, +-1/r, +-r and infinity with r = sqrt 2. The integers
// that are found in papers, 0, +-1, +-2, would double the rounding error.
//
// B' = 1   0  -5/2   0   1  0    G =   1     0    0     A' = 1   1    1   1    1   0
//      0  -r   -2   r/2  1  0        -2/3 -r/3 -1/3          0  r/2 -r/2  r   -r   0
//      0   r   -2  -r/2  1  0        -2/3  r/3 -1/3          0  1/2  1/2  2    2   0
//      0 -r/2 -1/2   r   1  0         1/6  r/6  1/3          0  r/4 -r/4 2 r -2 r  1
//      0  r/2 -1/2  -r   1  0         1/6 -r/6  1/3
//      0   1    0  -5/2  0  1          0    0    1
#include "gemm.h"
#include "window.h"

#define WINOGRAD_R 1.41421356237309505f

// to[0], to[step], ... to[5 * step] = B' d
static inline void winograd_input6(f32 *to, idx step, const f32x4 d[6]) {
  const f32 r = WINOGRAD_R;
  const f32x4 near = d[4] - 2.0f * d[2], near_odd = r * d[1] - r / 2 * d[3];
  const f32x4 far = d[4] - 0.5f * d[2], far_odd = r * d[3] - r / 2 * d[1];
  gemm_store(to, d[0] - 2.5f * d[2] + d[4]);
  gemm_store(to + step, near - near_odd);
  gemm_store(to + 2 * step, near + near_odd);
  gemm_store(to + 3 * step, far + far_odd);
  gemm_store(to + 4 * step, far - far_odd);
  gemm_store(to + 5 * step, d[1] - 2.5f * d[3] + d[5]);
}

// to = G g
static inline void winograd_taps3(f32 *to, idx step, f32x4 g0, f32x4 g1, f32x4 g2) {
  const f32 r = WINOGRAD_R;
  const f32x4 near = g0 * (-2.0f / 3) - g2 * (1.0f / 3), near_odd = g1 * (r / 3);
  const f32x4 far = g0 * (1.0f / 6) + g2 * (1.0f / 3), far_odd = g1 * (r / 6);
  gemm_store(to, g0);
  gemm_store(to + step, near - near_odd);
  gemm_store(to + 2 * step, near + near_odd);
  gemm_store(to + 3 * step, far + far_odd);
  gemm_store(to + 4 * step, far - far_odd);
  gemm_store(to + 5 * step, g2);
}

// to = A' m
static inline void winograd_output4(f32 *to, idx step, const f32x4 m[6]) {
  const f32 r = WINOGRAD_R;
  const f32x4 near = m[1] + m[2], near_odd = m[1] - m[2];
  const f32x4 far = m[3] + m[4], far_odd = m[3] - m[4];
  gemm_store(to, m[0] + near + far);
  gemm_store(to + step, r / 2 * near_odd + r * far_odd);
  gemm_store(to + 2 * step, 0.5f * near + 2.0f * far);
  gemm_store(to + 3 * step, r / 4 * near_odd + 2 * r * far_odd + m[5]);
}

// Rows of plane x from `first` on, with their padding: copy[rows, width].
static void winograd_copy(f32 *copy, const f32 *x, nn_window h, nn_window w, idx first, idx rows,
                          idx width) {
  for (idx r = 0; r < rows; r++, copy += width) {
    const idx ih = first + r - h.pad;
    const bool inside = ih >= 0 && ih < h.in;
    nn_zero(copy, inside ? w.pad : width);
    if (!inside) continue;
    nn_take_every(copy + w.pad, x + ih * w.in, 1, w.in);
    nn_zero(copy + w.pad + w.in, width - w.pad - w.in);
  }
}

// v[36, tiles], elements `step` apart: the transformed tiles of one channel, four at a time. Tile
// t is at row t / across and column t % across; what is behind the last one is the last one.
static void winograd_input(f32 *v, idx step, const f32 *copy, idx width, idx tiles, idx across) {
  for (idx t = 0; t < tiles; t += 4) {
    const f32 *from[4];
    for (idx l = 0; l < 4; l++) {
      const idx tile = t + l < tiles ? t + l : tiles - 1;
      from[l] = copy + tile / across * 4 * width + tile % across * 4;
    }
    f32 half[6 * 6 * 4];
    for (idx i = 0; i < 6; i++) {
      f32x4 left[4], right[4];  // columns 0 to 3 and 2 to 5
      for (int l = 0; l < 4; l++) {
        left[l] = gemm_load(from[l] + i * width);
        right[l] = gemm_load(from[l] + i * width + 2);
      }
      gemm_transpose(left);
      gemm_transpose(right);
      const f32x4 d[6] = {left[0], left[1], left[2], left[3], right[2], right[3]};
      winograd_input6(half + i * 24, 4, d);
    }
    for (idx j = 0; j < 6; j++) {
      f32x4 d[6];
      for (int i = 0; i < 6; i++) d[i] = gemm_load(half + i * 24 + j * 4);
      winograd_input6(v + j * step + t, 6 * step, d);
    }
  }
}

// u[36, channels, filters] = the transformed taps of a panel [9, channels, filters] of weights,
// as conv_pack packs them.
static void winograd_weights(f32 *u, const f32 *panel, idx channels, idx filters) {
  const idx step = channels * filters;
  for (idx at = 0; at < step; at += 4) {
    f32 half[6 * 3 * 4];
    for (idx j = 0; j < 3; j++) {
      const f32 *g = panel + j * step + at;
      const f32x4 g0 = gemm_load(g), g1 = gemm_load(g + 3 * step), g2 = gemm_load(g + 6 * step);
      winograd_taps3(half + j * 4, 12, g0, g1, g2);
    }
    for (idx i = 0; i < 6; i++) {
      const f32 *g = half + i * 12;
      winograd_taps3(u + i * 6 * step + at, step, gemm_load(g), gemm_load(g + 4), gemm_load(g + 8));
    }
  }
}

// The outputs of one filter from row `first` on: y = the epilogue of A' m A, where m is [36,
// tiles], elements `step` apart.
static void winograd_output(f32 *y, const f32 *m, idx step, nn_window h, nn_window w, idx first,
                            idx tiles, idx across, f32 bias, const f32 *add,
                            const gemm_epilogue *e) {
  const f32x4 low = SPLAT(f32)(e->low), high = SPLAT(f32)(e->high), start = SPLAT(f32)(bias);
  for (idx t = 0; t < tiles; t += 4) {
    f32 half[4 * 6 * 4];
    for (idx j = 0; j < 6; j++) {
      f32x4 column[6];
      for (int i = 0; i < 6; i++) column[i] = gemm_load(m + (i * 6 + j) * step + t);
      winograd_output4(half + j * 4, 24, column);
    }
    for (idx i = 0; i < 4; i++) {
      f32x4 row[6];
      f32 lanes[4 * 4];
      for (int j = 0; j < 6; j++) row[j] = gemm_load(half + i * 24 + j * 4);
      winograd_output4(lanes, 4, row);
      f32x4 out[4] = {gemm_load(lanes), gemm_load(lanes + 4), gemm_load(lanes + 8),
                      gemm_load(lanes + 12)};
      gemm_transpose(out);
      for (idx l = 0; l < 4 && t + l < tiles; l++) {
        const idx oh = first + (t + l) / across * 4 + i, ow = (t + l) % across * 4;
        if (oh >= h.out) continue;
        const idx at = oh * w.out + ow, count = w.out - ow;
        f32x4 v = out[l] + start;
        if (add) v += gemm_load_some(add + at, count);
        gemm_store_some(y + at, gemm_limit(v, low, high), count);
      }
    }
  }
}

// y[n, groups * filters, out...] = the epilogue of the convolution of x[n, groups * channels,
// in...] with weights that are packed as conv_pack packs them; filters are a multiple of 4.
// Works on `lines` rows of tiles at a time. Scratch, with `tiles` what those have, rounded up to
// a multiple of 4: copy[4 lines + 2, 4 across + 2], v[36, channels, tiles], u[36, channels, 8],
// m[36, 8, tiles].
static void winograd(f32 *y, const f32 *x, const f32 *weights, f32 *copy, f32 *v, f32 *u, f32 *m,
                     const nn_window *a, idx lines, idx n, idx groups, idx filters, idx channels,
                     gemm_epilogue e) {
  const nn_window h = a[1], w = a[2];
  const idx across = (w.out + 3) / 4, width = across * 4 + 2, plane = h.out * w.out;
  for (idx i = 0; i < n * groups; i++, x += channels * h.in * w.in, y += filters * plane) {
    const f32 *taps = weights + i % groups * filters * channels * 9;
    const f32 *bias = e.row ? e.row + i % groups * filters : 0;
    for (idx first = 0; first < h.out; first += lines * 4) {
      const idx down = (h.out - first + 3) / 4 < lines ? (h.out - first + 3) / 4 : lines;
      const idx tiles = down * across, step = (tiles + 3) & ~(idx)3;
      for (idx c = 0; c < channels; c++) {
        winograd_copy(copy, x + c * h.in * w.in, h, w, first, down * 4 + 2, width);
        winograd_input(v + c * step, channels * step, copy, width, tiles, across);
      }
      for (idx f = 0, many; f < filters; f += many) {
        many = filters - f >= 8 ? 8 : 4;
        winograd_weights(u, taps + f * channels * 9, channels, many);
        for (idx at = 0; at < 36; at++) {
          gemm_columns(m + at * many * step, step, u + at * channels * many,
                       v + at * channels * step, step, many, tiles, channels, 0, channels,
                       GEMM_PLAIN);
        }
        for (idx r = 0; r < many; r++) {
          winograd_output(y + (f + r) * plane, m + r * step, many * step, h, w, first, tiles,
                          across, bias ? bias[f + r] : 0, e.add ? e.add + (f + r) * plane : 0, &e);
        }
      }
    }
    if (e.add) e.add += filters * plane;
  }
}
