"""What the tests of boosted trees share: models converted, and all asked in one compilation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nnlet.compiler import compile_protos
from nnlet.convert.check import TOLERANCE, Checked, compare_all
from nnlet.convert.converted import Converted
from nnlet.convert.converters import converter_of
from nnlet.convert.precision import convert_precisely
from nnlet.convert.sample import sample_of
from nnlet.native import NativeModels
from nnlet.tensor import BY_ONNX


@dataclass(frozen=True)
class Asked:
    """A converted model, and how far it is from its library."""

    converted: Converted
    onnxruntime: Checked
    compiled: Checked

    def require(self) -> None:
        self.onnxruntime.require(self.converted.made_by)
        self.compiled.require(self.converted.made_by)


def asked(models: Mapping[str, tuple[Any, Any]]) -> dict[str, Asked]:
    """Each (model, sample) by both runtimes. zig starts once."""
    found = []
    for model, sample in models.values():
        row = converter_of(model)
        found.append(
            convert_precisely(row.load(), model, sample_of(sample), row.precisions, TOLERANCE)
        )
    module = compile_protos([(f"m{n}", "1", c.proto) for n, (c, _) in enumerate(found)])
    runtime = NativeModels(module.source, module.weights)
    return {
        name: Asked(converted, checked, _compiled(runtime, f"m{n}", converted))
        for n, (name, (converted, checked)) in enumerate(zip(models, found, strict=True))
    }


def _compiled(runtime: NativeModels, name: str, model: Converted) -> Checked:
    outputs = model.proto.graph.output
    types = [BY_ONNX[value.type.tensor_type.elem_type] for value in outputs]
    found = runtime.run(name, "1", model.feeds, types)
    by_name = dict(zip([value.name for value in outputs], found, strict=True))
    return compare_all(model, by_name, "compiled", TOLERANCE)
