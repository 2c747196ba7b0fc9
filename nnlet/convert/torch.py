"""PyTorch: an nn.Module, TorchScript or an exported program through torch.onnx, for any batch.

A table (a DataFrame, or an array [N, K]) is one input `features`. Anything else is tensors, by
the names of forward's arguments: one array, a tuple of them, or a dict.
"""

from __future__ import annotations

import copy
import inspect
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from nnlet.convert.columns import number_spec
from nnlet.convert.converted import Converted, Precision
from nnlet.convert.graphs import keep_outputs, without_traces
from nnlet.convert.sample import Sample
from nnlet.errors import ConvertError
from nnlet.signature import AnswerSpec, ColumnSpec

OPSET = 18
MATRIX = "features"
TRACED = 2  # rows that the exporter sees: of one it would think that it is always one

Tensors = dict[str, torch.Tensor]


def read(path: Path) -> Any:
    """What torch.jit.save, torch.export.save or torch.save wrote. Runs whatever code is in it.

    Raises ConvertError for a file that holds weights without the model.
    """
    try:
        with _quietly():
            found = _loaded(path)
    except Exception as exc:  # a pickle inside, which raises anything
        raise ConvertError(
            f"{path} cannot be read as TorchScript, as an exported program or as a module "
            f"({type(exc).__name__}: {_first_line(exc)}): save it with torch.export.save, or call "
            "nnlet.add where the model was made"
        ) from exc
    if isinstance(found, Mapping):
        raise ConvertError(
            f"{path} holds weights, not a model: build the module, call its load_state_dict with "
            "them, and hand the module to nnlet.add"
        )
    return found


def _loaded(path: Path) -> Any:
    if path.suffix == ".pt2":
        return torch.export.load(path)
    jit: Any = torch.jit  # untyped in part
    try:
        return jit.load(path, map_location="cpu")
    except RuntimeError:
        return torch.load(path, map_location="cpu", weights_only=False)


def convert(model: Any, sample: Sample, precision: Precision) -> Converted:
    """A module as ONNX, in its own precision, with its answers in eval mode.

    Raises ConvertError for one that does not take the sample, or that torch.onnx cannot export
    for any number of rows.
    """
    _require_instance(model)
    original, model = model, _for_export(model)
    rows = sample.some()
    inputs, answers = _asked(model, rows)
    proto = _exported(model, inputs)
    keep_outputs(proto, dict(zip([v.name for v in proto.graph.output], answers, strict=True)))
    feeds = {name: tensor.numpy() for name, tensor in inputs.items()}
    _require_any_batch(proto)
    real = {tensor.dtype for tensor in (*inputs.values(), *answers.values())}
    return Converted(
        proto=proto,
        columns=_columns(sample),
        answer=_answer(answers),
        feeds=feeds,
        expected={name: tensor.numpy() for name, tensor in answers.items()},
        made_by=f"{_name(original)} of PyTorch {torch.__version__.partition('+')[0]}",
        precision="FP64" if torch.float64 in real else "FP32",
    )


def _require_instance(model: Any) -> None:
    if isinstance(model, type):
        raise ConvertError(f"{model.__name__} is a class: hand over a trained object of it")
    if not isinstance(model, (torch.nn.Module, torch.export.ExportedProgram)):
        raise ConvertError(
            f"a {type(model).__name__} of PyTorch is not a model: expected an nn.Module, "
            "TorchScript or an exported program"
        )


def _for_export(model: Any) -> Any:
    """A copy on the CPU in eval mode: the user's own stays where and as it is."""
    if isinstance(model, torch.export.ExportedProgram):
        return model
    with _quietly():
        return copy.deepcopy(model).cpu().eval()


def _name(model: Any) -> str:
    return str(getattr(model, "original_name", type(model).__name__))  # TorchScript remembers it


# Inputs -----------------------------------------------------------------------


