"""The tables: which function converts what, and which reads which file.

A fitted object is recognised by the modules of its classes, so that no library is imported to
find out; the function's module is imported when it is called.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nnlet.convert.converted import Converted, Precision
from nnlet.convert.sample import Sample
from nnlet.errors import ConvertError, ToolMissing

Convert = Callable[[Any, Sample, Precision], Converted]
Load = Callable[[Path], Any]


@dataclass(frozen=True)
class Converter:
    """How models of one library become ONNX.

    `modules`: the packages whose classes are this library's. `function`: where the Convert
    is, as module:name. `needs`: the packages that it imports, in the extra `extra`.
    `precisions`: what it can convert to, the first choice first. `inside`: where the function
    is (no arguments) that makes this library's estimators known to skl2onnx, for those that
    stand in a scikit-learn Pipeline; "" if none can. `needs_sample`: False where the model
    itself says what it takes. `options` are what `add` passes on, by name.
    """

    library: str
    modules: tuple[str, ...]
    function: str
    needs: tuple[str, ...] = ()
    extra: str = ""
    precisions: tuple[Precision, ...] = ("FP32",)
    inside: str = ""
    needs_sample: bool = True
    options: tuple[str, ...] = ()

    def load(self, options: Mapping[str, Any] | None = None) -> Convert:
        """The function, with `options` given to it.

        Raises ToolMissing, with the line that installs what it needs, and ConvertError for an
        option that models of this library do not have.
        """
        given = {name: value for name, value in (options or {}).items() if value}
        for name in given:
            if name not in self.options:
                having = ", ".join(row.library for row in CONVERTERS if name in row.options)
                raise ConvertError(f"{name} is for models of {having}, not of {self.library}")
        require(self.needs, self.extra, f"converting a model of {self.library}")
        return partial(_find(self.function), **given)

    def register_inside(self) -> None:
        """Make its estimators known to skl2onnx. Raises ToolMissing."""
        require(self.needs, self.extra, f"converting a model of {self.library}")
        _find(self.inside)()


@dataclass(frozen=True)
class Loader:
    """How one kind of file becomes a fitted object. `runs_code`: reading it can do anything
    that its writer wanted."""

    function: str
    runs_code: bool = False
    needs: tuple[str, ...] = ()
    extra: str = ""

    def load(self, path: Path) -> Any:
        """The object in the file. Raises ConvertError or ToolMissing."""
        require(self.needs, self.extra, f"reading {path.name}")
        return _find(self.function)(path)


CONVERTERS = (
    Converter(
        library="ONNX",
        modules=("onnx",),
        function="nnlet.convert.onnxfile:convert",
        needs_sample=False,
    ),
    Converter(
        library="scikit-learn",
        modules=("sklearn",),
        function="nnlet.convert.sklearn:convert",
        needs=("sklearn", "skl2onnx"),
        extra="sklearn",
        precisions=("FP32", "FP64"),
    ),
    Converter(
        library="XGBoost",
        modules=("xgboost",),
        function="nnlet.convert.xgboost:convert",
        needs=("xgboost", "pandas"),
        extra="xgboost",
        inside="nnlet.convert.xgboost:register",
    ),
    Converter(
        library="LightGBM",
        modules=("lightgbm",),
        function="nnlet.convert.lightgbm:convert",
        needs=("lightgbm", "pandas"),
        extra="lightgbm",
        precisions=("FP32", "FP64"),
        inside="nnlet.convert.lightgbm:register",
    ),
    Converter(
        library="CatBoost",
        modules=("catboost",),
        function="nnlet.convert.catboost:convert",
        needs=("catboost",),
        extra="catboost",
        inside="nnlet.convert.catboost:register",
    ),
    Converter(
        library="stochtree",
        modules=("stochtree",),
        function="nnlet.convert.stochtree:convert",
        needs=("stochtree",),
        extra="bart",
        precisions=("FP32", "FP64"),
        options=("draws", "quantiles"),
    ),
    Converter(
        library="statsmodels",
        modules=("statsmodels",),
        function="nnlet.convert.statsmodels:convert",
        needs=("statsmodels",),
        extra="statsmodels",
        precisions=("FP64",),  # hundreds of bytes: nothing is won by less
        needs_sample=False,
    ),
    Converter(
        library="PyTorch",
        modules=("torch",),
        function="nnlet.convert.torch:convert",
        needs=("torch", "onnxscript"),
        extra="train",
    ),
    Converter(
        library="Keras",
        modules=("keras",),
        function="nnlet.convert.keras:convert",
        needs=("keras", "tf2onnx"),
        extra="keras",
    ),
)

_XGBOOST = Loader("nnlet.convert.xgboost:read", needs=("xgboost",), extra="xgboost")
_TORCH = Loader("nnlet.convert.torch:read", True, ("torch", "onnxscript"), "train")
_CATBOOST = Loader("nnlet.convert.catboost:read", needs=("catboost",), extra="catboost")

# By the end of a file's name; .json by its content.
LOADERS = {
    ".onnx": Loader("nnlet.convert.onnxfile:read"),
    ".pkl": Loader("nnlet.convert.pickles:read", runs_code=True),
    ".pickle": Loader("nnlet.convert.pickles:read", runs_code=True),
    ".joblib": Loader("nnlet.convert.pickles:read", runs_code=True),
    ".ubj": _XGBOOST,
    ".txt": Loader("nnlet.convert.lightgbm:read", needs=("lightgbm",), extra="lightgbm"),
    ".cbm": _CATBOOST,
    ".json": Loader("nnlet.convert.jsonfile:read"),
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".pt2": _TORCH,
    ".keras": Loader("nnlet.convert.keras:read", True, ("keras", "tf2onnx"), "keras"),
}
# By a key that only this library's JSON has.
JSON_LOADERS = {
    "learner": _XGBOOST,
    "features_info": _CATBOOST,
    "outcome_mean": Loader("nnlet.convert.stochtree:read", needs=("stochtree",), extra="bart"),
}


_ON_PYPI = {
    "sklearn": "scikit-learn",
    "xgboost": "xgboost-cpu",
}  # where a package is called otherwise than its module


def converter_of(model: object) -> Converter:
    """The row for a fitted object. Raises ConvertError, naming what there is a row for."""
    row = recognised(model)
    if row is not None:
        return row
    cls = type(model)
    known = ", ".join(row.library for row in CONVERTERS)
    raise ConvertError(
        f"a {cls.__module__}.{cls.__qualname__} is of no library that nnlet converts: expected a "
        f"fitted model of {known}; from any other library, export ONNX and add the file"
    )


def recognised(model: object) -> Converter | None:
    """The row for a fitted object; None if there is none."""
    for base in type(model).__mro__:  # the class itself first: xgboost's derive from sklearn's
        package = base.__module__.partition(".")[0]
        for row in CONVERTERS:
            if package in row.modules:
                return row
    return None


def read_model_file(path: Path, trust: bool = False) -> Any:
    """The fitted object in a file. Raises ConvertError, for a pickle unless trusted."""
    if not path.is_file():
        raise ConvertError(f"no such file: {path}")
    loader = LOADERS.get(path.suffix.lower())
    if loader is None:
        raise ConvertError(f"{path}: a model is one of {', '.join(LOADERS)}")
    if loader.runs_code and not trust:
        raise ConvertError(
            f"{path} can hold a pickle: loading one runs whatever code its writer put into it. If "
            "you made it, or trust who did, say so with --trust"
        )
    return loader.load(path)


def require(packages: tuple[str, ...], extra: str, purpose: str) -> None:
    """Raises ToolMissing unless all packages are installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        found = " ".join(_ON_PYPI.get(name, name) for name in missing)
        raise ToolMissing(
            f"{purpose} needs {', '.join(missing)}: pip install {found} (the versions that nnlet "
            f"is tested with: pip install --require-hashes -r requirements/{extra}.txt)"
        )


def _find(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)
