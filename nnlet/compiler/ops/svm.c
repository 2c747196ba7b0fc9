// Support vector machines, in f32 as onnxruntime. Support vectors lie transposed,
// [features, vectors], so that loops over vectors are SIMD.

enum { SVM_LINEAR, SVM_POLY, SVM_RBF, SVM_SIGMOID };

// y[rows, n] = the kernel of x[rows, features] and vectors[features, n]
static void svm_kernel(f32 *restrict y, const f32 *restrict x, const f32 *restrict vectors,
                       idx rows, idx features, idx n, idx kernel, f32 gamma, f32 coef0,
                       f32 degree) {
  for (idx r = 0; r < rows; r++, x += features, y += n) {
    for (idx v = 0; v < n; v++) y[v] = kernel == SVM_LINEAR ? coef0 : 0;
    for (idx f = 0; f < features; f++) {
      const f32 *row = vectors + f * n;
      if (kernel == SVM_RBF) {
        for (idx v = 0; v < n; v++) y[v] += (x[f] - row[v]) * (x[f] - row[v]);
      } else {
        for (idx v = 0; v < n; v++) y[v] += x[f] * row[v];
      }
    }
    if (kernel == SVM_RBF) {
      for (idx v = 0; v < n; v++) y[v] = EXP(f32)(-gamma * y[v]);
    } else if (kernel == SVM_SIGMOID) {
      for (idx v = 0; v < n; v++) y[v] = TANH(f32)(gamma * y[v] + coef0);
    } else if (kernel == SVM_POLY) {
      for (idx v = 0; v < n; v++) y[v] = powf(gamma * y[v] + coef0, degree);
    }
  }
}

// y[rows] = sum of coefficients[n] * kernel[rows, n] + rho
static void svm_regress(f32 *restrict y, const f32 *restrict kernel,
                        const f32 *restrict coefficients, idx rows, idx n, f32 rho,
                        bool one_class) {
  for (idx r = 0; r < rows; r++) {
    f32 sum = 0;
    for (idx v = 0; v < n; v++) sum += kernel[r * n + v] * coefficients[v];
    sum += rho;
    y[r] = !one_class ? sum : sum > 0 ? 1 : -1;
  }
}

// scores[rows, pairs] of each two classes i < j, from kernel[rows, vectors], where class i has
// the vectors first[i]..first[i + 1], and coefficients[classes - 1, vectors], whose row for the
// pair is j - 1 for those of i, and i for those of j. votes[rows, classes] counts each class's
// wins.
static void svm_pairs(f32 *restrict scores, f32 *restrict votes, const f32 *restrict kernel,
                      const f32 *restrict coefficients, const i32 *restrict first,
                      const f32 *restrict rho, idx rows, idx classes, idx vectors) {
  for (idx r = 0; r < rows; r++, votes += classes, kernel += vectors) {
    for (idx c = 0; c < classes; c++) votes[c] = 0;
    idx pair = 0;
    for (idx i = 0; i < classes; i++) {
      for (idx j = i + 1; j < classes; j++, pair++) {
        const f32 *of_i = coefficients + (j - 1) * vectors;
        const f32 *of_j = coefficients + i * vectors;
        f64 sum = 0;
        for (i32 v = first[i]; v < first[i + 1]; v++) sum += of_i[v] * kernel[v];
        for (i32 v = first[j]; v < first[j + 1]; v++) sum += of_j[v] * kernel[v];
        sum += rho[pair];
        *scores++ = (f32)sum;
        votes[sum > 0 ? i : j]++;
      }
    }
  }
}

// p[classes] from r[classes, classes], where r[i][j] is how probable i is, given i or j; the
// second method of Wu, Lin and Weng, "Probability Estimates for Multi-class Classification by
// Pairwise Coupling" (2004). q has room for [classes + 1, classes].
static void svm_couple(f32 *restrict p, const f32 *restrict r, f32 *restrict q, idx classes) {
  f32 *qp = q + classes * classes;
  for (idx i = 0; i < classes; i++) {
    p[i] = 1.0f / classes;
    f32 sum = 0;
    for (idx j = 0; j < classes; j++) {
      if (j != i) sum += r[j * classes + i] * r[j * classes + i];
      q[i * classes + j] = -r[j * classes + i] * r[i * classes + j];
    }
    q[i * classes + i] = sum;
  }
  for (idx round = 0; round < 100; round++) {
    f32 pqp = 0;
    for (idx i = 0; i < classes; i++) {
      qp[i] = 0;
      for (idx j = 0; j < classes; j++) qp[i] += q[i * classes + j] * p[j];
      pqp += p[i] * qp[i];
    }
    f32 error = 0;
    for (idx i = 0; i < classes; i++) error = fmaxf(error, fabsf(qp[i] - pqp));
    if (error < 0.005f / classes) break;
    for (idx i = 0; i < classes; i++) {
      const f32 step = (pqp - qp[i]) / q[i * classes + i];
      p[i] += step;
      pqp = (pqp + step * (step * q[i * classes + i] + 2 * qp[i])) / (1 + step) / (1 + step);
      for (idx j = 0; j < classes; j++) {
        qp[j] = (qp[j] + step * q[i * classes + j]) / (1 + step);
        p[j] /= 1 + step;
      }
    }
  }
}

// y[rows, classes] from scores[rows, pairs]: each pair's sigmoid(a score + b), then coupled.
// room is [2 classes + 1, classes].
static void svm_probabilities(f32 *restrict y, const f32 *restrict scores, f32 *restrict room,
                              const f32 *restrict a, const f32 *restrict b, idx rows,
                              idx classes) {
  for (idx row = 0; row < rows; row++, y += classes) {
    idx pair = 0;
    for (idx i = 0; i < classes; i++) {
      for (idx j = i + 1; j < classes; j++, pair++) {
        const f32 p = 1 / (1 + expf(*scores++ * a[pair] + b[pair]));
        const f32 inside = fminf(fmaxf(p, 1e-7f), 1 - 1e-7f);
        room[i * classes + j] = inside;
        room[j * classes + i] = 1 - inside;
      }
    }
    svm_couple(y, room, room + classes * classes, classes);
  }
}

// label[rows] by votes[rows, classes], the first of the highest
static void svm_labels(i64 *restrict label, const f32 *restrict votes, const i64 *restrict labels,
                       idx rows, idx classes) {
  for (idx r = 0; r < rows; r++, votes += classes) {
    idx best = 0;
    for (idx c = 1; c < classes; c++) best = votes[c] > votes[best] ? c : best;
    label[r] = labels[best];
  }
}

// The same in the linear form, by scores[rows, classes]. Of two classes the second also wins
// with a score that is high by itself: above 0, or, if no coefficient is negative, at least 0.5.
static void svm_linear_labels(i64 *restrict label, const f32 *restrict scores,
                              const i64 *restrict labels, idx rows, idx classes, bool decide_alone,
                              bool positive) {
  svm_labels(label, scores, labels, rows, classes);
  for (idx r = 0; decide_alone && r < rows; r++) {
    const f32 highest = fmaxf(scores[2 * r], scores[2 * r + 1]);
    if (positive ? highest >= 0.5f : highest > 0) label[r] = labels[1];
  }
}
