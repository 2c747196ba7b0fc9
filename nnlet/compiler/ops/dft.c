// Fourier transforms, computed in f64. Complex numbers are two f64 side by side.

// y[n] = the transform of every step-th number of x; turns[total] are the roots of unity, and
// n * step is total. Halves while n is even, and sums up what is left as the formula says.
static void NAME(fourier)(f64 *restrict y, const f64 *restrict x, const f64 *turns, idx n,
                          idx step, idx total) {
  if (n % 2 == 0) {
    const idx half = n / 2;
    NAME(fourier)(y, x, turns, half, 2 * step, total);
    NAME(fourier)(y + n, x + 2 * step, turns, half, 2 * step, total);
    for (idx k = 0; k < half; k++) {
      f64 *const even = y + 2 * k, *const odd = y + n + 2 * k;
      const f64 *const turn = turns + 2 * k * step;
      const f64 re = turn[0] * odd[0] - turn[1] * odd[1], im = turn[0] * odd[1] + turn[1] * odd[0];
      odd[0] = even[0] - re;
      odd[1] = even[1] - im;
      even[0] += re;
      even[1] += im;
    }
    return;
  }
  for (idx k = 0; k < n; k++) {
    f64 re = 0, im = 0;
    for (idx j = 0, at = 0; j < n; j++, at = (at + k * step) % total) {
      const f64 *const turn = turns + 2 * at, *const from = x + 2 * j * step;
      re += turn[0] * from[0] - turn[1] * from[1];
      im += turn[0] * from[1] + turn[1] * from[0];
    }
    y[2 * k] = re;
    y[2 * k + 1] = im;
  }
}

static void NAME(roots_of_unity)(f64 *turns, idx n, bool inverse) {
  for (idx k = 0; k < n; k++) {
    const f64 angle = (inverse ? 2 : -2) * 3.14159265358979323846 * (f64)k / (f64)n;
    turns[2 * k] = cos(angle);
    turns[2 * k + 1] = sin(angle);
  }
}

// y[outer, bins, inner, out_parts] = the transform of x[outer, n, inner, parts], cut or filled up
// with zeros to `length`. An inverse of onesided numbers has their mirror images too. `work`
// holds 6 * length numbers.
static void NAME(dft)(T *restrict y, const T *restrict x, f64 *restrict work, idx outer, idx n,
                      idx inner, idx parts, idx length, idx bins, idx out_parts, bool inverse,
                      bool onesided) {
  f64 *const turns = work, *const from = work + 2 * length, *const to = work + 4 * length;
  const f64 scale = inverse ? 1 / (f64)length : 1;
  const idx given = inverse && onesided ? length / 2 + 1 : length;
  NAME(roots_of_unity)(turns, length, inverse);
  for (idx line = 0; line < outer * inner; line++) {
    const idx o = line / inner, i = line % inner;
    memset(from, 0, 2 * length * sizeof *from);
    for (idx k = 0; k < n && k < given; k++) {
      const T *const number = x + ((o * n + k) * inner + i) * parts;
      from[2 * k] = number[0];
      from[2 * k + 1] = parts == 2 ? number[1] : 0;
      if (inverse && onesided && k > 0 && 2 * k < length) {
        from[2 * (length - k)] = from[2 * k];
        from[2 * (length - k) + 1] = -from[2 * k + 1];
      }
    }
    NAME(fourier)(to, from, turns, length, 1, length);
    for (idx k = 0; k < bins; k++) {
      T *const number = y + ((o * bins + k) * inner + i) * out_parts;
      for (idx p = 0; p < out_parts; p++) number[p] = (T)(to[2 * k + p] * scale);
    }
  }
}

// y[batch, frames, bins, 2] = the transforms of x[batch, n, parts], `length` numbers times the
// window each, `step` apart. `work` holds 6 * length numbers.
static void NAME(stft)(T *restrict y, const T *restrict x, const T *restrict window,
                       f64 *restrict work, idx batch, idx n, idx parts, idx step, idx length,
                       idx frames, idx bins) {
  f64 *const turns = work, *const from = work + 2 * length, *const to = work + 4 * length;
  NAME(roots_of_unity)(turns, length, false);
  for (idx frame = 0; frame < batch * frames; frame++, y += bins * 2) {
    const T *const start = x + (frame / frames * n + frame % frames * step) * parts;
    for (idx k = 0; k < length; k++) {
      const f64 weight = window ? window[k] : 1;
      from[2 * k] = weight * start[k * parts];
      from[2 * k + 1] = parts == 2 ? weight * start[k * parts + 1] : 0;
    }
    NAME(fourier)(to, from, turns, length, 1, length);
    for (idx k = 0; k < 2 * bins; k++) y[k] = (T)to[k];
  }
}
