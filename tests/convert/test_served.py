"""What was added answers over HTTP, to a table with words and gaps, as the library does."""

from __future__ import annotations

import json
import threading
import urllib.request
from typing import Any

import pytest

import nnlet
from nnlet.dev import DevServer
from nnlet.host import Address, free_port
from nnlet.ort import OnnxRuntime
from nnlet.project import Project

HOW = "scikit-learn is not installed: pip install --require-hashes -r requirements/sklearn.txt"
pytest.importorskip("skl2onnx", reason=HOW)
pytest.importorskip("pandas", reason=HOW)


def test_a_caller_sends_words_and_leaves_gaps(project: Project, clean_modules: None) -> None:
    from tests.convert.test_sklearn import churn, people

    frame = people().astype({"city": object, "plan": object})
    frame["city"] = frame["city"].where(frame["city"].notna(), None)
    model = churn().fit(frame, frame["income"] > 40_000)
    nnlet.add(model, "churn", frame, into=project.models)
    found = served(project, "churn", frame.head(12).to_json(orient="records"))
    assert [answer["label"] for answer in found] == model.predict(frame.head(12)).tolist()
    # In JSON, float32 has nine digits; the library computes in float64.
    scores = [answer["probabilities"]["true"] for answer in found]
    assert scores == pytest.approx(model.predict_proba(frame.head(12))[:, 1], abs=1e-5)


def test_a_caller_of_boosted_trees_sends_words_and_leaves_gaps(
    project: Project, clean_modules: None
) -> None:
    lightgbm = pytest.importorskip("lightgbm", reason="pip install lightgbm")
    from tests.convert.test_lightgbm import FEW, categories

    frame, target = categories()
    names = ["small", "large"]
    labels = [names[int(above)] for above in target > target.median()]
    model = lightgbm.LGBMClassifier(min_data_per_group=2, **FEW).fit(frame, labels)
    nnlet.add(model, "sizes", frame, into=project.models)
    found = served(project, "sizes", frame.head(12).to_json(orient="records"))
    assert [answer["label"] for answer in found] == model.predict(frame.head(12)).tolist()
    scores = [answer["probabilities"]["small"] for answer in found]
    assert scores == pytest.approx(model.predict_proba(frame.head(12))[:, 1], abs=1e-5)


def test_a_caller_of_a_formula_sends_the_columns_of_the_data_frame(
    project: Project, clean_modules: None
) -> None:
    pytest.importorskip("statsmodels", reason="pip install statsmodels")
    import statsmodels.formula.api as smf

    from tests.convert.test_statsmodels import DATA

    results = smf.logit("sold ~ I(x**2) * city + C(floor) + garden", DATA).fit(disp=0)
    nnlet.add(results, "sold", into=project.models)
    sent = DATA.head(12)[["x", "city", "floor", "garden"]]
    found = served(project, "sold", sent.to_json(orient="records", double_precision=15))
    expected = results.predict(DATA.head(12)).tolist()
    assert [answer["probability"] for answer in found] == pytest.approx(expected, rel=1e-9)


def served(project: Project, name: str, records: str) -> list[dict[str, Any]]:
    """The answers of the project's function."""
    (project.root / "app.py").write_text(
        "from nnlet.guest import TABLES, App\napp = App(routes=TABLES)\n"
    )
    server = DevServer(project, OnnxRuntime(project.models), Address(port=free_port()))
    server.reload()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        return ask(f"{server.url}/predict/{name}", records)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(url: str, records: str) -> list[dict[str, Any]]:
    request = urllib.request.Request(url, records.encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        return list(json.load(answer))
