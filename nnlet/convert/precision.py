"""precision: float32 where that decides as the library does, float64 where only that does.

Libraries compute in float64 or float32; a model in float32 is half the size and faster. So it
is converted to float32 first and asked for the sample's answers. Where a label or a value is
not the library's, it is converted to float64, and the better of the two is kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nnlet.convert.check import Checked, check_onnxruntime
from nnlet.convert.converted import Converted, Precision
from nnlet.convert.converters import Convert
from nnlet.convert.sample import Sample
from nnlet.errors import ConvertError, UnsupportedModel


def convert_precisely(
    convert: Convert,
    model: Any,
    sample: Sample,
    precisions: tuple[Precision, ...],
    tolerance: float,
) -> tuple[Converted, Checked]:
    """The conversion that answers as the library does, and how well it does.

    Of several that do not, the one that is closest. Raises ConvertError where none converts.
    """
    found: list[tuple[Converted, Checked]] = []
    refused: list[ConvertError | UnsupportedModel] = []
    for precision in precisions:
        try:
            converted = convert(model, sample, precision)
            checked = check_onnxruntime(converted, tolerance)
        except (ConvertError, UnsupportedModel) as exc:
            refused.append(exc)
            continue
        if checked.passed:
            return _noted(converted, found), checked
        found.append((converted, checked))
    if not found:
        raise refused[0]
    return min(found, key=lambda pair: pair[1].error)


def _noted(converted: Converted, worse: list[tuple[Converted, Checked]]) -> Converted:
    """With a note where a smaller precision was tried and was not enough."""
    if not worse:
        return converted
    tried, checked = worse[-1]
    note = (
        f"{converted.precision} is kept: in {tried.precision} the model decides otherwise "
        f"({checked.worst})"
    )
    return replace(converted, notes=(*converted.notes, note))