def _asked(model: Any, rows: Sample) -> tuple[Tensors, Tensors]:
    """The inputs that the model takes, and its answers. Raises ConvertError if it takes none."""
    refused: Exception | None = None
    for inputs in _candidates(model, rows):
        try:
            return inputs, _answers(model, list(inputs.values()))
        except ConvertError:
            raise
        except Exception as exc:  # a module raises anything for an input that it does not take
            refused = refused or exc
    assert refused is not None
    raise ConvertError(
        f"{_name(model)} does not take the sample ({type(refused).__name__}: "
        f"{_first_line(refused)}): hand over inputs as it was trained on, a tuple or a dict of "
        "arrays for several"
    ) from refused


def _candidates(model: Any, rows: Sample) -> list[Tensors]:
    """The sample as tensors: in the model's precision, and whole numbers as they are too."""
    real = _real(model)
    if rows.columns:
        words = [column.name for column in rows.columns if column.type == "category"]
        if words:
            raise ConvertError(
                f"column {words[0]!r} of the sample holds words, and the module takes numbers: "
                "encode it as in training"
            )
        matrix = torch.from_numpy(rows.matrix("float64"))
        whole = all(column.type == "integer" for column in rows.columns)
        found = [{MATRIX: matrix.to(real)}]
        if whole:  # an embedding takes no floats, a linear layer no integers
            integers = {MATRIX: matrix.to(torch.int64)}
            found.insert(0 if isinstance(rows.source, torch.Tensor) else 1, integers)
        return found
    tensors = _by_name(model, rows.source)
    given = {
        name: t if isinstance(source, torch.Tensor) or not t.is_floating_point() else t.to(real)
        for (name, t), source in zip(tensors.items(), _sources(rows.source), strict=True)
    }
    return [given, {name: tensor.to(real) for name, tensor in given.items()}]


def _by_name(model: Any, source: Any) -> Tensors:
    """One tensor for each argument of forward. Raises ConvertError for others."""
    names = _arguments(model)
    if isinstance(source, Mapping):
        unknown = [str(name) for name in source if str(name) not in names]
        if unknown:
            raise ConvertError(
                f"the sample has {unknown[0]!r}, the module takes {', '.join(names)}: expected an "
                "array for each"
            )
        source = {str(name): value for name, value in source.items()}
        return {name: _tensor(source[name]) for name in names if name in source}
    sources = _sources(source)
    if len(sources) > len(names):
        raise ConvertError(
            f"the sample has {len(sources)} arrays, the module takes {', '.join(names)}"
        )
    return {name: _tensor(value) for name, value in zip(names, sources, strict=False)}


def _sources(source: Any) -> list[Any]:
    if isinstance(source, Mapping):
        return list(source.values())
    return list(source) if isinstance(source, tuple) else [source]


def _arguments(model: Any) -> list[str]:
    """The names of what the model takes."""
    if isinstance(model, torch.export.ExportedProgram):
        return list(model.graph_signature.user_inputs)
    if isinstance(model, torch.jit.ScriptModule):
        forward: Any = model.forward
        return [argument.name for argument in forward.schema.arguments[1:]]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(model.forward).parameters.values()
    return [p.name for p in parameters if p.kind in kinds] or ["input"]


def _tensor(value: Any) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    return torch.from_numpy(np.ascontiguousarray(value))


def _real(model: Any) -> torch.dtype:
    """The datatype of the weights."""
    state = model.state_dict if isinstance(model, torch.export.ExportedProgram) else None
    tensors = (state or model.state_dict()).values()
    return next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)


# Answers ----------------------------------------------------------------------


def _answers(model: Any, inputs: Sequence[torch.Tensor]) -> Tensors:
    """What the model answers, by name. Raises ConvertError for what is no tensor."""
    run = model.module() if isinstance(model, torch.export.ExportedProgram) else model
    with torch.no_grad(), _quietly():
        found = run(*inputs)
    return {name: tensor.detach().cpu() for name, tensor in _flat(found)}


