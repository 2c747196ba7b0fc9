"""Keras 3: its own export to ONNX, which is tf2onnx's on the TensorFlow backend.

A table (a DataFrame, or an array [N, K]) is one input `features`. Anything else is tensors: one
array, a tuple in the order of the model's inputs, or a dict by their names.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx

from nnlet.convert.columns import number_spec
from nnlet.convert.converted import Array, Converted, Precision
from nnlet.convert.graphs import keep_outputs, rename, without_traces
from nnlet.convert.sample import Sample
from nnlet.errors import ConvertError
from nnlet.signature import AnswerSpec

MATRIX = "features"


def read(path: Path) -> Any:
    """The model in a .keras file. Raises ConvertError for one that cannot be read here."""
    try:
        with _quietly():
            return keras.saving.load_model(path, compile=False)
    except Exception as exc:  # Keras raises anything for a layer that it does not know
        raise ConvertError(
            f"{path} cannot be read by Keras {keras.__version__} ({_first_line(exc)}): call "
            "nnlet.add where the model was made"
        ) from exc


def convert(model: Any, sample: Sample, precision: Precision) -> Converted:
    """A Keras model as ONNX, with its answers to the sample.

    Raises ConvertError for one that does not take the sample, or that Keras cannot export.
    """
    inputs = _inputs(model)
    rows = sample.some()
    feeds = _feeds(inputs, rows)
    answers = _answers(model, list(feeds.values()), rows)
    proto = _exported(model)
    graph = proto.graph
    if len(graph.input) != len(feeds):
        raise ConvertError(
            f"Keras exported {len(graph.input)} inputs of {len(feeds)}: the model does not use all"
        )
    rename(graph, dict(zip([value.name for value in graph.input], feeds, strict=True)))
    keep_outputs(proto, dict(zip([v.name for v in graph.output], answers, strict=True)))
    return Converted(
        proto=proto,
        columns=tuple(number_spec(c, MATRIX, n) for n, c in enumerate(sample.columns)),
        answer=_answer(answers),
        feeds=feeds,
        expected=answers,
        made_by=f"{type(model).__name__} of Keras {keras.__version__} ({keras.backend.backend()})",
        precision="FP64" if any(a.dtype == np.float64 for a in feeds.values()) else "FP32",
    )


def _inputs(model: Any) -> list[Any]:
    """The symbolic inputs. Raises ConvertError for what has none yet."""
    if isinstance(model, type) or not isinstance(model, keras.Model):
        raise ConvertError(
            f"a {getattr(model, '__name__', type(model).__name__)} of Keras is not a model: hand "
            "over a trained keras.Model"
        )
    if not getattr(model, "inputs", None):
        raise ConvertError(
            f"{type(model).__name__} does not say what it takes: make it with keras.Sequential or "
            "keras.Model(inputs, outputs)"
        )
    return list(model.inputs)


def _feeds(inputs: list[Any], rows: Sample) -> dict[str, Array]:
    """The sample in the datatypes of the inputs, by name. Raises ConvertError."""
    words = [column.name for column in rows.columns if column.type == "category"]
    if words:
        raise ConvertError(
            f"column {words[0]!r} of the sample holds words, and the model takes numbers: encode "
            "it as in training"
        )
    if rows.columns and len(inputs) == 1:
        return {MATRIX: rows.matrix(inputs[0].dtype)}
    names = [str(tensor.name) for tensor in inputs]
    source = rows.source
    if isinstance(source, Mapping):
        given = {str(name): value for name, value in source.items()}
    else:
        arrays = source if isinstance(source, tuple) else (source,)
        given = dict(zip(names, arrays, strict=False)) if len(arrays) == len(names) else {}
    if set(given) != set(names):
        raise ConvertError(
            f"the model's inputs are {', '.join(names)}: expected an array for each, as a dict or, "
            "in this order, a tuple"
        )
    return {t.name: np.asarray(given[t.name]).astype(t.dtype) for t in inputs}


def _answers(model: Any, arrays: list[Array], rows: Sample) -> dict[str, Array]:
    """What the model predicts, by the names of its outputs."""
    try:
        with _quietly():
            found = model.predict(arrays if len(arrays) > 1 else arrays[0], verbose=0)
    except Exception as exc:  # TensorFlow and the layers raise errors of their own
        raise ConvertError(
            f"{type(model).__name__} does not take {rows.where}: {_first_line(exc)}"
        ) from exc
    if isinstance(found, Mapping):
        return {str(name): np.asarray(value) for name, value in found.items()}
    if isinstance(found, (list, tuple)):
        return {f"output_{n}": np.asarray(value) for n, value in enumerate(found)}
    return {"output": np.asarray(found)}


def _answer(answers: Mapping[str, Array]) -> tuple[AnswerSpec, ...]:
    """Fields for answers [N, 1] and [N, K]; () where others are among them."""
    if any(array.ndim not in (1, 2) for array in answers.values()):
        return ()
    return tuple(
        AnswerSpec(name, name, "numbers" if a.ndim == 2 and a.shape[1] != 1 else "number")
        for name, a in answers.items()
    )


def _exported(model: Any) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            with _quietly():
                model.export(path, format="onnx", verbose=False)
        except Exception as exc:  # the exporter and all it calls
            raise ConvertError(
                f"Keras cannot export {type(model).__name__} to ONNX: {_first_line(exc)}. Another "
                "backend may (KERAS_BACKEND=torch, and the same weights), or add the ONNX file"
            ) from exc
        return without_traces(onnx.load(path))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without warnings and log lines of the backend: what matters of them is raised."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _first_line(exc: Exception) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0]
