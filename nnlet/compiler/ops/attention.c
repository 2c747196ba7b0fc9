// Scaled dot product attention. T is the type of everything but the mask, which is of type U.
//
// Some queries at a time: their scores against all keys that they may see, softmax of each, then
// the sum of the values. So memory is a few rows of scores, whatever the lengths. In f32 and from
// PACKED queries on both are packed products (gemm.h); else four queries are taken together.

#ifndef NN_ATTENTION
#define NN_ATTENTION

#include "gemm.h"
#include "rows.h"

enum { QUERIES = 4, KEYS = 2, COLUMNS = 2 };  // of the blocks whose sums fit the registers
enum { PACKED = 8, PACKED_MOST = 32 };  // queries at a time

// What the optional output of scores shows.
enum { SCORES_NONE = -1, SCORES_RAW, SCORES_CAPPED, SCORES_BIASED, SCORES_SOFTMAX };

// Sizes; strides in elements of a batch entry, a head and a position of q, k, v, y, and of all
// four dims of the mask, which repeats where they are 0. `group` query heads share a key head.
typedef struct {
  idx batch, heads, group, queries, keys, size, value_size;
  idx q[3], k[3], v[3], y[3], mask[4];
  idx mask_keys;  // behind them the mask lets nothing through
  idx past;       // keys before the first query's own position
  idx left, right;  // a query sees so many keys to each side of its position; -1: all
  bool causal, mask_is_bool;
  i32 shown;
  f32 scale, softcap;
} attention_shape;

// y[rows, keys] = scale q[rows, size] k[keys, size]^T, as a packed product. `panels` and `block` are scratch, as for gemm_blocks.
static inline void attention_scores_packed(f32 *y, idx y_step, const f32 *q, idx q_step, idx rows,
                                           const f32 *k, idx k_step, idx keys, idx size, f32 scale,
                                           f32 *panels, f32 *block) {
  gemm_pack_a(panels, q, q_step, 1, rows, size);
  gemm_blocks(y, y_step, panels, k, (const idx[]){1, k_step}, block, rows, keys, size, GEMM_PLAIN);
  for (idx r = 0; r < rows; r++) {
    for (idx j = 0; j < keys; j++) y[r * y_step + j] *= scale;
  }
}

// y[rows, size] = p[rows, keys] v[keys, size]
static inline void attention_values_packed(f32 *y, idx y_step, idx rows, const f32 *p, idx p_step,
                                           const f32 *v, idx v_step, idx keys, idx size,
                                           f32 *panels, f32 *block) {
  gemm_pack_a(panels, p, p_step, 1, rows, keys);
  gemm_blocks(y, y_step, panels, v, (const idx[]){v_step, 1}, block, rows, size, keys, GEMM_PLAIN);
}

#endif

// y[QUERIES, keys] = scale q[rows, size] k[keys, size]^T; rows that are missing repeat the last
static void NAME(attention_scores)(T *restrict y, idx y_step, const T *restrict q, idx q_step,
                                   idx rows, const T *restrict k, idx k_step, idx keys, idx size,
                                   T scale) {
  enum { LANES = 16 / sizeof(T) };
  const idx whole = size / LANES * LANES;
  const T *from[QUERIES];
  for (idx r = 0; r < QUERIES; r++) from[r] = q + (r < rows ? r : rows - 1) * q_step;
  for (idx j = 0; j < keys; j += KEYS) {
    const T *to[KEYS];
    for (idx c = 0; c < KEYS; c++) to[c] = k + (j + c < keys ? j + c : j) * k_step;
    VEC(T) sums[QUERIES][KEYS] = {0};
    for (idx i = 0; i < whole; i += LANES) {
      for (idx c = 0; c < KEYS; c++) {
        const VEC(T) key = *(const VEC(T) *)(to[c] + i);
        for (idx r = 0; r < QUERIES; r++) {
          sums[r][c] = MADD(T)(*(const VEC(T) *)(from[r] + i), key, sums[r][c]);
        }
      }
    }
    for (idx r = 0; r < QUERIES; r++) {
      for (idx c = 0; c < KEYS && j + c < keys; c++) {
        T sum = 0;
        for (idx l = 0; l < LANES; l++) sum += sums[r][c][l];
        for (idx i = whole; i < size; i++) sum += from[r][i] * to[c][i];
        y[r * y_step + j + c] = scale * sum;
      }
    }
  }
}

