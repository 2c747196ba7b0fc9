// Bit k is set where axis k is among `axes` (from the back if negative); -1 for one outside.
static i64 axis_mask(const i64 *axes, idx count, idx rank) {
  i64 mask = 0;
  for (idx k = 0; k < count; k++) {
    const i64 axis = axes[k] < 0 ? axes[k] + rank : axes[k];
    if (axis < 0 || axis >= rank) return -1;
    mask |= (i64)1 << axis;
  }
  return mask;
}

// The size along the `at`-th of the axes that are not in `mask`.
static i64 unmasked_dim(i64 mask, idx at, const idx *dims, idx rank) {
  for (idx k = 0; k < rank; k++) {
    if (!(mask >> k & 1) && at-- == 0) return dims[k];
  }
  return 1;
}
