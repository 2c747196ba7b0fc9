"""ModelSpec: what a model takes and gives, handed from stage to stage.

`read_repository` reads `models/NAME/VERSION/model.onnx` (the layout that Triton and
OpenVINO Model Server read) and `models/NAME/model.toml` beside it.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from nnlet.answers import read_answer
from nnlet.columns import read_columns
from nnlet.errors import ModelError, UnsupportedModel
from nnlet.signature import AnswerSpec as AnswerSpec
from nnlet.signature import ColumnSpec as ColumnSpec
from nnlet.signature import TensorSpec as TensorSpec
from nnlet.tensor import BY_ONNX, DATATYPES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
VERSION = re.compile(r"[1-9][0-9]{0,17}")


ZIP_MAP = ("ai.onnx.ml", "ZipMap")


@dataclass(frozen=True)
class ModelSpec:
    """One version of one model.

    `path` is the ONNX file, `digest` its sha256 in hex, `size` its bytes (both with
    external data). `example` maps each input's name to nested lists, or is empty. `columns` and
    `answer` say what a table for this model holds, and what is said of each row; both may be empty.
    """

    name: str
    version: str
    path: Path
    digest: str
    size: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    description: str = ""
    example: dict[str, Any] = field(default_factory=dict)
    columns: tuple[ColumnSpec, ...] = ()
    answer: tuple[AnswerSpec, ...] = ()

    @property
    def graph(self) -> str:
        """The name under which wasi-nn loads it."""
        return f"{self.name}@{self.version}"


def read_repository(root: Path) -> tuple[ModelSpec, ...]:
    """All versions of all models under `root`, by name, then by version number.

    Raises ModelError, naming the file, for anything that is not a readable model.
    """
    if not root.is_dir():
        raise ModelError(f"no models folder at {root}: expected {root}/NAME/VERSION/model.onnx")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    specs = tuple(spec for folder in folders for spec in _read_model(folder))
    if not specs:
        raise ModelError(
            f"{root} holds no model: put one at {root}/NAME/1/model.onnx, where NAME is "
            "the name it is served under"
        )
    return specs


def _read_model(folder: Path) -> Iterable[ModelSpec]:
    if not NAME.fullmatch(folder.name):
        raise ModelError(
            f"{folder}: a model's name is letters, digits, '_', '-' and '.', "
            f"found {folder.name!r}: rename the folder"
        )
    versions = sorted(
        (p for p in folder.iterdir() if p.is_dir() and VERSION.fullmatch(p.name)),
        key=lambda p: int(p.name),
    )
    if not versions:
        raise ModelError(
            f"{folder} has no version: expected {folder}/1/model.onnx (a folder whose name is a "
            "number, with the model inside)"
        )
    about = read_toml(folder / "model.toml")
    return [read_model(folder.name, v.name, v / "model.onnx", about) for v in versions]


def read_toml(path: Path) -> dict[str, Any]:
    """The checked content of a model.toml; {} where there is none. Raises ModelError."""
    if not path.exists():
        return {}
    try:
        about = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ModelError(f"{path}: not valid TOML: {exc}") from exc
    allowed = {"answer", "columns", "description", "example", "labels"}
    for key in about:
        if key not in allowed:
            raise ModelError(
                f"{path}: unknown key {key!r}: expected one of {', '.join(sorted(allowed))}"
            )
    if not isinstance(about.get("description", ""), str):
        raise ModelError(f"{path}: 'description' must be a string")
    labels = about.get("labels", {})
    if not isinstance(labels, dict) or not all(
        isinstance(v, list) and all(isinstance(x, str) for x in v) for v in labels.values()
    ):
        raise ModelError(
            f"{path}: [labels] must map an output's name to a list of strings, one a class"
        )
    if not isinstance(about.get("example", {}), dict):
        raise ModelError(f"{path}: [example] must map an input's name to its values")
    return about


def read_model(name: str, version: str, path: Path, about: dict[str, Any]) -> ModelSpec:
    """The spec of one ONNX file. Raises ModelError or UnsupportedModel, naming the file."""
    proto = load_onnx(path, weights=False)
    constants = {t.name for t in proto.graph.initializer}
    labels = about.get("labels", {})
    inputs = tuple(
        tensor_spec(v, path, "input") for v in proto.graph.input if v.name not in constants
    )
    outputs = _outputs(proto.graph, path, labels)
    toml = path.parent.parent / "model.toml"
    _check_names(toml, "labels", labels, outputs, "output")
    _check_names(toml, "example", about.get("example", {}), inputs, "input")
    files = [path, *external_files(proto, path)]
    return ModelSpec(
        name=name,
        version=version,
        path=path,
        digest=_digest(files),
        size=sum(file.stat().st_size for file in files),
        inputs=inputs,
        outputs=outputs,
        description=about.get("description", ""),
        example=about.get("example", {}),
        columns=read_columns(toml, about.get("columns", []), inputs),
        answer=read_answer(toml, about.get("answer", []), outputs),
    )


def _outputs(
    graph: onnx.GraphProto, path: Path, labels: dict[str, list[str]]
) -> tuple[TensorSpec, ...]:
    made = {name: node for node in graph.node for name in node.output}
    left_out = unserved_outputs(graph)
    specs = []
    for value in graph.output:
        node = made.get(value.name)
        if node is not None and (node.domain, node.op_type) == ZIP_MAP:
            specs.append(_zip_map(value.name, node, labels))
        elif value.name not in left_out:
            specs.append(tensor_spec(value, path, "output", labels))
    return tuple(specs)


def unserved_outputs(graph: onnx.GraphProto) -> frozenset[str]:
    """Outputs of strings beside others: wasi-nn has no strings, and what a classifier says in
    words stands in the labels of its scores."""
    strings = [
        v.name for v in graph.output if v.type.tensor_type.elem_type == onnx.TensorProto.STRING
    ]
    return frozenset(strings if len(strings) < len(graph.output) else ())


def _zip_map(name: str, node: onnx.NodeProto, labels: dict[str, list[str]]) -> TensorSpec:
    """A ZipMap's output as the scores that go into it: [rows, classes], labelled.

    https://onnx.ai/onnx/operators/onnx_aionnxml_ZipMap.html
    """
    values = [onnx.helper.get_attribute_value(a) for a in node.attribute]
    classes = [x.decode() if isinstance(x, bytes) else str(x) for v in values for x in v]
    return TensorSpec(name, DATATYPES["FP32"], (-1, len(classes)), tuple(labels.get(name, classes)))


def external_files(proto: onnx.ModelProto, path: Path) -> list[Path]:
    """The files beside `path` that hold its weights. Raises ModelError for one that is absent."""
    names = {
        entry.value
        for tensor in proto.graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    files = [path.parent / name for name in sorted(names)]
    for file in files:
        if not file.is_file():
            raise ModelError(
                f"{path}: its weights are in {file.name}, which is not there: copy both files"
            )
    return files


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _check_names(
    toml: Path, key: str, table: dict[str, Any], specs: tuple[TensorSpec, ...], what: str
) -> None:
    names = [s.name for s in specs]
    for name in table:
        if name not in names:
            raise ModelError(
                f"{toml}: [{key}] names {what} {name!r}, but the model's {what}s are "
                f"{', '.join(names)}"
            )


def load_onnx(path: Path, *, weights: bool = True) -> onnx.ModelProto:
    """Parse an ONNX file; `weights=False` leaves external data where it is."""
    try:
        proto = onnx.load(str(path), load_external_data=weights)
    except FileNotFoundError as exc:
        missing = exc.filename or str(path)
        raise ModelError(f"{path}: no such file: {missing}") from exc
    except (DecodeError, ValueError) as exc:
        raise ModelError(
            f"{path}: not a readable ONNX file ({str(exc).splitlines()[0]}): export it again, or "
            "check that the copy is complete"
        ) from exc
    except Exception as exc:  # onnx raises several types of its own for external data
        raise ModelError(f"{path}: {str(exc).splitlines()[0]}") from exc
    if not proto.HasField("graph") or not proto.graph.output:
        raise ModelError(f"{path}: not an ONNX model: it has no graph with outputs")
    return proto


def tensor_spec(
    value: onnx.ValueInfoProto, path: Path, what: str, labels: dict[str, list[str]] | None = None
) -> TensorSpec:
    """Name, datatype and shape of one graph input or output."""
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise UnsupportedModel(
            f"{path}: {what} {value.name!r} is a {kind or 'value without a type'}; nnlet serves "
            "tensors (export without sequences, maps and optionals; for scikit-learn: "
            "options={'zipmap': False})"
        )
    tensor = value.type.tensor_type
    datatype = BY_ONNX.get(tensor.elem_type)
    if datatype is None:
        found = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        raise UnsupportedModel(
            f"{path}: {what} {value.name!r} has datatype {found}; nnlet serves "
            f"{', '.join(DATATYPES)}"
        )
    if not tensor.HasField("shape") and what == "input":
        raise UnsupportedModel(f"{path}: input {value.name!r} has no shape: its rank must be known")
    # Exporters also write 0 or -1 for a size that varies.
    shape = tuple(d.dim_value if d.dim_value > 0 else -1 for d in tensor.shape.dim)
    names = tuple((labels or {}).get(value.name, ()))
    return TensorSpec(value.name, datatype, shape, names)
