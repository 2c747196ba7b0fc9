"""What schemathesis must know beyond /openapi.json, since no schema can say it."""

from __future__ import annotations

import math
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.specs.openapi.checks import positive_data_acceptance


@schemathesis.hook
def map_case(context: HookContext, case: Case) -> Case:
    """Let requests for inference that are as described be right in what no schema says, too."""
    is_positive = case.meta is not None and case.meta.generation.mode.is_positive
    if is_positive and case.path.endswith("/infer") and isinstance(case.body, dict):
        body = _whole(case.body)
        case.body = {**body, "inputs": [_filled(tensor) for tensor in body["inputs"]]}
    return case


def _whole(value: Any) -> Any:
    """`value` with 2.0, a whole number to JSON Schema and none to us, as 2."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _filled(tensor: dict[str, Any]) -> dict[str, Any]:
    """A tensor of a few rows, with as much data as its shape says."""
    shape = [min(tensor["shape"][0], 5), *tensor["shape"][1:]]
    value = True if tensor["datatype"] == "BOOL" else 1
    return {**tensor, "shape": shape, "data": [value] * math.prod(shape)}


@schemathesis.check
def accepts_what_is_described(context: CheckContext, response: Response, case: Case) -> bool | None:
    """positive_data_acceptance, but for binary data and CSV: of these no schema says more than
    that they are."""
    if case.media_type in ("application/octet-stream", "text/csv"):
        return None
    return positive_data_acceptance(context, response, case)
