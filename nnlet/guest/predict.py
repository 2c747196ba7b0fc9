"""POST /predict/NAME: tables in, answers out.

A record, a list of records, or CSV with a header; see docs/predict.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nnlet.errors import HTTPError
from nnlet.guest.csvtext import read
from nnlet.guest.jsontext import parse
from nnlet.guest.messages import JSON, Request, Response
from nnlet.guest.routes import Route
from nnlet.guest.tensors import describe

if TYPE_CHECKING:
    from nnlet.guest.app import App

CSV = "text/csv"

# curl -d says this of whatever it sends.
_FORM = "application/x-www-form-urlencoded"

_ACCEPTED = f"{JSON}, {CSV}"
_MARK = b"\xef\xbb\xbf"


def predict(request: Request, app: App) -> Response:
    """Answer a record, a list of records, or CSV, by column name."""
    params = request.params
    model = app.models.find(params["model"], params.get("version", ""))
    request.model = model.graph
    table = app.tables[model.graph]
    if media_type(request) == CSV:
        single = False
        numbers, rows = table.read_rows(read(request.body))
    else:
        records, single = _records(request)
        numbers, rows = table.read_records(records, not single)
    values = table.compute(numbers, rows, app.compute)
    if wants_csv(request.headers.get("accept", "")):
        return Response(table.csv(values, rows).encode(), 200, f"{CSV}; charset=utf-8")
    texts = table.json(values, rows)
    return Response((texts[0] if single else f"[{','.join(texts)}]").encode())


def media_type(request: Request) -> str:
    """What the body is said to be: JSON or CSV. Raises 415 for anything else."""
    header = request.headers.get("content-type", "")
    if header == JSON:
        return JSON
    name, _, parameters = header.lower().partition(";")
    name = name.strip()
    if name == _FORM and request.body.lstrip()[:1] not in (b"{", b"["):
        raise _unsupported(f"the body is said to be {_FORM}, and is no JSON")
    if name != CSV and name not in ("", JSON, _FORM) and not name.endswith("+json"):
        raise _unsupported(f"Content-Type {describe(header)} is not supported")
    charset = _charset(parameters)
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise _unsupported(f"charset {describe(charset)} is not supported: expected UTF-8")
    return CSV if name == CSV else JSON


def _unsupported(what: str) -> HTTPError:
    return HTTPError(
        415,
        f"{what}: send JSON (Content-Type: {JSON}) or CSV (Content-Type: {CSV}; with curl: "
        "-H 'content-type: text/csv' --data-binary @FILE)",
        (("accept-post", _ACCEPTED),),
    )


def _charset(parameters: str) -> str:
    for item in parameters.split(";"):
        key, _, value = item.partition("=")
        if key.strip() == "charset":
            return value.strip(' \t"')
    return ""


def _records(request: Request) -> tuple[list[Any], bool]:
    """The records of a JSON body, and whether it is a single one, outside of a list."""
    document = parse(request.body.removeprefix(_MARK))
    if type(document) is list:
        return document, False
    if type(document) is dict:
        return [document], True
    raise HTTPError(
        400,
        f"the body is {describe(document)}: expected a record, which is a JSON object by column "
        "name, or a list of records",
    )


def wants_csv(accept: str) -> bool:
    """Whether an Accept header prefers CSV to JSON, which is the default."""
    weights: dict[str, float] = {}
    for item in accept.lower().split(","):
        name, *parameters = item.split(";")
        weights[name.strip()] = _quality(parameters)
    other = max(weights.get("*/*", 0.0), weights.get("application/*", 0.0))
    return weights.get(CSV, 0.0) > weights.get(JSON, other)


def _quality(parameters: list[str]) -> float:
    for item in parameters:
        key, _, value = item.partition("=")
        if key.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


TABLES = [
    Route("POST", "/predict/{model}", predict),
    Route("POST", "/predict/{model}/versions/{version}", predict),
]
