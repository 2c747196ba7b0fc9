// Region-of-interest pooling.

// x * scale, rounded, halves away from 0. It is data: what is no index becomes a far one.
static idx NAME(roi_coordinate)(T x, T scale) {
  const idx most = 1 << 28;
  const T scaled = x * scale;
  if (!(scaled > (T)-most)) return -most;
  if (!(scaled < (T)most)) return most;
  return scaled < 0 ? -(idx)((T)0.5 - scaled) : (idx)(scaled + (T)0.5);
}

// The inputs [begin, end) that bin `b` of `bins` over [start, start + length) covers.
static void NAME(roi_bin)(idx *begin, idx *end, idx b, idx bins, idx start, idx length, idx in) {
  const idx from = start + (idx)((i64)b * length / bins);
  const idx to = start + (idx)(((i64)(b + 1) * length + bins - 1) / bins);
  *begin = from < 0 ? 0 : from;
  *end = to > in ? in : to;
}

// y[roi, channel, ph, pw] = the maximum of x[n, channels, in_h, in_w] over the bins of each of
// rois[count, 5] = (image, x1, y1, x2, y2); 0 over an empty bin. Returns whether every image
// index is inside the batch.
static bool NAME(maxroipool)(T *restrict y, const T *restrict x, const T *restrict rois,
                             idx count, idx n, idx channels, idx in_h, idx in_w, idx out_h,
                             idx out_w, T scale) {
  for (idx r = 0; r < count; r++, rois += 5) {
    if (!(rois[0] >= 0 && rois[0] < (T)n)) return false;
    const idx left = NAME(roi_coordinate)(rois[1], scale);
    const idx top = NAME(roi_coordinate)(rois[2], scale);
    idx width = NAME(roi_coordinate)(rois[3], scale) - left + 1;
    idx height = NAME(roi_coordinate)(rois[4], scale) - top + 1;
    if (width < 1) width = 1;
    if (height < 1) height = 1;
    const T *plane = x + (idx)rois[0] * channels * in_h * in_w;
    for (idx c = 0; c < channels; c++, plane += in_h * in_w) {
      for (idx ph = 0; ph < out_h; ph++) {
        idx h0, h1;
        NAME(roi_bin)(&h0, &h1, ph, out_h, top, height, in_h);
        for (idx pw = 0; pw < out_w; pw++) {
          idx w0, w1;
          NAME(roi_bin)(&w0, &w1, pw, out_w, left, width, in_w);
          T highest = h0 < h1 && w0 < w1 ? LOWEST(T) : 0;
          for (idx h = h0; h < h1; h++) {
            for (idx w = w0; w < w1; w++) {
              highest = plane[h * in_w + w] > highest ? plane[h * in_w + w] : highest;
            }
          }
          *y++ = highest;
        }
      }
    }
  }
  return true;
}
