"""Attention over keys, rotary positions, linear attention."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nnlet.compiler import dims as d
from nnlet.compiler.ctext import literal
from nnlet.compiler.dims import Dim
from nnlet.compiler.ops.cast import converted
from nnlet.compiler.ops.gemm import block_dims, depth
from nnlet.compiler.ops.linear import broadcast_stride
from nnlet.compiler.program import Value
from nnlet.compiler.site import FP32, Site
from nnlet.tensor import DataType

QUERIES, PACKED, PACKED_MOST = 4, 8, 32  # as in attention.c


@dataclass(frozen=True)
class _Heads:
    """Queries, keys or values as [batch, heads, length, size], however they lie in memory:
    `strides` of a batch entry, a head and a position."""

    value: Value
    batch: Dim
    heads: Dim
    length: Dim
    size: Dim
    strides: tuple[Dim, Dim, Dim]


def _heads(s: Site, x: Value, count: int | None) -> _Heads:
    """x [batch, heads, length, size], or [batch, length, heads * size] with that many heads."""
    if x.rank == 4:
        b, h, n, size = x.dims
        return _Heads(x, b, h, n, size, (h * n * size, n * size, size))
    if x.rank != 3:
        s.fail(f"an input of rank {x.rank}: 3 or 4 expected")
    if not count:
        s.fail("inputs of three dimensions need a number of heads")
    b, n, hidden = x.dims
    size = hidden // count
    s.same(size * count, hidden, "heads and their sizes together")
    return _Heads(x, b, count, n, size, (n * hidden, size, hidden))


def attention(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__Attention.html

    The softmax is computed in float32, or float64 for such inputs, whatever its precision
    attribute allows.
    """
    q = _heads(s, s.input(0), s.attr("q_num_heads"))
    k = _heads(s, s.input(1), s.attr("kv_num_heads"))
    v = _heads(s, s.input(2), s.attr("kv_num_heads"))
    dtype = s.input(0).dtype
    if k.value.dtype is not dtype or v.value.dtype is not dtype:
        s.unsupported("queries, keys and values of different types")
    _check_sizes(s, q, k, v)
    past: Dim = 0
    if s.has_input(4) != s.has_input(5):
        s.fail("past_key and past_value go together")
    k, past = _cached(s, k, 4, 1)
    v, past_values = _cached(s, v, 5, 2)
    s.same(past, past_values, "lengths of both caches")
    s.flush()
    keys = k.length
    mask, mask_strides, mask_keys = _mask(s, dtype, (q.batch, q.heads, q.length, keys))
    flat = s.input(0).rank == 3
    y_dims = (q.batch, q.length, q.heads * v.size) if flat else (q.batch, q.heads, q.length, v.size)
    y_strides = (
        (q.length * q.heads * v.size, v.size, q.heads * v.size)
        if flat
        else (q.heads * q.length * v.size, q.length * v.size, v.size)
    )
    lengths = s.optional(6)
    if lengths is not None:
        s.same(lengths.size, q.batch, "lengths and batch")
    y = s.output(0, dtype, y_dims)
    show = s.output(3, dtype, (q.batch, q.heads, q.length, keys)) if s.has_output(3) else None
    packed = dtype is FP32 and not (isinstance(q.length, int) and q.length < PACKED)
    rows = d.maximum(QUERIES, d.minimum(q.length, PACKED_MOST)) if packed else QUERIES
    room = s.scratch(dtype, (rows, keys))
    longest, columns = d.maximum(q.size, keys), d.maximum(keys, v.size)
    depth(s, longest)
    panels = s.scratch(FP32, (rows, longest)) if packed else None
    block = s.scratch(FP32, block_dims(longest, columns)) if packed else None
    fields: dict[str, object] = {
        "batch": q.batch,
        "heads": q.heads,
        "group": q.heads // k.heads,
        "queries": q.length,
        "keys": keys,
        "size": q.size,
        "value_size": v.size,
        "q": q.strides,
        "k": k.strides,
        "v": v.strides,
        "y": y_strides,
        "mask": mask_strides,
        "mask_keys": mask_keys,
        "past": past,
        "left": int(s.attr("left_window_size", -1)),
        "right": int(s.attr("right_window_size", -1)),
        "causal": bool(s.attr("is_causal", 0)),
        "mask_is_bool": mask is not None and mask.dtype.kind == "b",
        "shown": int(s.attr("qk_matmul_output_mode", 0)),
        "scale": _scale(s, q.size),
        "softcap": float(s.attr("softcap", 0.0)),
    }
    kinds = (dtype, dtype if mask is None else mask.dtype)
    s.call(
        "attention.attention", kinds, y, show, room, panels, block, q.value, k.value, v.value,
        mask, lengths, f"&(attention_shape){_struct(fields)}",
    )  # fmt: skip


