"""What was added answers over HTTP, to a table with words and gaps, as the library does."""

from __future__ import annotations

import json
import threading
import urllib.request

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
    (project.root / "app.py").write_text(
        "from nnlet.guest import TABLES, App\napp = App(routes=TABLES)\n"
    )
    server = DevServer(project, OnnxRuntime(project.models), Address(port=free_port()))
    server.reload()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        found = ask(server.url, frame.head(12).to_json(orient="records"))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert [answer["label"] for answer in found] == model.predict(frame.head(12)).tolist()
    # In JSON, float32 has nine digits; the library computes in float64.
    scores = [answer["probabilities"]["true"] for answer in found]
    assert scores == pytest.approx(model.predict_proba(frame.head(12))[:, 1], abs=1e-5)


def ask(url: str, records: str) -> list[dict[str, dict[str, float]]]:
    request = urllib.request.Request(f"{url}/predict/churn", records.encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        return list(json.load(answer))
