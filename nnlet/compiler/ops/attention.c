// Scaled dot product attention. T is the type of everything but the mask, which is of type U.
//
// Four queries at a time: their scores against all keys that they may see, softmax of each, then
// the sum of the values. So memory is four rows of scores, whatever the lengths.

#ifndef NN_ATTENTION
#define NN_ATTENTION

enum { QUERIES = 4, KEYS = 2, COLUMNS = 2 };  // of the blocks whose sums fit the registers

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
  bool sees = false;
  T highest = -(T)NN_INF;
  for (idx j = 0; j < n; j++) {
    const bool inside = from + j >= low && from + j < high;
    const T bias = inside ? NAME(attention_bias)(mask, from + j, a) : -(T)NN_INF;
    sees |= bias != -(T)NN_INF;
    s[j] = bias == -(T)NN_INF ? bias : s[j] + bias;  // even where the score is no number
    highest = s[j] > highest ? s[j] : highest;
  }
  if (show && a->shown == SCORES_BIASED) memcpy(show, s, n * sizeof(T));
  T sum = 0;
  for (idx j = 0; j < n; j++) sum += s[j] = sees ? EXP(T)(s[j] - highest) : 0;
  for (idx j = 0; j < n; j++) s[j] = sees ? s[j] / sum : 0;
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
// [batch] or NULL: how many keys of each entry count. room is [QUERIES, keys].
static void NAME(attention)(T *restrict y, T *restrict show, T *restrict room,
                            const T *restrict q, const T *restrict k, const T *restrict v,
                            const U *restrict mask, const i64 *restrict lengths,
                            const attention_shape *a) {
  for (idx head = 0; head < a->batch * a->heads; head++) {
    const idx b = head / a->heads, h = head % a->heads, shared = h / a->group;
    const T *queries = q + b * a->q[0] + h * a->q[1];
    const T *keys = k + b * a->k[0] + shared * a->k[1];
    const T *values = v + b * a->v[0] + shared * a->v[1];
    for (idx i = 0; i < a->queries; i += QUERIES) {
      const idx rows = a->queries - i < QUERIES ? a->queries - i : QUERIES;
      idx low[QUERIES], high[QUERIES], from = a->keys, to = 0;
      for (idx r = 0; r < rows; r++) {
        NAME(attention_range)(&low[r], &high[r], i + r, lengths ? lengths + b : 0, a);
        from = low[r] < from ? low[r] : from;
        to = high[r] > to ? high[r] : to;
      }
      if (show) from = 0, to = a->keys;
      if (to < from) to = from;
      NAME(attention_scores)(room, a->keys, queries + i * a->q[2], a->q[2], rows,
                             keys + from * a->k[2], a->k[2], to - from, a->size, a->scale);
      for (idx r = 0; r < rows; r++) {
        NAME(attention_softmax)(
            room + r * a->keys, show ? show + (head * a->queries + i + r) * a->keys : 0,
            mask ? mask + b * a->mask[0] + h * a->mask[1] + (i + r) * a->mask[2] : 0, from, to,
            low[r], high[r], a);
      }
      NAME(attention_values)(y + b * a->y[0] + h * a->y[1] + i * a->y[2], a->y[2], rows, room,
                             a->keys, values + from * a->v[2], a->v[2], to - from,
                             a->value_size);
    }
  }
}
