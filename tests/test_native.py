"""nnlet.native: what only it has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from handwritten import SOURCE, WEIGHTS

from nnlet.errors import CompileError
from nnlet.native import NativeModels

X = np.ones((1, 2), np.float32)


def test_libraries_of_the_same_code_keep_their_own_weights() -> None:
    first, second = NativeModels(SOURCE, WEIGHTS), NativeModels(SOURCE, WEIGHTS[64:] + bytes(64))
    assert first.run("line", "1", {"x": X})[0].tolist() == [[5, 5]]
    assert second.run("line", "1", {"x": X})[0].tolist() == [[-0.5, -0.5]]


def test_weights_are_aligned() -> None:
    models = NativeModels(SOURCE.replace("w[0] * x[i]", "(f32)((size_t)w % 64)"), WEIGHTS)
    assert models.run("line", "1", {"x": X})[0].tolist() == [[3, 3]]


def test_defines_reach_the_c() -> None:
    models = NativeModels(SOURCE.replace("w[0] * x[i]", "FACTOR"), WEIGHTS, defines={"FACTOR": "4"})
    assert models.run("line", "1", {"x": X})[0].tolist() == [[7, 7]]


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_every_level_of_optimization_gives_the_same(level: int) -> None:
    models = NativeModels(SOURCE, WEIGHTS, level=level)
    assert models.run("line", "2", {"x": X})[0].tolist() == [[-0.5, -0.5]]


def test_c_that_does_not_compile_is_an_error_with_the_place() -> None:
    with pytest.raises(CompileError, match=r"models\.c:\d+:\d+: error: use of undeclared"):
        NativeModels(SOURCE.replace("w[0] * x[i]", "w[0] * z[i]"), WEIGHTS)


def test_many_libraries_can_be_loaded_and_forgotten() -> None:
    for _ in range(100):  # each reserves 4 GiB of address space until it is gone
        assert NativeModels(SOURCE, WEIGHTS).run("line", "1", {"x": X})[0].shape == (1, 2)


OVERFLOW = """
import handwritten, numpy
from nnlet.native import NativeModels
source = handwritten.SOURCE.replace("memcpy(out->data, &n, 8);", "n = n + n;")
models = NativeModels(source, handwritten.WEIGHTS, sanitize=True)
print(models.run("greedy", "1", {"n": numpy.array(5)}), flush=True)
models.run("greedy", "1", {"n": numpy.array(2**62)})
"""


def test_undefined_behaviour_ends_the_process_if_asked_for() -> None:
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", OVERFLOW],
        env={**os.environ, "PYTHONPATH": f"{here.parent}{os.pathsep}{here}"},
        capture_output=True,
        text=True,
    )
    assert "array(" in done.stdout
    assert done.returncode == -signal.SIGILL
