"""GET /: one page, whole in itself, to try the models in a browser.

Its source lies in html/. It is put together once, when models are bound, so that it is part of
the component's snapshot; the files are read when this module is imported, at build time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import nnlet
from nnlet.guest.messages import Request, Response, dumps
from nnlet.guest.models import Model, Models
from nnlet.guest.routes import Route

if TYPE_CHECKING:
    from nnlet.guest.app import App

HTML = "text/html; charset=utf-8"

# Nothing from elsewhere, and nobody's frame: what a model is called cannot become more than text.
HEADERS = (
    (
        "content-security-policy",
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
)

# Examples above this in total are left out: the page is for people.
MAX_EXAMPLES = 16 * 1024

_HOLE = re.compile(r"\{\{([a-z.]+)\}\}")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})


def _read(name: str) -> str:
    with open(f"{__file__.rpartition('/')[0]}/html/{name}", encoding="utf-8") as file:
        return file.read()


_FILES = {name: _read(name) for name in ("page.html", "page.css", "pad.js", "page.js")}


def make_page(name: str, models: Models) -> bytes:
    """The page of a function of this name, in UTF-8."""
    room = MAX_EXAMPLES
    rows = []
    for model in models.all:
        row = _describe(model, models)
        room -= len(dumps(row["example"]))
        rows.append(row if room >= 0 else {**row, "example": {}})
    content = {
        **_FILES,
        "name": name.translate(_ESCAPES),
        "version": nnlet.__version__,
        # Inside <script>, where only its end tag means anything.
        "models": dumps(rows).decode().replace("<", "\\u003c"),
    }
    return _HOLE.sub(lambda hole: content[hole[1]], _FILES["page.html"]).encode()


def page(request: Request, app: App) -> Response:
    """A page to try the models in a browser."""
    return Response(app.page, 200, HTML, HEADERS)


PAGE = [Route("GET", "/", page)]


def _describe(model: Model, models: Models) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": model.name,
        "version": model.version,
        "newest": models.find(model.name) is model,
        "description": model.description,
        "inputs": [info.metadata() for info in model.inputs.values()],
        "outputs": [
            {**info.metadata(), "labels": list(info.labels)} for info in model.outputs.values()
        ],
        "example": model.example,
    }
    return {**row, "columns": model.columns} if model.columns else row
