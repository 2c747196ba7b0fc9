"""If, Loop and Scan against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnlet.compiler import compile_protos
from nnlet.compiler.load import from_proto
from nnlet.compiler.lower import lower
from nnlet.compiler.memory import plan
from nnlet.compiler.ops import OPS
from nnlet.errors import InferenceError
from nnlet.native import NativeModels
from tests.compiler.onnxtext import model
from tests.compiler.oracle import Case, check, compiled

X = np.arange(6, dtype="f4").reshape(2, 3)
CONSTANTS = {
    "ONE": np.float32(1),
    "YES": np.array(True),
    "LIMIT": np.float32(40),
    "FIRST": np.array([0], "i8"),
    "TWICE": np.array(2, "i8"),
    "SECOND": np.array([2], "i8"),
    "LAST_AXIS": np.array([1], "i8"),
    "WEIGHTS": X[:2] * 0.5,
    "ROW": X[1],
    "ZEROS": np.zeros(3, "f4"),
}

IFS = {
    "equal sizes": """(float[n, 3] r) {
        r = If (c) <then_branch = a () => (float[n, 3] t) { t = Relu (x) },
                    else_branch = b () => (float[n, 3] e) { e = Neg (x) }> }""",
    "values from outside": """(float[n, 3] r) {
        r = If (c) <then_branch = a () => (float[n, 3] t) { t = Identity (x) },
                    else_branch = b () => (float[n, 3] e) { h = Add (x, x) e = Mul (h, x) }> }""",
    "other sizes": """(float[p, 3] r) {
        r = If (c) <then_branch = a () => (float[p, 3] t) { t = Concat <axis = 0> (x, x) },
                    else_branch = b () => (float[p, 3] e) { e = Identity (x) }> }""",
    "constants": """(float[p] r) {
        r = If (c) <then_branch = a () => (float[2] t)
                        { t = Constant <value_floats = [1.0, 2.0]> () },
                    else_branch = b () => (float[3] e)
                        { e = Constant <value_floats = [3.0, 4.0, 5.0]> () }> }""",
    "a branch in a branch": """(float[n, 3] r) {
        r = If (c) <then_branch = a () => (float[n, 3] t) {
                        s = ReduceSum <keepdims = 0> (x)
                        g = Greater (s, LIMIT)
                        t = If (g) <then_branch = d () => (float[n, 3] u) { u = Relu (x) },
                                    else_branch = f () => (float[n, 3] v) { v = Exp (x) }> },
                    else_branch = b () => (float[n, 3] e) { e = Neg (x) }> }""",
    "sizes used after": """(float[2] r) {
        q = If (c) <then_branch = a () => (float[p, 3] t) { t = Concat <axis = 0> (x, x) },
                    else_branch = b () => (float[p, 3] e) { e = Identity (x) }>
        k = Shape (q) r = Cast <to = 1> (k) }""",
    "two outputs": """(float[n, 3] r, float[p, 3] q) {
        r, q = If (c) <then_branch = a () => (float[n, 3] t, float[p, 3] u)
                           { t = Relu (x) u = Concat <axis = 0> (t, x) },
                       else_branch = b () => (float[n, 3] e, float[n, 3] v)
                           { e = Neg (x) v = Exp (e) }> }""",
}

LOOPS = {
    "sum": """(float[n, 3] r) {
        r = Loop (m, , x) <body = b (int64 i, bool c, float[n, 3] s) => (bool d, float[n, 3] t)
            { d = Identity (c) t = Add (s, x) }> }""",
    "iteration number": """(float[n, 3] r) {
        r = Loop (m, , x) <body = b (int64 i, bool c, float[n, 3] s) => (bool d, float[n, 3] t)
            { d = Identity (c) f = Cast <to = 1> (i) t = Add (s, f) }> }""",
    "growing": """(float[p, 3] r) {
        r = Loop (m, , x) <body = b (int64 i, bool c, float[p, 3] s) => (bool d, float[q, 3] t)
            { d = Identity (c) t = Concat <axis = 0> (s, x) }> }""",
    "swapping": """(float[n, 3] r, float[n, 3] w) {
        u = Neg (x)
        r, w = Loop (m, , x, u) <body = b (int64 i, bool c, float[n, 3] s, float[n, 3] v)
            => (bool d, float[n, 3] t, float[n, 3] a)
            { d = Identity (c) t = Identity (v) a = Identity (s) }> }""",
    "swapping other sizes": """(float[p, 3] r, float[q, 3] w) {
        u = Concat <axis = 0> (x, x)
        r, w = Loop (m, , x, u) <body = b (int64 i, bool c, float[n, 3] s, float[p, 3] v)
            => (bool d, float[p, 3] t, float[n, 3] a)
            { d = Identity (c) t = Identity (v) a = Identity (s) }> }""",
    "not changing": """(float[n, 3] r) {
        r = Loop (m, , x) <body = b (int64 i, bool c, float[n, 3] s) => (bool d, float[n, 3] t)
            { d = Identity (c) t = Identity (s) }> }""",
    "outside value": """(float[n, 3] r) {
        r = Loop (m, , x) <body = b (int64 i, bool c, float[n, 3] s) => (bool d, float[n, 3] t)
            { d = Identity (c) t = Identity (WEIGHTS) }> }""",
    "collected": """(float[n, 3] s1, float[a, n, 3] r) {
        s1, r = Loop (m, , x) <body = b (int64 i, bool c, float[n, 3] s)
            => (bool d, float[n, 3] t, float[n, 3] o)
            { d = Identity (c) t = Add (s, x) o = Neg (s) }> }""",
    "collected only": """(float[a] r) {
        r = Loop (m, YES) <body = b (int64 i, bool c) => (bool d, float o)
            { d = Identity (c) o = Cast <to = 1> (i) }> }""",
    "while": """(float[n, 3] s1, float[a] r) {
        s1, r = Loop (, g, x) <body = b (int64 i, bool c, float[n, 3] s)
            => (bool d, float[n, 3] t, float o)
            { t = Add (s, ONE) o = ReduceSum <keepdims = 0> (t) d = Less (o, LIMIT) }> }""",
    "at most": """(float[n, 3] s1, float[a] r) {
        s1, r = Loop (m, g, x) <body = b (int64 i, bool c, float[n, 3] s)
            => (bool d, float[n, 3] t, float o)
            { t = Add (s, ONE) o = ReduceSum <keepdims = 0> (t) d = Less (o, LIMIT) }> }""",
    "a loop in a loop": """(float[p, 3] r) {
        r = Loop (m, , x) <body = b (int64 i, bool c, float[p, 3] s) => (bool d, float[q, 3] t) {
            d = Identity (c)
            j = Loop (TWICE, , s) <body = e (int64 i2, bool c2, float[p2, 3] s2)
                => (bool d2, float[p2, 3] t2) { d2 = Identity (c2) t2 = Add (s2, ONE) }>
            t = Concat <axis = 0> (j, x) }> }""",
    "collected in a loop": """(float[n, 3] r) {
        r = Loop (m, , x) <body = b (int64 i, bool c, float[n, 3] s) => (bool d, float[n, 3] t) {
            d = Identity (c)
            k = Add (i, TWICE)
            u, v = Loop (k, , s) <body = e (int64 i2, bool c2, float[n, 3] s2)
                => (bool d2, float[n, 3] t2, float[n, 3] o)
                { d2 = Identity (c2) t2 = Add (s2, ONE) o = Mul (t2, ONE) }>
            w = ReduceSum <keepdims = 0> (v, FIRST)
            t = Add (s, w) }> }""",
    "a branch in a loop": """(float[p, 3] r) {
        r = Loop (m, , x) <body = b (int64 i, bool c, float[p, 3] s) => (bool d, float[q, 3] t) {
            d = Identity (c)
            o = ReduceSum <keepdims = 0> (s)
            l = Less (o, LIMIT)
            t = If (l) <then_branch = h () => (float[p2, 3] y) { y = Concat <axis = 0> (s, x) },
                        else_branch = k () => (float[p2, 3] z) { z = Slice (s, FIRST, SECOND) }> }>
        }""",
}

SCANS = {
    "sum": """(float[3] r, float[n, 3] q) {
        r, q = Scan (ZEROS, x) <num_scan_inputs = 1,
            body = b (float[3] s, float[3] e) => (float[3] t, float[3] o)
            { t = Add (s, e) o = Identity (t) }> }""",
    "axes": """(float[n] r, float[n, 3] q) {
        z = ReduceSum <keepdims = 0> (x, LAST_AXIS)
        r, q = Scan (z, x) <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [-1],
            body = b (float[n] s, float[n] e) => (float[n] t, float[n] o)
            { t = Add (s, e) o = Exp (e) }> }""",
    "backwards": """(float[3] r, float[n, 3] q) {
        r, q = Scan (ZEROS, x) <num_scan_inputs = 1, scan_input_directions = [1],
            scan_output_directions = [1],
            body = b (float[3] s, float[3] e) => (float[3] t, float[3] o)
            { t = Sub (e, s) o = Identity (t) }> }""",
    "two inputs": """(float[n, 3] q) {
        y = Neg (x)
        q = Scan (x, y) <num_scan_inputs = 2, scan_input_axes = [0, 0],
            body = b (float[3] a, float[3] e) => (float[3] o)
            { f = Mul (a, e) o = Add (f, ROW) }> }""",
    "backwards along the last axis": """(float[n, 3] q) {
        q = Scan (x) <num_scan_inputs = 1, scan_input_axes = [-1], scan_output_axes = [1],
            scan_input_directions = [1], scan_output_directions = [1],
            body = b (float[n] e) => (float[n] o) { o = Exp (e) }> }""",
}


def proto(inputs: str, text: str) -> Any:
    """The model, with the constants that it names."""
    used = {name: value for name, value in CONSTANTS.items() if name in text}
    return model(f"f ({inputs}) => {text}", constants=used)


def if_cases() -> list[Case]:
    found = []
    for name, text in IFS.items():
        each = proto("bool c, float[n, 3] x", text)
        for condition in (True, False):
            for x in (X, X * 5, X[:0]):
                found.append(Case(f"if {name}", each, {"c": np.array(condition), "x": x}))
    return found


def loop_cases() -> list[Case]:
    found = []
    for name, text in LOOPS.items():
        ports = {"m": "int64 m", "g": "bool g", "x": "float[n, 3] x"}
        missing = {"while": "m", "collected only": "gx", "at most": ""}.get(name, "g")
        ports = {port: text for port, text in ports.items() if port not in missing}
        each = proto(", ".join(ports.values()), text)
        # Of what no round made onnxruntime does not know the sizes.
        for rounds in (1, 5, 20) if name == "collected" else (0, 1, 5, 20):
            fed = {"m": np.array(rounds, "i8"), "g": np.array(rounds != 1), "x": X}
            found.append(Case(f"loop {name}", each, {n: fed[n] for n in ports}))
    return found


def scan_cases() -> list[Case]:
    return [
        Case(f"scan {name}", proto("float[n, 3] x", text), {"x": X}) for name, text in SCANS.items()
    ]


CASES = [*if_cases(), *loop_cases(), *scan_cases()]


@pytest.fixture(scope="module")
def models() -> NativeModels:
    return compiled(CASES)


@pytest.mark.parametrize("each", CASES, ids=lambda c: f"{c.name} {c.inputs.get('m', '')}")
def test_answers_as_onnxruntime(models: NativeModels, each: Case) -> None:
    check(models, each)


def test_a_known_condition_leaves_one_branch() -> None:
    text = """(float[n, 3] r) {
        r = If (YES) <then_branch = a () => (float[n, 3] t) { t = Relu (x) },
                      else_branch = b () => (float[n, 3] e) { e = Erf (x) }> }"""
    each = model(f"f (float[n, 3] x) => {text}", constants={"YES": np.array(True)})
    source = compile_protos([("m", "1", each)]).source
    run = source[source.index("static i32 run_m0") :]
    assert "} else {" not in run
    assert "Erf" not in run


def test_a_loop_of_many_rounds_keeps_to_its_memory() -> None:
    """Each round makes a tensor of 4 MB: 50 of them fit 32 MB because each is given back."""
    text = """(float[p] r) {
        r = Loop (m, , x) <body = b (int64 i, bool c, float[p] s) => (bool d, float[q] t)
            { d = Identity (c) k = Expand (s, w) t = ReduceMax <keepdims = 0> (k, FIRST) }> }"""
    each = proto("int64 m, float[n] x, int64[2] w", text)
    module = compile_protos([("m", "1", each)])
    models = NativeModels(module.source, module.weights, defines={"NN_HEAP_BYTES": "(32 << 20)"})
    wide = np.array([1000, 1000], "i8")
    fed = {"m": np.array(50, "i8"), "x": np.array([3], "f4"), "w": wide}
    (found,) = models.run("m", "1", fed)
    np.testing.assert_array_equal(found, np.full(1000, 3, "f4"))


def test_storages_inside_a_body_overlap() -> None:
    text = """(float[4, 64] r) {
        r = Loop (m, , x) <body = b (int64 i, bool c, float[4, 64] s) => (bool d, float[4, 64] t)
            { d = Identity (c) e = Softmax (s) f = Softmax (e) g = Softmax (f) h = Softmax (g)
              t = Softmax (h) }> }"""
    graph = from_proto(proto("int64 m, float[4, 64] x", text), "m", OPS)
    placed = plan(lower(graph, "m", "1", OPS))
    assert len(placed.offsets) == 5
    assert placed.arena == 2 * 4 * 64 * 4


def test_what_a_body_reads_from_outside_lives_as_long_as_the_loop() -> None:
    """u is read first of all in the body: nothing that the body makes may lie in its place."""
    text = """(float[4, 64] r) {
        u = Softmax (x)
        r = Loop (m, , x) <body = b (int64 i, bool c, float[4, 64] s) => (bool d, float[4, 64] t)
            { d = Identity (c) e = Add (s, u) f = Softmax (e) g = Softmax (f)
              t = Softmax (g) }> }"""
    x = np.linspace(-1, 1, 256, dtype="f4").reshape(4, 64)
    fed = {"m": np.array(3, "i8"), "x": x}
    each = Case("m", proto("int64 m, float[4, 64] x", text), fed)
    check(compiled([each]), each)


def test_results_that_change_their_size_cannot_be_collected() -> None:
    text = """(float[p, 3] r, float[a, q, 3] w) {
        r, w = Loop (m, , x) <body = b (int64 i, bool c, float[p, 3] s)
            => (bool d, float[q, 3] t, float[q, 3] o)
            { d = Identity (c) t = Concat <axis = 0> (s, x) o = Neg (t) }> }"""
    module = compile_protos([("m", "1", proto("int64 m, float[n, 3] x", text))])
    models = NativeModels(module.source, module.weights, level=0)
    with pytest.raises(InferenceError, match="a dimension of 4 in one round and 6 in another"):
        models.run("m", "1", {"m": np.array(2, "i8"), "x": X})
    assert models.run("m", "1", {"m": np.array(1, "i8"), "x": X})[1].shape == (1, 4, 3)


def test_of_branches_that_differ_in_rank_the_one_that_fits_is_taken() -> None:
    text = """(float[p, 3] r) {
        k = If (c) <then_branch = a () => (float e) { e = ReduceSum <keepdims = 0> (x) },
                    else_branch = b () => (float[n, 3] t) { t = Relu (x) }>
        r = Transpose <perm = [1, 0]> (k) }"""
    module = compile_protos([("m", "1", proto("bool c, float[n, 3] x", text))])
    models = NativeModels(module.source, module.weights, level=0)
    (found,) = models.run("m", "1", {"c": np.array(False), "x": X})
    np.testing.assert_array_equal(found, X.T)
    with pytest.raises(InferenceError, match="another number of dimensions"):
        models.run("m", "1", {"c": np.array(True), "x": X})
