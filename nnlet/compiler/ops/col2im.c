// y[planes, image] = the sum of the blocks x[planes, block, columns] where they overlap. Each
// shape has `rank` dimensions.
static void NAME(col2im)(T *restrict y, const T *restrict x, idx planes, idx rank,
                         const idx *image, const idx *block, const idx *columns,
                         const idx *strides, const idx *dilations, const idx *pads) {
  idx size = 1, block_size = 1, count = 1;
  for (idx k = 0; k < rank; k++) {
    size *= image[k];
    block_size *= block[k];
    count *= columns[k];
  }
  memset(y, 0, planes * size * sizeof(T));
  for (idx p = 0; p < planes; p++, y += size) {
    for (idx b = 0; b < block_size; b++) {
      for (idx c = 0; c < count; c++, x++) {
        idx at = 0, step = 1, in_block = b, column = c;
        bool inside = true;
        for (idx k = rank - 1; k >= 0; k--) {
          const idx place = column % columns[k] * strides[k] - pads[k] +
                            in_block % block[k] * dilations[k];
          inside = inside && place >= 0 && place < image[k];
          at += place * step;
          step *= image[k];
          in_block /= block[k];
          column /= columns[k];
        }
        if (inside) y[at] += *x;
      }
    }
  }
}
