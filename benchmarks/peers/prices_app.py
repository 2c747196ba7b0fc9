"""The FastAPI peers of benchmarks.bart: a property in, its price out, computed by LIBRARY.

As a careful author writes it: orjson, one thread, no response models. uvicorn imports this file
by itself, so it imports nothing of ours, and of the libraries only the one that computes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from fastapi import FastAPI, Request, Response

Record = dict[str, Any]
Rows = np.ndarray[Any, np.dtype[np.float32]]
FILE = Path(os.environ["MODEL"])
# The columns in order: the categories of each, null for numbers.
COLUMNS: dict[str, list[str] | None] = orjson.loads(os.environ["COLUMNS"])

app = FastAPI()


def row(record: Record) -> Rows:
    """[1, columns]: categories as their places."""
    values = [
        record[name] if categories is None else categories.index(record[name])
        for name, categories in COLUMNS.items()
    ]
    return np.array([values], np.float32)


def stochtree() -> Callable[[Record], Record]:
    """Its own predict, which takes a DataFrame."""
    import pandas
    from stochtree import BARTModel

    model = BARTModel()
    model.from_json(FILE.read_text())

    def answer(record: Record) -> Record:
        frame = pandas.DataFrame(
            {
                name: [record[name]]
                if categories is None
                else pandas.Categorical([record[name]], categories, ordered=name == "energy_label")
                for name, categories in COLUMNS.items()
            }
        )
        draws = model.predict(frame, terms="y_hat")[0]
        return {"mean": draws.mean(), "draws": draws}

    return answer


def onnxruntime() -> Callable[[Rows], list[Any]]:
    """A session on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(FILE, options, providers=["CPUExecutionProvider"])
    return lambda rows: list(session.run(None, {"features": rows}))


def xgboost() -> Callable[[Rows], list[Any]]:
    """The booster's own predict, without the DMatrix."""
    import xgboost

    booster = xgboost.Booster({"nthread": 1}, model_file=str(FILE))
    return lambda rows: [booster.inplace_predict(rows)]


library = os.environ["LIBRARY"]
if library == "stochtree":
    answer_record = stochtree()
else:
    run = {"onnxruntime": onnxruntime, "xgboost": xgboost}[library]()

    def answer_record(record: Record) -> Record:
        found = run(row(record))
        if len(found) == 1:
            return {"prediction": float(found[0].ravel()[0])}
        return {"mean": float(found[0][0, 0]), "draws": found[1][0]}

    @app.post("/raw")
    async def raw(request: Request) -> Response:
        """Rows of float32 in, predictions out."""
        rows = np.frombuffer(await request.body(), np.float32).reshape(-1, len(COLUMNS))
        return Response(run(rows)[0].tobytes(), media_type="application/octet-stream")


@app.post("/predict")
async def predict(request: Request) -> Response:
    answer = answer_record(orjson.loads(await request.body()))
    return Response(
        orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json"
    )
