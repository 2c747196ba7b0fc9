"""docs/models.md: the line that deploys a model, one section a library, does so."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnlet.model import read_repository
from nnlet.project import Project
from tests.conftest import add_model

PAGE = (Path(__file__).parent.parent.parent / "docs" / "models.md").read_text(encoding="utf-8")

# What a section's code needs installed, and which model it adds.
SECTIONS = {
    "scikit-learn": (("skl2onnx", "pandas"), "wine"),
    "XGBoost": (("xgboost", "sklearn", "pandas"), "tumour"),
    "LightGBM": (("lightgbm", "sklearn", "pandas"), "tumour"),
    "CatBoost": (("catboost", "sklearn"), "tumour"),
    "stochtree": (("stochtree",), "price"),
    "statsmodels": (("statsmodels",), "affairs"),
    "PyTorch": (("torch", "onnxscript"), "pets"),
    "Keras": (("keras", "tensorflow", "tf2onnx"), "pets"),
    "ONNX": ((), "mine"),
}


@pytest.mark.parametrize("section", SECTIONS)
def test_the_code_of_a_section_adds_its_model(
    section: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages, name = SECTIONS[section]
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: docs/models.md says how")
    monkeypatch.chdir(project.root)
    add_model(project.root / "from", "double").rename(project.root / "model.onnx")
    body = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"^```python\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"X": np.ones((3, 4))}
    exec("import nnlet\n" + code, names)
    assert f"{name}@1" in [spec.graph for spec in read_repository(project.models)]
