"""Attention, RotaryEmbedding and LinearAttention against ONNX's reference evaluator, with every
dimension known only at run time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from nnlet.compiler import compile_protos
from nnlet.errors import InferenceError, UnsupportedModel
from nnlet.native import NativeModels
from tests.compiler.oracle import Array, Case, check, compiled

RNG = np.random.default_rng(17)


def case(
    name: str,
    op: str,
    inputs: Mapping[str, Array | None],
    outputs: int,
    opset: int,
    tolerance: float = 1e-5,
    **attrs: Any,
) -> Case:
    """One node; each dim of an input is a size of its own."""
    given = {n: x for n, x in inputs.items() if x is not None}
    names = [n if x is not None else "" for n, x in inputs.items()]
    while names[-1] == "":
        names.pop()
    results = [f"y{n}" for n in range(outputs)]
    node = helper.make_node(op, names, results, **attrs)

    def graph(shapes: Sequence[Any]) -> onnx.ModelProto:
        ports = [port(n, x, [f"{n}_{k}" for k in range(x.ndim)]) for n, x in given.items()]
        ends = [port(n, y, dims) for (n, y), dims in zip(shapes, all_dims(shapes), strict=True)]
        made = helper.make_graph([node], op, ports, ends)
        return helper.make_model(
            made, opset_imports=[helper.make_opsetid("", opset)], ir_version=10
        )

    guess = [(n, next(iter(given.values()))) for n in results]
    expected = ReferenceEvaluator(graph(guess)).run(None, given)
    proto = graph(list(zip(results, expected, strict=True)))
    return Case(name, proto, given, expected, rtol=tolerance, atol=tolerance)


def all_dims(shapes: Sequence[Any]) -> list[list[str]]:
    return [[f"{n}_{k}" for k in range(y.ndim)] for n, y in shapes]


def port(name: str, x: Array, dims: Sequence[str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), dims)


def normal(*shape: int, dtype: str = "f4") -> Array:
    return RNG.normal(size=shape).astype(dtype)


def attention(
    name: str,
    *,
    batch: int = 2,
    heads: int = 4,
    kv_heads: int = 4,
    queries: int = 5,
    keys: int = 7,
    size: int = 8,
    value_size: int = 8,
    past: int = 0,
    mask: Array | None = None,
    lengths: Sequence[int] = (),
    flat: bool = False,
    outputs: int = 1,
    dtype: str = "f4",
    **attrs: Any,
) -> Case:
    def tensor(h: int, n: int, d: int) -> Array:
        return normal(batch, n, h * d, dtype=dtype) if flat else normal(batch, h, n, d, dtype=dtype)

    inputs = {
        "q": tensor(heads, queries, size),
        "k": tensor(kv_heads, keys, size),
        "v": tensor(kv_heads, keys, value_size),
        "mask": mask,
        "past_k": normal(batch, kv_heads, past, size, dtype=dtype) if past else None,
        "past_v": normal(batch, kv_heads, past, value_size, dtype=dtype) if past else None,
        "lengths": np.array(lengths, "i8") if lengths else None,
    }
    if flat:
        attrs |= {"q_num_heads": heads, "kv_num_heads": kv_heads}
    return case(name, "Attention", inputs, outputs, 25, **attrs)


def bools(*shape: int) -> Array:
    return RNG.random(size=shape) < 0.6


def attention_cases() -> list[Case]:
    found = [attention("plain"), attention("flat", flat=True), attention("double", dtype="f8")]
    for size in (1, 2, 3, 5, 17, 32):
        for keys in (1, 2, 3, 9):
            found.append(
                attention(f"size_{size}_{keys}", size=size, value_size=size + 1, keys=keys)
            )
    for flat in (False, True):  # more than what is packed at a time
        sizes = {"queries": 37, "keys": 300, "size": 9, "value_size": 5}
        name = f"packed_{flat}"
        found.append(attention(name, flat=flat, mask=bools(37, 300), kv_heads=2, **sizes))
    for queries in (1, 2, 3, 4, 6, 8, 17):
        found.append(attention(f"queries_{queries}", queries=queries, keys=65, is_causal=1))
    for flat in (False, True):
        text = "flat" if flat else "deep"
        found += [
            attention(f"groups_{text}", kv_heads=2, flat=flat),
            attention(f"one_key_head_{text}", kv_heads=1, flat=flat, is_causal=1),
            attention(f"past_{text}", past=3, flat=flat, outputs=3),
            attention(f"past_causal_{text}", past=3, flat=flat, outputs=3, is_causal=1),
            attention(f"present_{text}", flat=flat, outputs=3),
        ]
    for mode in range(4):
        for softcap in (0.0, 1.5) if mode else (0.0,):  # the reference shows 0 with the cap
            found.append(
                attention(
                    f"scores_{mode}_{softcap}", outputs=4, qk_matmul_output_mode=mode,
                    softcap=softcap, is_causal=1, mask=normal(5, 7), past=0,
                )
            )  # fmt: skip
    masks = {
        "2d": (5, 7), "1d": (7,), "one": (1,), "heads": (4, 5, 7), "4d": (2, 4, 5, 7),
        "batch": (2, 1, 1, 7), "queries": (1, 1, 5, 7), "short": (5, 4), "short_4d": (2, 1, 5, 6),
    }  # fmt: skip
    for name, shape in masks.items():
        found.append(attention(f"mask_{name}", mask=normal(*shape)))
        found.append(attention(f"mask_bool_{name}", mask=bools(*shape)))
        if shape[-2:-1] not in ((), (1,)):  # the reference takes that 1 for the queries
            found.append(attention(f"mask_causal_{name}", mask=bools(*shape), is_causal=1))
    found += [
        attention("nothing_seen", mask=np.zeros((5, 7), bool), outputs=4, qk_matmul_output_mode=3),
        attention("lengths", lengths=[7, 3]),
        attention("lengths_causal", lengths=[7, 3], is_causal=1),
        attention("lengths_mask", lengths=[5, 4], mask=bools(5, 6)),
        attention("window", left_window_size=2, right_window_size=1),
        attention("window_causal", left_window_size=1, is_causal=1, past=4, outputs=3),
        attention("window_lengths", left_window_size=0, lengths=[6, 5]),
        attention("scale", scale=0.7, softcap=2.0),
    ]
    return found


def rotary(name: str, flat: bool, positions: bool, **attrs: Any) -> Case:
    batch, heads, length, size = 2, 3, 4, 8
    turned = attrs.get("rotary_embedding_dim", size)
    x = normal(batch, length, heads * size) if flat else normal(batch, heads, length, size)
    rows = (50,) if positions else (batch, length)
    inputs = {
        "x": x,
        "cos": normal(*rows, turned // 2),
        "sin": normal(*rows, turned // 2),
        "positions": RNG.integers(0, 50, size=(batch, length)) if positions else None,
    }
    if flat:
        attrs["num_heads"] = heads
    return case(name, "RotaryEmbedding", inputs, 1, 23, **attrs)


def rotary_cases() -> list[Case]:
    return [
        rotary(f"rotary_{flat}_{positions}_{interleaved}_{part}", flat, positions,
               interleaved=interleaved, **({"rotary_embedding_dim": 4} if part else {}))
        for flat in (False, True)
        for positions in (False, True)
        for interleaved in (0, 1)
        for part in (False, True)
    ]  # fmt: skip


def linear(name: str, rule: str, *, heads: int = 4, past: bool = True, **columns: int) -> Case:
    batch, length, kv_heads, size, value_size = 2, 5, 2, 6, 3
    gated, delta = rule in ("gated", "gated_delta"), rule in ("delta", "gated_delta")
    inputs = {
        "q": normal(batch, length, heads * size),
        "k": normal(batch, length, kv_heads * size) * 0.3,
        "v": normal(batch, length, kv_heads * value_size),
        "past": normal(batch, kv_heads, size, value_size) if past else None,
        "decay": -np.abs(normal(batch, length, columns.get("decay", kv_heads))) if gated else None,
        "beta": np.abs(normal(batch, length, columns.get("beta", kv_heads))) if delta else None,
    }
    return case(
        name, "LinearAttention", inputs, 2, 27, tolerance=1e-4, update_rule=rule,
        q_num_heads=heads, kv_num_heads=kv_heads,
    )  # fmt: skip


def linear_cases() -> list[Case]:
    rules = ("linear", "gated", "delta", "gated_delta")
    return [
        *(linear(f"linear_{rule}_{past}", rule, past=past) for rule in rules for past in (0, 1)),
        linear("linear_wide_decay", "gated", decay=12),
        linear("linear_one_beta", "delta", beta=1),
        linear("linear_one_head", "gated_delta", heads=2),
    ]


CASES = [*attention_cases(), *rotary_cases(), *linear_cases()]


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(CASES)


@pytest.mark.parametrize("each", CASES, ids=lambda c: c.name)
def test_answers_as_the_reference(models: NativeModels, each: Case) -> None:
    check(models, each)


def test_raw_scores_are_shown_without_the_cap(models: NativeModels) -> None:
    """ONNX: mode 0 is the raw product; its reference evaluator caps that too."""
    each = attention("m", outputs=4, softcap=0.5, scale=1.0)
    module = compile_protos([("m", "1", each.proto)])
    found = NativeModels(module.source, module.weights, level=0).run("m", "1", each.inputs)[3]
    q, k = each.inputs["q"], each.inputs["k"]
    np.testing.assert_allclose(found, q @ k.swapaxes(2, 3), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [0, 1])
@pytest.mark.parametrize("queries", [0, 2])
@pytest.mark.parametrize("keys", [0, 3])
def test_any_sizes(models: NativeModels, batch: int, queries: int, keys: int) -> None:
    q, k = normal(batch, 4, queries, 8), normal(batch, 4, keys, 8)
    (y,) = models.run("plain", "1", {"q": q, "k": k, "v": k})
    assert y.shape == (batch, 4, queries, 8)
    assert np.isfinite(y).all()


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("plain", {"k": normal(2, 4, 7, 6)}, "sizes of queries and keys"),
        ("plain", {"v": normal(2, 4, 6, 8)}, "lengths of keys and values"),
        ("groups_deep", {"k": normal(2, 3, 7, 8), "v": normal(2, 3, 7, 8)}, "query heads"),
        ("mask_2d", {"mask": normal(4, 7)}, "mask with a dimension of 4 where there are 5"),
        ("rotary_False_True_0_False", {"positions": np.full((2, 4), 50)}, "position beyond the 50"),
        ("rotary_False_True_0_False", {"positions": np.full((2, 4), -1)}, "position beyond the 50"),
    ],
)
def test_what_does_not_fit_is_refused(
    models: NativeModels, name: str, change: dict[str, Array], words: str
) -> None:
    (each,) = (c for c in CASES if c.name == name)
    with pytest.raises(InferenceError, match=words):
        models.run(name, "1", {**each.inputs, **change})


def test_a_length_beyond_the_keys_counts_as_all(models: NativeModels) -> None:
    (each,) = (c for c in CASES if c.name == "lengths")
    fed = dict(each.inputs)
    answers = [
        models.run("lengths", "1", {**fed, "lengths": np.array(n)})[0]
        for n in ([7, 7], [2**40, 7], [8, 10**6])
    ]
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])


def test_values_of_another_type_are_refused() -> None:
    each = attention("m")
    each.proto.graph.input[2].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    with pytest.raises(UnsupportedModel, match="of different types"):
        compile_protos([("m", "1", each.proto)])
