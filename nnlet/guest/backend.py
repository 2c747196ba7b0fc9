"""The one seam below the protocol: whatever computes."""

from __future__ import annotations

from nnlet.guest.tensors import Tensor


class Backend:
    """Computes graphs. A graph is one version of one model and is called NAME@VERSION.

    Tensors cross in carrier datatypes (see nnlet.tensor), those that wasi-nn has. What
    comes in was checked against the model: datatype, shape, length. Both methods raise
    InferenceError.
    """

    __slots__ = ()

    def load(self, graph: str) -> None:
        """Make ready what `infer` would make ready on its first call."""

    def infer(self, graph: str, inputs: list[tuple[str, Tensor]]) -> list[Tensor]:
        """One answer for each output of the graph, in the graph's order."""
        raise NotImplementedError
