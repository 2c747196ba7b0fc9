"""The backend in the function: the only code that speaks wasi:nn.

Specification: wit/deps/wasi-nn/nn.wit. Who answers (a model compiled into the component, or
the host) is decided by composition, not here.
"""

from __future__ import annotations

from componentize_py_types import Err
from wit_world.imports import graph as wasi_graph
from wit_world.imports import tensor as wasi_tensor

from nnlet.errors import InferenceError
from nnlet.guest.backend import Backend
from nnlet.guest.tensors import Tensor
from nnlet.tensor import BY_NN

_TYPES = {row.name: wasi_tensor.TensorType(nn) for nn, row in BY_NN.items()}
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
        named = [(name, _to_wasi(tensor)) for name, tensor in inputs]
        try:
            answers = self._contexts[graph][1].compute(named)
        except Err as exc:
            raise _refusal(exc) from None
        return [_from_wasi(tensor) for _, tensor in answers]


def _to_wasi(tensor: Tensor) -> wasi_tensor.Tensor:
    return wasi_tensor.Tensor(list(tensor.shape), _TYPES[tensor.datatype], tensor.data)


def _from_wasi(tensor: wasi_tensor.Tensor) -> Tensor:
    return Tensor(_NAMES[tensor.ty()], tensor.dimensions(), tensor.data())


def _refusal(failure: Err) -> InferenceError:
    with failure.value as error:
        code = error.code().name.lower().replace("_", "-")
        return InferenceError(code, error.data())
