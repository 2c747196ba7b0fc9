// The first lengths[b] rows of each sequence in reverse. y and x hold rows of `inner` elements,
// `batch_step` apart from sequence to sequence and `time_step` within one. False where a length
// is not in 0 to `time`.
static bool NAME(reverse_sequence)(T *restrict y, const T *restrict x, const U *lengths, idx batch,
                                   idx time, idx inner, idx batch_step, idx time_step) {
  for (idx b = 0; b < batch; b++) {
    if ((i64)lengths[b] < 0 || (i64)lengths[b] > time) return false;
    const idx length = (idx)lengths[b];
    for (idx t = 0; t < time; t++) {
      const idx from = t < length ? length - 1 - t : t;
      memcpy(y + b * batch_step + t * time_step, x + b * batch_step + from * time_step,
             inner * sizeof(T));
    }
  }
  return true;
}