def _check_sizes(s: Site, q: _Heads, k: _Heads, v: _Heads) -> None:
    s.same(q.batch, k.batch, "batch of queries and keys")
    s.same(q.batch, v.batch, "batch of queries and values")
    s.same(q.size, k.size, "sizes of queries and keys")
    s.same(k.heads, v.heads, "heads of keys and values")
    s.same(k.length, v.length, "lengths of keys and values")
    group = q.heads // k.heads
    s.same(group * k.heads, q.heads, "query heads for all key heads")


def _cached(s: Site, x: _Heads, past: int, present: int) -> tuple[_Heads, Dim]:
    """Keys or values behind those of input `past`, as output `present`; and how many those are."""
    old = s.optional(past)
    if old is None and not s.has_output(present):
        return x, 0
    before = old.dims[2] if old is not None else 0
    if old is not None:
        if old.rank != 4:
            s.fail(f"a cache of rank {old.rank}: 4 expected")
        for axis, size in ((0, x.batch), (1, x.heads), (3, x.size)):
            s.same(old.dims[axis], size, f"dimension {axis} of the cache")
    length = before + x.length
    dims = (x.batch, x.heads, length, x.size)
    if old is None and x.value.rank == 4:
        s.alias(present, x.value, dims)
        return x, 0
    y = s.output(present, x.value.dtype, dims)
    s.call(
        "cache.join_cache", s.bits(y.dtype), s.raw(y), None if old is None else s.raw(old),
        s.raw(x.value), x.batch, x.heads, before, x.length, x.size, x.strides,
    )  # fmt: skip
    s.flush()
    strides = (x.heads * length * x.size, length * x.size, x.size)
    return _Heads(y, x.batch, x.heads, length, x.size, strides), before


def _mask(
    s: Site, dtype: DataType, dims: tuple[Dim, Dim, Dim, Dim]
) -> tuple[Value | None, tuple[Dim, ...], Dim]:
    """The mask, its strides along `dims`, and how many keys it has something for."""
    mask = s.optional(3)
    keys = dims[3]
    if mask is None:
        return None, (0, 0, 0, 0), keys
    if not 1 <= mask.rank <= 4:
        s.fail(f"a mask of rank {mask.rank}: 1 to 4 expected")
    if mask.dtype.kind != "b":
        mask = converted(s, mask, dtype)
    own = (1,) * (4 - mask.rank) + mask.dims
    for dim, size in zip(own[:3], dims[:3], strict=True):
        if dim != 1:
            test = f"{d.c(dim)} == 1 || {d.c(dim)} == {d.c(size)}"
            words = "a mask with a dimension of %d where there are %d"
            if isinstance(dim, int) and isinstance(size, int) and dim != size:
                s.fail(words.replace("%d", "{}").format(dim, size))
            if dim != size:
                s.check(test, words, d.c(dim), d.c(size))
    strides = [broadcast_stride(own[n], dims[n], d.product(own[n + 1 :])) for n in range(3)]
    return mask, (*strides, 1), own[3]


def _scale(s: Site, size: Dim) -> str:
    """C text of the factor of all scores."""
    given = s.attr("scale")
    if given:
        return literal(float(given), FP32)
    if isinstance(size, int):
        return literal(1 / math.sqrt(max(size, 1)), FP32)
    return f"1 / sqrtf({d.c(size)})"


def _struct(fields: dict[str, object]) -> str:
    """A C initializer."""
    parts = []
    for name, value in fields.items():
        if isinstance(value, tuple):
            text = "{" + ", ".join(d.c(x) for x in value) + "}"
        elif isinstance(value, (bool, float)):
            text = literal(value, FP32) if isinstance(value, float) else str(int(value))
        else:
            text = value if isinstance(value, str) else d.c(value)  # type: ignore[arg-type]
        parts.append(f".{name} = {text}")
    return "{" + ", ".join(parts) + "}"


