// Decision trees: T is the type of features and thresholds, U (i32 or i64) that of links, V that
// of a shape's number, for sum_apart alone.
//
// A row x goes down from a tree's root. The low `shift` bits of a node's link say which feature
// it looks at (and, in the highest of them, whether NaN counts as at or below the threshold);
// the others how many nodes further its children lie, side by side:
//
//   node += (link >> shift) + (x[feature] <= threshold)
//
// A leaf's step is 0 and its threshold NaN, which nothing is at or below: a row that has
// arrived stays while others still walk, so several walk at once without a branch. The low bits
// of that NaN are the leaf's number in its tree.

#ifndef NN_TREES
#define NN_TREES
enum {
  TREE_LANES = 8,   // so many walks at once: enough to hide the loads of each
  TREE_BLOCK = 64,  // so many rows pass one tree before the next
  TREE_LEAF_BITS_f32 = 22,
  TREE_LEAF_BITS_f64 = 32,
};
#endif

typedef struct {
  T threshold;
  U link;
} NAME(node);

// The number of the leaf `at`. Its first four bytes are the low ones of the NaN.
static inline u32 NAME(leaf_number)(const NAME(node) *at) {
  u32 bits;
  memcpy(&bits, &at->threshold, 4);
  return bits & (u32)((1ull << NN_JOIN(TREE_LEAF_BITS_, T)) - 1);
}

// leaves[k] = the leaf where row x + k * row_step, walking from roots[k], arrives
static inline __attribute__((always_inline)) void NAME(walk)(
    u32 *leaves, const T *x, idx row_step, const NAME(node) *const *roots, idx shift,
    bool with_nan) {
  const U feature_mask = ((U)1 << (shift - 1)) - 1;
  const NAME(node) *at[TREE_LANES];
  for (idx k = 0; k < TREE_LANES; k++) at[k] = roots[k];
  U moved;
  do {
    moved = 0;
    for (idx k = 0; k < TREE_LANES; k++) {
      const U link = at[k]->link;
      const T value = x[k * row_step + (idx)(link & feature_mask)];
      bool yes = value <= at[k]->threshold;
      if (with_nan) yes |= (link >> (shift - 1) & 1) & (value != value);
      moved |= link >> shift;
      at[k] += (idx)(link >> shift) + yes;
    }
  } while (moved);
  for (idx k = 0; k < TREE_LANES; k++) leaves[k] = NAME(leaf_number)(at[k]);
}

// leaves[trees, rows] for x[rows, features]; a tree is its root's place and its first leaf's
// number. Rows walk a tree together; the rows that are left over walk many trees each.
static inline __attribute__((always_inline)) void NAME(find)(
    u32 *restrict leaves, const T *restrict x, const void *nodes, const u32 *trees,
    idx rows, idx features, idx tree_count, idx shift, bool with_nan) {
  const NAME(node) *const first = nodes;
  const NAME(node) *roots[TREE_LANES];
  u32 found[TREE_LANES];
  const idx together = rows / TREE_LANES * TREE_LANES;
  for (idx t = 0; t < tree_count && together; t++) {
    for (idx k = 0; k < TREE_LANES; k++) roots[k] = first + trees[2 * t];
    for (idx r = 0; r < together; r += TREE_LANES) {
      NAME(walk)(found, x + r * features, features, roots, shift, with_nan);
      for (idx k = 0; k < TREE_LANES; k++) leaves[t * rows + r + k] = trees[2 * t + 1] + found[k];
    }
  }
  for (idx r = together; r < rows; r++) {
    for (idx t = 0; t < tree_count; t += TREE_LANES) {
      for (idx k = 0; k < TREE_LANES; k++) roots[k] = first + trees[2 * (t + k)];
      NAME(walk)(found, x + r * features, 0, roots, shift, with_nan);
      for (idx k = 0; k < TREE_LANES; k++) leaves[(t + k) * rows + r] = trees[2 * (t + k) + 1] + found[k];
    }
  }
}

// leaves[trees, rows] as above, `with_nan` decided once
static void NAME(find_leaves)(u32 *restrict leaves, const T *restrict x, const void *nodes,
                         const u32 *trees, idx rows, idx features, idx tree_count, idx shift,
                         bool with_nan) {
  if (with_nan) {
    NAME(find)(leaves, x, nodes, trees, rows, features, tree_count, shift, true);
  } else {
    NAME(find)(leaves, x, nodes, trees, rows, features, tree_count, shift, false);
  }
}

