"""What was added answers over HTTP, to a table with words and gaps, as the library does."""

from __future__ import annotations

import json
import threading
import urllib.request
from pathlib import Path

import pytest

import nnlet
from nnlet.dev import DevServer
from nnlet.host import Address, free_port
from nnlet.ort import OnnxRuntime
from nnlet.project import Project

HOW = "scikit-learn is not installed: pip install --require-hashes -r requirements/sklearn.txt"
pytest.importorskip("skl2onnx", reason=HOW)
pytest.importorskip("pandas", reason=HOW)

ROOT = Path(__file__).parent.parent.parent


def test_a_caller_sends_words_and_leaves_gaps(project: Project, clean_modules: None) -> None:
    from tests.convert.test_sklearn import churn, people

    frame = people().astype({"city": object, "plan": object})
    frame["city"] = frame["city"].where(frame["city"].notna(), None)
    model = churn().fit(frame, frame["income"] > 40_000)
    nnlet.add(model, "churn", frame, into=project.models)
    (project.root / "app.py").write_text((ROOT / "app.py").read_text())
    server = DevServer(project, OnnxRuntime(project.models), Address(port=free_port()))
    server.reload()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        found = ask(server.address.url, frame.head(12).to_json(orient="records"))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert [answer["label"] for answer in found] == model.predict(frame.head(12)).tolist()
    scores = [answer["probabilities"]["true"] for answer in found]
    assert scores == pytest.approx(model.predict_proba(frame.head(12))[:, 1], rel=1e-4)


def ask(url: str, records: str) -> list[dict[str, dict[str, float]]]:
    request = urllib.request.Request(f"{url}/predict/churn", records.encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        return list(json.load(answer))