// y[rows, size] = p[QUERIES, keys] v[keys, size]
static void NAME(attention_values)(T *restrict y, idx y_step, idx rows, const T *restrict p,
                                   idx p_step, const T *restrict v, idx v_step, idx keys,
                                   idx size) {
  enum { LANES = 16 / sizeof(T), BLOCK = COLUMNS * LANES };
  idx i = 0;
  for (; i + BLOCK <= size; i += BLOCK) {
    VEC(T) sums[QUERIES][COLUMNS] = {0};
    for (idx j = 0; j < keys; j++) {
      for (idx c = 0; c < COLUMNS; c++) {
        const VEC(T) value = *(const VEC(T) *)(v + j * v_step + i + c * LANES);
        for (idx r = 0; r < QUERIES; r++) {
          sums[r][c] = MADD(T)(SPLAT(T)(p[r * p_step + j]), value, sums[r][c]);
        }
      }
    }
    for (idx r = 0; r < rows; r++) memcpy(y + r * y_step + i, sums[r], sizeof sums[r]);
  }
  for (; i < size; i++) {
    for (idx r = 0; r < rows; r++) {
      T sum = 0;
      for (idx j = 0; j < keys; j++) sum += p[r * p_step + j] * v[j * v_step + i];
      y[r * y_step + i] = sum;
    }
  }
}

// The bias of a key: 0, what the mask adds, or -inf where it may not be seen
static inline T NAME(attention_bias)(const U *mask, idx j, const attention_shape *a) {
  if (!mask) return 0;
  if (j >= a->mask_keys) return -NN_INF;
  const U given = mask[j * a->mask[3]];
  return a->mask_is_bool ? (given ? (T)0 : -(T)NN_INF) : (T)given;
}

// s[to - from] = softmax of the scores of those keys, of which the query sees the ones from low
// to high. A query that sees nothing has zeros. What `shown` asks for goes to show[..], if it is
// not NULL.
static void NAME(attention_softmax)(T *restrict s, T *restrict show, const U *restrict mask,
                                    idx from, idx to, idx low, idx high,
                                    const attention_shape *a) {
  const idx n = to - from;
  if (show && a->shown == SCORES_RAW) memcpy(show, s, n * sizeof(T));
  if (a->softcap > 0) {
    for (idx j = 0; j < n; j++) s[j] = a->softcap * TANH(T)(s[j] / a->softcap);
  }
  if (show && a->shown == SCORES_CAPPED) memcpy(show, s, n * sizeof(T));
  const idx first = low > from ? low - from : 0, last = high < to ? high - from : n;
  for (idx j = 0; j < n && j < first; j++) s[j] = -(T)NN_INF;
  for (idx j = last < first ? first : last; j < n; j++) s[j] = -(T)NN_INF;
  bool sees = !mask && last > first;
  for (idx j = first; mask && j < last; j++) {
    const T bias = NAME(attention_bias)(mask, from + j, a);
    sees |= bias != -(T)NN_INF;
    s[j] = bias == -(T)NN_INF ? bias : s[j] + bias;  // even where the score is no number
  }
  if (show && a->shown == SCORES_BIASED) memcpy(show, s, n * sizeof(T));
  if (sees) {
    const T highest = ROW_HIGHEST(T, j, n, s[j]);
    for (idx j = 0; j < n; j++) s[j] = EXP(T)(s[j] - highest);
    const T scale = 1 / ROW_SUM(T, j, n, s[j]);
    for (idx j = 0; j < n; j++) s[j] *= scale;
  } else {
    for (idx j = 0; j < n; j++) s[j] = 0;
  }
  if (show && a->shown == SCORES_SOFTMAX) memcpy(show, s, n * sizeof(T));
}