// scores[rows, n] from votes[leaves, columns], which go to the columns from `column` on: the sum
// over all trees. `leaves` has room for [tree_count, TREE_BLOCK].
static void NAME(sum_dense)(T *restrict scores, u32 *restrict leaves, const T *restrict x,
                            const void *nodes, const u32 *trees, const T *restrict votes,
                            idx rows, idx features, idx tree_count, idx n, idx column,
                            idx columns, idx shift, bool with_nan) {
  for (idx i = 0; i < rows * n; i++) scores[i] = 0;
  for (idx start = 0; start < rows; start += TREE_BLOCK) {
    const idx block = rows - start < TREE_BLOCK ? rows - start : TREE_BLOCK;
    NAME(find_leaves)(leaves, x + start * features, nodes, trees, block, features, tree_count, shift,
                 with_nan);
    for (idx t = 0; t < tree_count; t++) {
      for (idx r = 0; r < block; r++) {
        T *to = scores + (start + r) * n + column;
        const T *from = votes + leaves[t * block + r] * columns;
        for (idx c = 0; c < columns; c++) to[c] += from[c];
      }
    }
  }
}

// The same where leaf l has votes[first[l]..first[l + 1]] for targets[..], taken together as
// `how` says; voted[rows, n] is 1 where there was a vote.
enum { NAME(SUM), NAME(MIN), NAME(MAX) };
static void NAME(gather)(T *restrict scores, u8 *restrict voted, u32 *restrict leaves,
                         const T *restrict x, const void *nodes, const u32 *trees,
                         const u32 *restrict first, const u32 *restrict targets,
                         const T *restrict votes, idx rows, idx features, idx tree_count, idx n,
                         idx shift, bool with_nan, idx how) {
  memset(voted, 0, rows * n);
  for (idx i = 0; i < rows * n; i++) scores[i] = 0;
  for (idx start = 0; start < rows; start += TREE_BLOCK) {
    const idx block = rows - start < TREE_BLOCK ? rows - start : TREE_BLOCK;
    NAME(find_leaves)(leaves, x + start * features, nodes, trees, block, features, tree_count, shift,
                 with_nan);
    for (idx t = 0; t < tree_count; t++) {
      for (idx r = 0; r < block; r++) {
        const u32 leaf = leaves[t * block + r];
        for (u32 i = first[leaf]; i < first[leaf + 1]; i++) {
          const idx to = (start + r) * n + targets[i];
          if (how == NAME(SUM)) {
            scores[to] += votes[i];
          } else if (!voted[to] || (how == NAME(MIN) ? votes[i] < scores[to]
                                                     : votes[i] > scores[to])) {
            scores[to] = votes[i];
          }
          voted[to] = 1;
        }
      }
    }
  }
}

#ifdef V
// scores[rows, n] where each tree votes for one target: trees[ends[c - 1]..ends[c]] for c. Tree t
// is shape trees[t] with votes of its own, one a leaf, which lie after those of the trees before;
// shape k has leaf_counts[k]. Shapes are walked once, however many trees have them. `leaves` has
// room for [shape_count, block_rows], at most TREE_BLOCK. gather is the same without shapes.
static void NAME(sum_apart)(T *restrict scores, u32 *restrict leaves, const T *restrict x,
                            const void *nodes, const u32 *shapes,
                            const u32 *restrict leaf_counts, const V *restrict trees,
                            const u32 *restrict ends, const T *restrict votes, idx rows,
                            idx features, idx shape_count, idx n, idx shift, bool with_nan,
                            idx block_rows) {
  for (idx start = 0; start < rows; start += block_rows) {
    const idx block = rows - start < block_rows ? rows - start : block_rows;
    NAME(find_leaves)(leaves, x + start * features, nodes, shapes, block, features, shape_count,
                 shift, with_nan);
    const T *from = votes;
    for (idx c = 0, t = 0; c < n; c++) {
      T sums[TREE_BLOCK] = {0};
      for (; t < (idx)ends[c]; t++) {
        const u32 *arrived = leaves + trees[t] * block;
        for (idx r = 0; r < block; r++) sums[r] += from[arrived[r]];
        from += leaf_counts[trees[t]];
      }
      for (idx r = 0; r < block; r++) scores[(start + r) * n + c] = sums[r];
    }
  }
}
#endif
