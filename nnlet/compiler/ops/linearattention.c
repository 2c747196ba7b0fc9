// Linear attention: instead of all keys, a state [size, value_size] for each key head, to which
// every position adds k v^T.
//
// y[batch, length, q_heads, value_size] from q[batch, length, q_heads, size], k and v with their
// `heads`, of which each serves q_heads / heads query heads. decay, if not NULL, scales a head's
// state by e^decay before: `decays` numbers a head, 1 or one for each row. beta, if not NULL,
// says how far what the state holds for k moves to v: `betas` numbers a position, 1 or one for
// each head. state [batch, heads, size, value_size] comes and goes; room is [value_size].
static void NAME(linear_attention)(T *restrict y, T *restrict state, T *restrict room,
                                   const T *restrict q, const T *restrict k, const T *restrict v,
                                   const T *restrict decay, const T *restrict beta, idx batch,
                                   idx length, idx q_heads, idx heads, idx size, idx value_size,
                                   idx decays, idx betas, T scale) {
  const idx group = q_heads / heads;
  for (idx at = 0; at < batch * length * heads; at++) {
    const idx h = at % heads, position = at / heads;
    T *rows = state + (position / length * heads + h) * size * value_size;
    const T *key = k + at * size;
    if (decay) {
      for (idx i = 0; i < size; i++) {
        const T factor = EXP(T)(decay[at * decays + (decays == 1 ? 0 : i)]);
        for (idx j = 0; j < value_size; j++) rows[i * value_size + j] *= factor;
      }
    }
    memcpy(room, v + at * value_size, value_size * sizeof(T));
    if (beta) {
      const T rate = beta[position * betas + (betas == 1 ? 0 : h)];
      for (idx i = 0; i < size; i++) {
        for (idx j = 0; j < value_size; j++) room[j] -= key[i] * rows[i * value_size + j];
      }
      for (idx j = 0; j < value_size; j++) room[j] *= rate;
    }
    for (idx i = 0; i < size; i++) {
      for (idx j = 0; j < value_size; j++) rows[i * value_size + j] += key[i] * room[j];
    }
    for (idx g = h * group; g < (h + 1) * group; g++) {
      const T *query = q + (position * q_heads + g) * size;
      T *to = y + (position * q_heads + g) * value_size;
      for (idx j = 0; j < value_size; j++) to[j] = 0;
      for (idx i = 0; i < size; i++) {
        for (idx j = 0; j < value_size; j++) to[j] += query[i] * rows[i * value_size + j];
      }
      for (idx j = 0; j < value_size; j++) to[j] *= scale;
    }
  }
}
