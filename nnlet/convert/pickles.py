"""Pickles: a fitted object from a file that says which packages it needs, in words."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

from nnlet.errors import ConvertError, ToolMissing


def read(path: Path) -> Any:
    """The object in a pickle, by joblib where that is installed (it reads plain pickles too).

    Runs whatever code is in it: only for a trusted file. Raises ToolMissing for a package that
    is not there, ConvertError for a file that cannot be read here.
    """
    try:
        with warnings.catch_warnings():
            # Of another version of the library that made it: the check says whether it matters.
            warnings.simplefilter("ignore")
            return _load(path)
    except ModuleNotFoundError as exc:
        raise ToolMissing(
            f"{path} needs {exc.name}, which is not installed here: install what it was made "
            "with, in the same version"
        ) from exc
    except (AttributeError, ImportError) as exc:
        raise ConvertError(
            f"{path} needs something that this version of its library has not ({exc}): it was "
            "written with another one, or its class stands in your own script. Install the "
            "version that it was made with, or call nnlet.add where it was made"
        ) from exc
    except Exception as exc:  # a pickle runs its classes' own code, which raises anything
        raise ConvertError(
            f"{path} cannot be unpickled ({type(exc).__name__}: {exc}): is the copy complete, and "
            "was it written by pickle or joblib with the versions that are installed here?"
        ) from exc


def _load(path: Path) -> Any:
    try:
        import joblib
    except ImportError:
        with path.open("rb") as stream:
            return pickle.load(stream)
    return joblib.load(path)
