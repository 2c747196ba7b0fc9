// y[outer, n, inner] at place `index` of the middle axis = x[outer, inner]
static void NAME(put_slice)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner,
                            idx index) {
  for (idx o = 0; o < outer; o++) {
    memcpy(y + (o * n + index) * inner, x + o * inner, inner * sizeof(T));
  }
}

// y[outer, inner] = x[outer, n, inner] at place `index` of the middle axis
static void NAME(get_slice)(T *restrict y, const T *restrict x, idx outer, idx n, idx inner,
                            idx index) {
  for (idx o = 0; o < outer; o++) {
    memcpy(y + o * inner, x + (o * n + index) * inner, inner * sizeof(T));
  }
}