// The keys that query i may see: from *low to *high
static void NAME(attention_range)(idx *low, idx *high, idx i, const i64 *length,
                                  const attention_shape *a) {
  const idx end = length ? (idx)nn_max(0, nn_min(*length, a->keys)) : a->keys;
  const idx at = i + (length ? end - a->queries : a->past);
  *low = a->left >= 0 && at > a->left ? at - a->left : 0;
  *high = end;
  if (a->causal && at + 1 < *high) *high = at + 1;
  if (a->right >= 0 && at + a->right + 1 < *high) *high = at + a->right + 1;
  if (*high < *low) *high = *low;
}

// y[batch, heads, queries, value_size]; show [batch, heads, queries, keys] or NULL; lengths
// [batch] or NULL: how many keys of each entry count. room is [queries at a time, keys]; if there
// are `panels`, of [queries at a time, the longer of keys and size], products are packed.
static void NAME(attention)(T *restrict y, T *restrict show, T *restrict room, T *restrict panels,
                            T *restrict block, const T *restrict q, const T *restrict k,
                            const T *restrict v, const U *restrict mask,
                            const i64 *restrict lengths, const attention_shape *a) {
  const bool packed = sizeof(T) == 4 && panels && a->queries >= PACKED;
  const idx most = packed ? PACKED_MOST : QUERIES;
  for (idx head = 0; head < a->batch * a->heads; head++) {
    const idx b = head / a->heads, h = head % a->heads, shared = h / a->group;
    const T *queries = q + b * a->q[0] + h * a->q[1];
    const T *keys = k + b * a->k[0] + shared * a->k[1];
    const T *values = v + b * a->v[0] + shared * a->v[1];
    for (idx i = 0; i < a->queries; i += most) {
      const idx rows = a->queries - i < most ? a->queries - i : most;
      idx low[PACKED_MOST], high[PACKED_MOST], from = a->keys, to = 0;
      for (idx r = 0; r < rows; r++) {
        NAME(attention_range)(&low[r], &high[r], i + r, lengths ? lengths + b : 0, a);
        from = low[r] < from ? low[r] : from;
        to = high[r] > to ? high[r] : to;
      }
      if (show) from = 0, to = a->keys;
      if (to < from) to = from;
      const T *left = queries + i * a->q[2], *right = keys + from * a->k[2];
      if (packed) {
        attention_scores_packed((f32 *)room, a->keys, (const f32 *)left, a->q[2], rows,
                                (const f32 *)right, a->k[2], to - from, a->size, a->scale,
                                (f32 *)panels, (f32 *)block);
      } else {
        NAME(attention_scores)(room, a->keys, left, a->q[2], rows, right, a->k[2], to - from,
                               a->size, a->scale);
      }
      for (idx r = 0; r < rows; r++) {
        NAME(attention_softmax)(
            room + r * a->keys, show ? show + (head * a->queries + i + r) * a->keys : 0,
            mask ? mask + b * a->mask[0] + h * a->mask[1] + (i + r) * a->mask[2] : 0, from, to,
            low[r], high[r], a);
      }
      T *sums = y + b * a->y[0] + h * a->y[1] + i * a->y[2];
      const T *seen = values + from * a->v[2];
      if (packed) {
        attention_values_packed((f32 *)sums, a->y[2], rows, (const f32 *)room, a->keys,
                                (const f32 *)seen, a->v[2], to - from, a->value_size,
                                (f32 *)panels, (f32 *)block);
      } else {
        NAME(attention_values)(sums, a->y[2], rows, room, a->keys, seen, a->v[2], to - from,
                               a->value_size);
      }
    }
  }
}
