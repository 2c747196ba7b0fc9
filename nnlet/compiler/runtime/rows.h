// Folding a row of elements into one: sums and maxima, for kernels of any type.
//
// Each of 16 lanes folds every 16th element, so the C compiler keeps them in SIMD registers
// without being allowed to reorder floating point. Sums start anew every 4096 elements: many
// short sums lose less than one long one.
#ifndef NNLET_ROWS_H
#define NNLET_ROWS_H

#define ROW_LANES 16
#define ROW_BLOCK 4096

// Folds `term`, an expression of the index `i` for 0 <= i < n, into one `type`. `joined` says
// how `so_far` and the `next` term become one; `start` is neutral in it.
#define ROW_FOLD(type, start, i, n, term, joined)                                \
  ({                                                                             \
    type all_ = (start);                                                         \
    for (idx from_ = 0; from_ < (n); from_ += ROW_BLOCK) {                       \
      const idx to_ = (n) - from_ < ROW_BLOCK ? (n) : from_ + ROW_BLOCK;         \
      idx at_ = from_;                                                           \
      type lanes_[ROW_LANES];                                                    \
      for (idx l_ = 0; l_ < ROW_LANES; l_++) lanes_[l_] = (start);               \
      for (; at_ + ROW_LANES <= to_; at_ += ROW_LANES) {                         \
        for (idx l_ = 0; l_ < ROW_LANES; l_++) {                                 \
          const idx i = at_ + l_;                                                \
          const type next = (term), so_far = lanes_[l_];                         \
          lanes_[l_] = (joined);                                                 \
        }                                                                        \
      }                                                                          \
      for (; at_ < to_; at_++) {                                                 \
        const idx i = at_;                                                       \
        const type next = (term), so_far = lanes_[0];                            \
        lanes_[0] = (joined);                                                    \
      }                                                                          \
      for (idx l_ = 0; l_ < ROW_LANES; l_++) {                                   \
        const type next = lanes_[l_], so_far = all_;                             \
        all_ = (joined);                                                         \
      }                                                                          \
    }                                                                            \
    all_;                                                                        \
  })

#define ROW_SUM(type, i, n, term) ROW_FOLD(type, 0, i, n, term, so_far + next)
#define ROW_HIGHEST(type, i, n, term) \
  ROW_FOLD(type, LOWEST(type), i, n, term, next > so_far ? next : so_far)

#endif