def rotary_embedding(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__RotaryEmbedding.html"""
    x = _heads(s, s.input(0), s.attr("num_heads"))
    cosines, sines, positions = s.input(1), s.input(2), s.optional(3)
    turned: Dim = int(s.attr("rotary_embedding_dim", 0)) or x.size
    half = turned // 2
    s.same(2 * half, turned, "pairs of numbers and numbers to turn")
    expected = 2 if positions is not None else 3
    if cosines.rank != expected or sines.rank != expected:
        s.fail(f"caches of rank {cosines.rank} and {sines.rank}: {expected} expected")
    for cache in (cosines, sines):
        s.same(cache.dims[-1], half, "columns of the caches and half of the rotary dimension")
    rows = d.product(cosines.dims[:-1])
    s.same(rows, d.product(sines.dims[:-1]), "rows of both caches")
    if positions is not None:
        s.same(positions.size, x.batch * x.length, "positions and tokens")
    s.same(d.minimum(turned, x.size), turned, "the rotary dimension and what a head has of it")
    y = s.output(0, x.value.dtype, x.value.dims)
    found = s.invoke(
        "rotary.rotate", x.value.dtype, y, x.value, cosines, sines, positions, rows, x.batch,
        x.heads, x.length, x.size, turned, bool(s.attr("interleaved", 0)), x.strides,
    )  # fmt: skip
    s.check(found, "a position beyond the %d that the caches have", d.c(rows))


UPDATES = {"linear": (False, False), "gated": (True, False), "delta": (False, True),
           "gated_delta": (True, True)}  # fmt: skip


def linear_attention(s: Site) -> None:
    """https://onnx.ai/onnx/operators/onnx__LinearAttention.html"""
    rule = str(s.attr("update_rule", "gated_delta"))
    if rule not in UPDATES:
        s.fail(f"unknown update_rule {rule!r}")
    q_heads, kv_heads = int(s.attr("q_num_heads", 0)), int(s.attr("kv_num_heads", 0))
    if kv_heads <= 0 or q_heads <= 0 or q_heads % kv_heads:
        s.fail(f"{q_heads} query heads for {kv_heads} key heads")
    if (s.has_input(4), s.has_input(5)) != UPDATES[rule]:
        s.fail(f"update_rule {rule!r} with{'' if s.has_input(4) else 'out'} decay and "
               f"with{'' if s.has_input(5) else 'out'} beta")  # fmt: skip
    if any(s.input(n).rank != 3 for n in range(3)):
        s.fail("query, key and value should have three dimensions each")
    q, k = _heads(s, s.input(0), q_heads), _heads(s, s.input(1), kv_heads)
    v = _heads(s, s.input(2), kv_heads)
    for other in (k, v):
        s.same(q.batch, other.batch, "batch of queries, keys and values")
        s.same(q.length, other.length, "lengths of queries, keys and values")
    s.same(q.size, k.size, "sizes of queries and keys")
    decay, beta, past = s.optional(4), s.optional(5), s.optional(3)
    for rate in (decay, beta):
        if rate is not None:
            if rate.rank != 3:
                s.fail("decay and beta should have three dimensions each")
            s.same(rate.dims[0], q.batch, "batch of queries, decay and beta")
            s.same(rate.dims[1], q.length, "lengths of queries, decay and beta")
    decays = _columns(s, decay, kv_heads, q.size) if decay is not None else 0
    betas = beta.dims[2] if beta is not None else 0
    if betas not in (0, 1, kv_heads):
        test = f"{d.c(betas)} == 1 || {d.c(betas)} == {kv_heads}"
        s.check(test, f"%d rates of change for {kv_heads} heads", d.c(betas))
    dims = (q.batch, kv_heads, q.size, v.size)
    if past is not None:
        if past.rank != 4:
            s.fail(f"a past state of rank {past.rank}: 4 expected")
        for axis, size in enumerate(dims):
            s.same(past.dims[axis], size, f"dimension {axis} of the past state")
    dtype = q.value.dtype
    y = s.output(0, dtype, (q.batch, q.length, q_heads * v.size))
    state = s.output(1, dtype, dims)
    bytes_ = d.c(state.size * dtype.size)
    to = s.pointer(state)
    s.emit(
        f"memset({to}, 0, {bytes_});"
        if past is None
        else f"memcpy({to}, {s.pointer(past)}, {bytes_});"
    )
    s.call(
        "linearattention.linear_attention", dtype, y, state, s.scratch(dtype, (v.size,)),
        q.value, k.value, v.value, decay, beta, q.batch, q.length, q_heads, kv_heads, q.size,
        v.size, decays, betas, _scale(s, q.size),
    )  # fmt: skip


def _columns(s: Site, decay: Value, heads: int, size: Dim) -> Dim:
    """How many decays a head has: 1, or one for each row of its state."""
    columns = decay.dims[2]
    if columns in (heads, heads * size):
        return columns // heads
    if isinstance(columns, int) and isinstance(size, int):
        s.fail(f"{columns} decays for {heads} heads of {size} rows")
    test = f"{d.c(columns)} == {heads} || {d.c(columns)} == {d.c(heads * size)}"
    s.check(test, f"%d decays for {heads} heads of %d rows", d.c(columns), d.c(size))
    return columns // heads
