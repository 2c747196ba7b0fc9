"""What the classifiers and regressors of ai.onnx.ml share: their input, labels, transforms."""

from __future__ import annotations

from nnlet.compiler.attributes import Attributes
from nnlet.compiler.dims import Dim
from nnlet.compiler.program import Value
from nnlet.compiler.site import INT64, Site

TRANSFORMS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT")  # scores.c counts so
PROBIT = TRANSFORMS.index("PROBIT")


def transform_of(s: Attributes) -> int:
    """The attribute post_transform."""
    name = str(s.attr("post_transform", "NONE"))
    if name not in TRANSFORMS:
        s.fail(f"unknown post_transform {name!r}")
    return TRANSFORMS.index(name)


def rows_and_features(s: Site) -> tuple[Dim, Dim]:
    """The dims of input 0; one dimension is one row."""
    dims = s.input(0).dims
    if len(dims) not in (1, 2):
        s.fail(f"an input of rank {len(dims)}: it should be [rows, features]")
    return (1, dims[0]) if len(dims) == 1 else (dims[0], dims[1])


def labels_of(s: Attributes) -> list[int]:
    """The label of each class: its index where they are strings."""
    for name in ("classlabels_int64s", "classlabels_ints"):
        if s.attr(name):
            return [int(x) for x in s.attr(name)]
    return list(range(len(s.attr("classlabels_strings", []))))


def label_output(s: Site, rows: Dim) -> Value:
    """Output 0, the label of each row. wasi-nn has no strings: string labels go nowhere, and
    are an error only where something reads them."""
    if s.attr("classlabels_strings"):
        s.absent(0, "its labels are strings: export it with integer labels, or drop this output")
        return s.scratch(INT64, (rows,))
    return s.output(0, INT64, (rows,))
