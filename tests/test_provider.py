"""What a provider answers, in whichever runtime: native, and both flavours of Wasm."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest
import wasmtime
from handwritten import RUNTIMES, component, runtime

from nnlet.carrier import Array
from nnlet.errors import InferenceError
from nnlet.native import NativeModels
from nnlet.provider import Provider
from nnlet.tensor import DATATYPES


@pytest.fixture(scope="module", params=RUNTIMES)
def models(request: pytest.FixtureRequest) -> Iterator[NativeModels | Provider]:
    yield runtime(request.param)


X = np.array([[1, 2], [3, -4]], np.float32)
LEFT = np.array([1, 2], np.uint8)
RIGHT = np.arange(6, dtype=np.float64).reshape(2, 3)


@pytest.mark.parametrize(
    ("version", "a", "b"), [("1", 2, 3), ("2", -1, 0.5), ("10", 0.25, 10), ("", 0.25, 10)]
)
def test_each_version_has_its_weights_and_the_highest_is_the_default(
    models: NativeModels | Provider, version: str, a: float, b: float
) -> None:
    (y,) = models.run("line", version, {"x": X})
    np.testing.assert_array_equal(y, a * X + b)
    assert y.dtype == np.float32


@pytest.mark.parametrize("batch", [0, 1, 2, 3, 17, 5000])
def test_a_dynamic_dimension_may_have_any_size(models: NativeModels | Provider, batch: int) -> None:
    x = np.linspace(-1, 1, batch * 2, dtype=np.float32).reshape(batch, 2)
    (y,) = models.run("line", "1", {"x": x})
    np.testing.assert_array_equal(y, 2 * x + 3)


def test_inputs_come_in_any_order_and_outputs_in_the_graphs(
    models: NativeModels | Provider,
) -> None:
    left, right = models.run("join", "1", {"right": RIGHT, "left": LEFT})
    np.testing.assert_array_equal(left, LEFT)
    np.testing.assert_array_equal(right, RIGHT)


@pytest.mark.parametrize("n", [np.array(5), np.array([5])])
def test_a_scalar_input_may_have_one_dimension_of_one(
    models: NativeModels | Provider, n: Array
) -> None:
    (answer,) = models.run("greedy", "1", {"n": n})
    assert answer.shape == ()
    assert answer == 5


def test_arrays_cross_in_their_carriers(models: NativeModels | Provider) -> None:
    n = np.array(2**64 - 1, np.uint64)  # as an INT64 it is -1, and no memory can be that large
    with pytest.raises(InferenceError, match="out of memory"):
        models.run("greedy", "1", {"n": n}, [DATATYPES["UINT64"]])
    (answer,) = models.run("greedy", "1", {"n": np.array(7, np.uint32)}, [DATATYPES["UINT16"]])
    assert answer == 7
    assert answer.dtype == np.uint16
    left, _ = models.run(
        "join",
        "1",
        {"left": np.array([True, False]), "right": RIGHT},
        [DATATYPES["BOOL"], DATATYPES["FP64"]],
    )
    assert left.tolist() == [True, False]


REFUSALS = {
    "unknown model": (
        "lines",
        "",
        {},
        "not-found",
        "no model 'lines' here; there are greedy@1, join@1, line@1, line@2, line@10, wordy@1",
    ),
    "unknown version": (
        "line",
        "3",
        {},
        "not-found",
        "no model 'line@3' here; there are greedy@1, join@1, line@1, line@2, line@10, wordy@1",
    ),
    "missing input": (
        "join",
        "1",
        {"left": LEFT},
        "invalid-argument",
        "input 'right' is missing; the model takes 'left', 'right'",
    ),
    "unknown input": (
        "line",
        "1",
        {"x": X, "z": X},
        "invalid-argument",
        "input 'z' is unknown; the model takes 'x'",
    ),
    "input of a model that takes none": (
        "wordy",
        "1",
        {"z": X},
        "invalid-argument",
        "input 'z' is unknown; the model takes none",
    ),
    "wrong type": (
        "line",
        "1",
        {"x": X.astype(np.float64)},
        "invalid-argument",
        "input 'x': type FP64, expected FP32",
    ),
    "wrong rank": (
        "line",
        "1",
        {"x": X.reshape(-1)},
        "invalid-argument",
        "input 'x': shape [4], expected [-1, 2]",
    ),
    "high rank": (
        "line",
        "1",
        {"x": X.reshape(2, 2, *[1] * 20)},
        "invalid-argument",
        "input 'x': shape [2, 2, 1, 1, 1, 1, 1, 1, ...], expected [-1, 2]",
    ),
    "no scalar": (
        "greedy",
        "1",
        {"n": np.array([1, 2])},
        "invalid-argument",
        "input 'n': shape [2], expected []",
    ),
    "wrong dimension": (
        "line",
        "1",
        {"x": X.reshape(4, 1)},
        "invalid-argument",
        "input 'x': shape [4, 1], expected [-1, 2]",
    ),
    "refused by the model": (
        "join",
        "1",
        {"left": LEFT[:1], "right": RIGHT},
        "invalid-argument",
        "rows differ: 1 and 2",
    ),
    "out of memory": (
        "greedy",
        "1",
        {"n": np.array(2**62)},
        "too-large",
        "out of memory",
    ),
    "a long name of letters of two bytes": (
        "line",
        "1",
        {"x": X, "aé" + "é" * 200: X},
        "invalid-argument",
        f"input 'a{'é' * 49}' is unknown; the model takes 'x'",
    ),
    "more words than there is room for": (
        "wordy",
        "1",
        {},
        "runtime-error",
        f"a-7% {'é' * 251}...",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_says_what_was_found_and_what_was_expected(
    models: NativeModels | Provider, case: str
) -> None:
    name, version, inputs, code, message = REFUSALS[case]
    with pytest.raises(InferenceError) as caught:
        models.run(name, version, inputs)
    assert (caught.value.code, caught.value.message) == (code, message)
    (y,) = models.run("line", "1", {"x": X})  # the instance lives on
    np.testing.assert_array_equal(y, 2 * X + 3)


def test_all_runtimes_give_the_same_bytes_twice() -> None:
    x = np.random.default_rng(0).standard_normal((64, 2)).astype(np.float32)
    runs = [runtime(name).run("line", "10", {"x": x})[0] for name in RUNTIMES for _ in range(2)]
    assert len({y.tobytes() for y in runs}) == 1


def largest(models: NativeModels | Provider) -> int:
    """The most that the model greedy can take: the largest free block, but for a few bytes."""
    taken, step = 0, 1 << 32
    while step := step // 2:
        try:
            models.run("greedy", "1", {"n": np.array(taken + step)})
            taken += step
        except InferenceError:
            continue
    return taken


def test_nothing_is_left_in_memory_by_inferences_and_refusals() -> None:
    models = Provider(component(), memory_limit=4 << 20)

    def use() -> int:
        for size in range(100):
            models.run("line", "1", {"x": np.ones((size, 2), np.float32)})
            models.run("join", "1", {"left": LEFT, "right": RIGHT})
        for name, version, inputs, *_ in REFUSALS.values():
            with pytest.raises(InferenceError):
                models.run(name, version, inputs)
        return largest(models)

    use(), use()  # makes the contexts, which stay, and what they keep for the next run
    assert use() == use()


def test_a_thousand_inferences_need_no_more_memory_than_the_largest() -> None:
    models = Provider(component())
    models.run("line", "1", {"x": np.ones((400, 2), np.float32)})
    before = models.memory_bytes()
    for size in np.random.default_rng(0).integers(0, 400, 1000):
        models.run("line", "1", {"x": np.ones((size, 2), np.float32)})
    assert models.memory_bytes() == before


def test_a_model_that_needs_more_than_a_host_allows_is_refused() -> None:
    models = Provider(component(), memory_limit=8 << 20)
    assert models.run("greedy", "1", {"n": np.array(4 << 20)})[0] == 4 << 20
    with pytest.raises(InferenceError) as caught:
        models.run("greedy", "1", {"n": np.array(8 << 20)})
    assert caught.value.code == "too-large"
    assert models.run("greedy", "1", {"n": np.array(4 << 20)})[0] == 4 << 20


def test_a_provider_can_use_all_the_memory_that_wasm_has() -> None:
    models = Provider(component())
    half = (1 << 31) - (1 << 20)
    assert models.run("greedy", "1", {"n": np.array(half)})[0] == half
    for too_much in (1 << 31, (1 << 32) - 1, 1 << 32, (1 << 63) - 1):
        with pytest.raises(InferenceError, match="out of memory"):
            models.run("greedy", "1", {"n": np.array(too_much)})


def test_with_hardly_any_memory_left_the_answer_is_an_error_or_a_trap() -> None:
    """Memory is given back bit by bit until an inference has enough."""
    models = Provider(component(), memory_limit=4 << 20)
    blocks = exhaust(models)
    codes = set()
    while True:
        assert models._call("cabi_realloc", *blocks.pop(), 1, 0) == 1
        try:
            (y,) = models.run("line", "1", {"x": X})
            break
        except InferenceError as refused:
            codes.add(refused.code)
            assert refused.message.startswith("out of memory")
        except wasmtime.Trap:  # the ABI has no other word for arguments that do not fit
            continue
    np.testing.assert_array_equal(y, 2 * X + 3)
    assert codes == {"too-large"}


def exhaust(models: Provider) -> list[tuple[int, int]]:
    """Takes all memory; the smallest blocks come last."""
    blocks = []
    for size in (1 << 20, 1 << 16, 1 << 12, 16):
        with contextlib.suppress(wasmtime.Trap):
            while True:
                blocks.append((models._call("cabi_realloc", 0, 0, 1, size), size))
    return blocks


@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_in_the_instance_lives_on(
    models: NativeModels | Provider, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    dtypes = [np.dtype(t) for t in ("f4", "f8", "f2", "i8", "i4", "u1", "i1", "?", "u8")]
    for _ in range(60):
        name, version = rng.choice(["line", "join", "wordy", "x"]), rng.choice(["1", "2", ""])
        inputs = {
            str(rng.choice(["x", "n", "left", "right", "", "\0", "é" * 60])): np.zeros(
                rng.integers(0, 4, rng.integers(0, 5)), rng.choice(dtypes)
            )
            for _ in range(rng.integers(0, 4))
        }
        try:
            models.run(str(name), str(version), inputs)
        except InferenceError as refused:
            assert refused.code in ("invalid-argument", "not-found", "runtime-error")
    (y,) = models.run("line", "1", {"x": X})
    np.testing.assert_array_equal(y, 2 * X + 3)
