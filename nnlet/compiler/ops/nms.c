// A box as its corners: y1, x1, y2, x2 in any order, or x, y, width, height around a center.
typedef struct {
  T top, left, bottom, right;
} NAME(nms_box);

static NAME(nms_box) NAME(nms_corners)(const T *box, bool center) {
  if (center) {
    const T x = box[2] / 2, y = box[3] / 2;
    return (NAME(nms_box)){box[1] - y, box[0] - x, box[1] + y, box[0] + x};
  }
  const bool down = box[0] < box[2], right = box[1] < box[3];
  return (NAME(nms_box)){box[down ? 0 : 2], box[right ? 1 : 3], box[down ? 2 : 0],
                         box[right ? 3 : 1]};
}

// Whether intersection over union is above the limit.
static bool NAME(nms_overlap)(NAME(nms_box) a, NAME(nms_box) b, T limit) {
  const T top = a.top > b.top ? a.top : b.top, left = a.left > b.left ? a.left : b.left;
  const T bottom = a.bottom < b.bottom ? a.bottom : b.bottom;
  const T right = a.right < b.right ? a.right : b.right;
  if (!(bottom > top && right > left)) return false;
  const T area_a = (a.bottom - a.top) * (a.right - a.left);
  const T area_b = (b.bottom - b.top) * (b.right - b.left);
  const T common = (bottom - top) * (right - left), all = area_a + area_b - common;
  return common > 0 && area_a > 0 && area_b > 0 && all > 0 && common / all > limit;
}

// Whether box i comes before box j: the higher score, or the first of equal ones.
static inline bool NAME(nms_before)(const T *scores, i64 i, i64 j) {
  return scores[i] != scores[j] ? scores[i] > scores[j] : i < j;
}

// Puts `box` into a heap of n whose place `at` is free: the first in order is on top.
static void NAME(nms_sift)(i64 *heap, idx at, idx n, i64 box, const T *scores) {
  for (idx child = 2 * at + 1; child < n; child = 2 * at + 1) {
    if (child + 1 < n && NAME(nms_before)(scores, heap[child + 1], heap[child])) child++;
    if (!NAME(nms_before)(scores, heap[child], box)) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = box;
}

// The boxes of one class that are kept, at most `most`: their numbers into every third of
// `kept`. Gives how many they are.
static idx NAME(nms_class)(i64 *restrict kept, i64 *restrict heap, const T *boxes, const T *scores,
                           idx n, idx most, T limit, const T *score_limit, bool center) {
  idx left = 0, count = 0;
  for (idx i = 0; i < n; i++) {
    if (!score_limit || scores[i] > *score_limit) heap[left++] = i;
  }
  for (idx at = left / 2; at-- > 0;) NAME(nms_sift)(heap, at, left, heap[at], scores);
  while (left > 0 && count < most) {
    const i64 best = heap[0];
    left--;
    if (left > 0) NAME(nms_sift)(heap, 0, left, heap[left], scores);
    const NAME(nms_box) box = NAME(nms_corners)(boxes + 4 * best, center);
    bool free = true;
    for (idx k = 0; k < count && free; k++) {
      free = !NAME(nms_overlap)(box, NAME(nms_corners)(boxes + 4 * kept[3 * k], center), limit);
    }
    if (free) kept[3 * count++] = best;
  }
  return count;
}

// selected[.., 3] = batch, class and number of the boxes kept of boxes[batch, n, 4] with
// scores[batch, classes, n], at most `most` a class. Gives how many they are.
static idx NAME(nms)(i64 *restrict selected, i64 *restrict heap, const T *restrict boxes,
                     const T *restrict scores, idx batch, idx classes, idx n, idx most,
                     const T *limit, const T *score_limit, bool center) {
  idx total = 0;
  for (idx b = 0; b < batch; b++) {
    for (idx c = 0; c < classes; c++) {
      i64 *const row = selected + 3 * total;
      const idx count = NAME(nms_class)(row + 2, heap, boxes + 4 * b * n,
                                        scores + (b * classes + c) * n, n, most,
                                        limit ? *limit : 0, score_limit, center);
      for (idx k = 0; k < count; k++) {
        row[3 * k] = b;
        row[3 * k + 1] = c;
      }
      total += count;
    }
  }
  return total;
}
