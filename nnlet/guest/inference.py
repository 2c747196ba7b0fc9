"""The backend in the function: the only code that speaks wasi:nn.

Specification: wit/deps/wasi-nn/nn.wit. Who answers (a model compiled into the component, or
the host) is decided by composition, not here.

`native` (native/nnlet_nn.c, linked into the component where a C compiler is at hand) computes
in one call what takes the generated bindings one for each tensor and each of its parts.
"""

from __future__ import annotations

from typing import Any

from componentize_py_types import Err
from wit_world.imports import graph as wasi_graph
from wit_world.imports import tensor as wasi_tensor

try:
    import nnlet_nn
except ImportError:
    nnlet_nn = None

from nnlet.errors import InferenceError
from nnlet.guest.backend import Backend
from nnlet.guest.tensors import Tensor
from nnlet.tensor import BY_NN

native: Any = nnlet_nn
_MOST_INPUTS = 256  # that `native` takes at once

_TYPES = {row.name: wasi_tensor.TensorType(nn) for nn, row in BY_NN.items()}
_NUMBERS = {row.name: nn for nn, row in BY_NN.items()}
_NAMES = {wasi_type: name for name, wasi_type in _TYPES.items()}


class WasiNN(Backend):
    """Loads each graph on its first use and keeps it as long as the instance lives.

    Outputs are taken by position: OpenVINO names them "0", "1" and so on.
    """

    __slots__ = ("_contexts",)

    def __init__(self) -> None:
        # The graph is kept beside its context: a provider may not count the reference.
        self._contexts: dict[
            str, tuple[wasi_graph.Graph, wasi_graph.inference.GraphExecutionContext]
        ] = {}

    def load(self, graph: str) -> None:
        if graph not in self._contexts:
            try:
                loaded = wasi_graph.load_by_name(graph)
                self._contexts[graph] = (loaded, loaded.init_execution_context())
            except Err as exc:
                raise _refusal(exc) from None

    def infer(self, graph: str, inputs: list[tuple[str, Tensor]]) -> list[Tensor]:
        self.load(graph)
        context = self._contexts[graph][1]
        if native is not None and len(inputs) <= _MOST_INPUTS:
            return _compute_natively(context, inputs)
        named = [(name, _to_wasi(tensor)) for name, tensor in inputs]
        try:
            answers = context.compute(named)
        except Err as exc:
            raise _refusal(exc) from None
        return [_from_wasi(tensor) for _, tensor in answers]


def _compute_natively(context: Any, inputs: list[tuple[str, Tensor]]) -> list[Tensor]:
    answers = native.compute(
        context.handle, [(n, t.shape, _NUMBERS[t.datatype], t.data) for n, t in inputs]
    )
    if type(answers) is tuple:
        raise InferenceError(*answers)
    return [Tensor(BY_NN[number].name, shape, data) for number, shape, data in answers]


def _to_wasi(tensor: Tensor) -> wasi_tensor.Tensor:
    return wasi_tensor.Tensor(list(tensor.shape), _TYPES[tensor.datatype], tensor.data)


def _from_wasi(tensor: wasi_tensor.Tensor) -> Tensor:
    return Tensor(_NAMES[tensor.ty()], tensor.dimensions(), tensor.data())


def _refusal(failure: Err) -> InferenceError:
    with failure.value as error:
        code = error.code().name.lower().replace("_", "-")
        return InferenceError(code, error.data())