def _flat(found: Any) -> list[tuple[str, torch.Tensor]]:
    if isinstance(found, torch.Tensor):
        return [("output", found)]
    if isinstance(found, Mapping):
        pairs = [(str(name), value) for name, value in found.items()]
    elif hasattr(found, "_fields"):
        pairs = list(zip(found._fields, found, strict=True))
    elif isinstance(found, (tuple, list)):
        pairs = [(f"output_{n}", value) for n, value in enumerate(found)]
    else:
        pairs = [("output", found)]
    for name, value in pairs:
        if not isinstance(value, torch.Tensor):
            raise ConvertError(
                f"forward answers a {type(value).__name__} as {name!r}: let it return a tensor, or "
                "a tuple or dict of tensors"
            )
    return pairs


def _answer(answers: Tensors) -> tuple[AnswerSpec, ...]:
    """Fields for answers [N], [N, 1] and [N, K]; () where others are among them."""
    if any(tensor.dim() not in (1, 2) for tensor in answers.values()):
        return ()
    return tuple(
        AnswerSpec(name, name, "numbers" if t.dim() == 2 and t.shape[1] != 1 else "number")
        for name, t in answers.items()
    )


def _columns(sample: Sample) -> tuple[ColumnSpec, ...]:
    return tuple(number_spec(column, MATRIX, n) for n, column in enumerate(sample.columns))


# The export -------------------------------------------------------------------


def _exported(model: Any, inputs: Tensors) -> onnx.ModelProto:
    """The model as ONNX. Raises ConvertError with what torch.onnx says."""
    few = tuple(_rows(tensor) for tensor in inputs.values())
    try:
        with torch.no_grad(), _quietly():
            scripted = isinstance(model, torch.jit.ScriptModule)
            export = _from_script if scripted else _from_program
            proto = export(model, few, list(inputs))
    except Exception as exc:  # the exporter and all it calls
        raise ConvertError(
            f"torch.onnx cannot export {_name(model)} for any number of rows: {_reason(exc)}. Make "
            "forward independent of the number of rows and of values, or export ONNX yourself and "
            "add the file"
        ) from exc
    return without_traces(proto)


def _from_program(
    model: Any, inputs: tuple[torch.Tensor, ...], names: list[str]
) -> onnx.ModelProto:
    """By torch.export; an exported program has decided already what may vary."""
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} if tensor.dim() else None for tensor in inputs)
    done = isinstance(model, torch.export.ExportedProgram)
    program = torch.onnx.export(
        model,
        () if done else inputs,
        dynamo=True,
        opset_version=OPSET,
        input_names=names,
        dynamic_shapes=None if done else shapes,
        verbose=False,
    )
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    return proto


def _from_script(model: Any, inputs: tuple[torch.Tensor, ...], names: list[str]) -> onnx.ModelProto:
    """TorchScript knows its control flow, so nothing is traced."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            model,
            inputs,
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=names,
            dynamic_axes={name: {0: "batch"} for name in names},
        )
        return onnx.load(path)


def _rows(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.dim():
        return tensor
    return (tensor if len(tensor) >= TRACED else torch.cat([tensor] * TRACED))[:TRACED]


def _require_any_batch(proto: onnx.ModelProto) -> None:
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims and dims[0].dim_value:
            raise ConvertError(
                f"input {value.name!r} takes {dims[0].dim_value} rows and no other number: export "
                "the program with dynamic_shapes={...: {0: torch.export.Dim('batch')}}"
            )


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's warnings and log lines: what matters of them is raised."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with redirect_stderr(io.StringIO()):
                yield
    finally:
        logging.disable(before)


def _first_line(exc: Exception) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0]


def _reason(exc: BaseException) -> str:
    """What the first exception said: the exporter wraps it in its own."""
    while exc.__cause__ is not None:
        exc = exc.__cause__
    return f"{type(exc).__name__}: {_first_line(exc)}" if isinstance(exc, Exception) else str(exc)
