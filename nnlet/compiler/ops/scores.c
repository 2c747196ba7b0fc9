// From raw scores to what ai.onnx.ml's models answer: T is the type of the scores, U of the
// output. The names and formulas of the post transforms are onnxruntime's, which the
// specification leaves open.

#ifndef NN_SCORES
#define NN_SCORES
enum { NO_TRANSFORM, LOGISTIC, SOFTMAX, SOFTMAX_ZERO, PROBIT };

static inline f32 nn_logistic(f32 x) {
  const f32 y = 1 / (1 + expf(-fabsf(x)));
  return x < 0 ? 1 - y : y;
}

// The quantile function of the normal distribution, by Winitzki's inverse of erf; its
// differences vanish near 0.5 in anything less than double.
static inline f64 nn_probit(f64 p) {
  const f64 x = 2 * p - 1;
  const f64 l = log1p(-x * x);
  const f64 v = 2 / (3.14159 * 0.147) + 0.5 * l;
  const f64 y = sqrt(sqrt(v * v - l / 0.147) - v);
  return 1.41421356 * (x < 0 ? -y : y);
}
#endif

// y[n] = exp(x - max x) / sum; SOFTMAX_ZERO keeps what is about 0 out of the sum
static void NAME(softmax_scores)(U *y, const T *x, idx n, bool with_zeros) {
  T highest = -(T)3.402823466e38;
  for (idx i = 0; i < n; i++) highest = x[i] > highest ? x[i] : highest;
  T sum = 0;
  for (idx i = 0; i < n; i++) {
    if (with_zeros || x[i] > (T)1e-7 || x[i] < (T)-1e-7) {
      y[i] = EXP(T)(x[i] - highest);
      sum += y[i];
    } else {
      y[i] = x[i] * EXP(T)(-highest);
    }
  }
  for (idx i = 0; i < n; i++) y[i] /= sum;
}

// y[n] = the post transform of the scores x[n]
static void NAME(transform_row)(U *y, const T *x, idx n, idx transform) {
  if (transform == SOFTMAX || transform == SOFTMAX_ZERO) {
    NAME(softmax_scores)(y, x, n, transform == SOFTMAX);
    return;
  }
  for (idx i = 0; i < n; i++) {
    y[i] = transform == LOGISTIC ? nn_logistic(x[i]) : transform == PROBIT ? nn_probit(x[i]) : x[i];
  }
}

// y[2] from the score of the second of two classes, of which a probability has its complement
// beside it and any other score its negative
static void NAME(transform_pair)(U *y, T score, idx transform, bool is_probability) {
  if (transform == PROBIT) {
    y[0] = nn_probit(score);
    y[1] = 0;
  } else if (transform == LOGISTIC) {
    y[0] = nn_logistic(-score);
    y[1] = nn_logistic(score);
  } else if (is_probability) {
    y[0] = 1 - score;
    y[1] = score;
  } else {
    y[0] = -score;
    y[1] = score;
  }
}

// y[rows, n] = the post transform of scores[rows, n] / divisor + base[n], of 0 where nobody voted
static void NAME(transform)(U *restrict y, T *restrict scores, const u8 *restrict voted,
                            idx voted_step, const T *restrict base, idx rows, idx n, idx divisor,
                            idx transform) {
  for (idx r = 0; r < rows; r++) {
    T *row = scores + r * n;
    for (idx c = 0; c < n; c++) {
      const bool any = !voted || voted[r * voted_step + c];
      row[c] = any ? row[c] / divisor + (base ? base[c] : 0) : 0;
    }
    NAME(transform_row)(y + r * n, row, n, transform);
  }
}

// y[rows, n] = the post transform of scores[rows, n]; both may be the same
static void NAME(transform_rows)(U *y, const T *scores, idx rows, idx n, idx transform) {
  for (idx r = 0; r < rows; r++) NAME(transform_row)(y + r * n, scores + r * n, n, transform);
}

// y[rows, 2] from scores[rows], each of which decides between two classes
static void NAME(transform_pairs)(U *restrict y, const T *restrict scores, idx rows,
                                  idx transform) {
  for (idx r = 0; r < rows; r++) {
    NAME(transform_pair)(y + 2 * r, scores[r], transform, transform != NO_TRANSFORM);
  }
}

// The class with the highest of scores[n], the first of equal ones; only those that `voted`
static idx NAME(highest_class)(const T *scores, const u8 *voted, idx n) {
  idx best = -1;
  for (idx c = 0; c < n; c++) {
    if (voted[c] && (best < 0 || scores[c] > scores[best])) best = c;
  }
  return best < 0 ? 0 : best;
}

// label[rows] and y[rows, m] of a linear model from scores[rows, n] + bias[n]: m is n, except
// that one score decides between two classes
static void NAME(classify_linear)(i64 *restrict label, U *restrict y, T *restrict scores,
                                  const T *restrict bias, const i64 *restrict labels, idx rows,
                                  idx n, idx m, idx transform) {
  for (idx r = 0; r < rows; r++, scores += n, y += m) {
    for (idx c = 0; bias && c < n; c++) scores[c] += bias[c];
    idx best = 0;
    for (idx c = 1; c < n; c++) best = scores[c] > scores[best] ? c : best;
    label[r] = labels[n == 1 ? scores[0] > 0 : best];
    if (n == 1 && m == 2) {
      NAME(transform_pair)(y, scores[0], transform, true);
    } else {
      NAME(transform_row)(y, scores, n, transform);
    }
  }
}

// label[rows] and y[rows, n] of a tree ensemble from its trees' sums, scores[rows, n], as
// onnxruntime decides: with two classes the votes may all be for one of them (`one_voted`), and
// then are probabilities if none is negative (`positive`).
static void NAME(classify)(i64 *restrict label, U *restrict y, T *restrict scores,
                           const u8 *restrict voted, idx voted_step, const T *restrict base,
                           idx base_count, const i64 *restrict labels, idx rows, idx n,
                           idx transform, bool one_voted, bool positive) {
  for (idx r = 0; r < rows; r++, scores += n, voted += voted_step, y += n) {
    if (n != 2) {
      for (idx c = 0; c < base_count; c++) scores[c] += base[c];
      label[r] = n == 1 ? scores[0] > 0 : labels[NAME(highest_class)(scores, voted, n)];
      NAME(transform_row)(y, scores, n, transform);
      continue;
    }
    const bool second = voted[1];
    if (base_count == 2 && second) {
      scores[1] = base[1] + scores[0];
      scores[0] = -scores[1];
    } else {
      for (idx c = 0; c < base_count; c++) scores[c] += base[c];
    }
    for (idx c = 0; c < 2; c++) scores[c] = voted[c] ? scores[c] : 0;
    const T score = scores[second];
    if (one_voted) {
      label[r] = labels[score > (positive ? (T)0.5 : 0)];
    } else {
      label[r] = score > 0;
    }
    if (second || base_count == 2) {
      NAME(transform_row)(y, scores, 2, transform);
    } else {
      NAME(transform_pair)(y, scores[0], transform, one_voted && positive);
    }
  }
}
