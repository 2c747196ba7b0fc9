"""The code that runs inside the function: http > routes > protocol > inference.

Everything but the two ends (`http`, which speaks wasi:http, and `inference`, which speaks
wasi:nn) is plain Python and runs natively, too: under `nnlet dev` and in the tests.
"""

from nnlet.errors import HTTPError, InferenceError
from nnlet.guest.app import App
from nnlet.guest.backend import Backend
from nnlet.guest.endpoints import OPEN_INFERENCE_PROTOCOL
from nnlet.guest.hooks import Predict
from nnlet.guest.messages import Request, Response
from nnlet.guest.page import PAGE
from nnlet.guest.predict import TABLES
from nnlet.guest.routes import Route
from nnlet.guest.tensors import Tensor

__all__ = [
    "OPEN_INFERENCE_PROTOCOL",
    "PAGE",
    "TABLES",
    "App",
    "Backend",
    "HTTPError",
    "InferenceError",
    "Predict",
    "Request",
    "Response",
    "Route",
    "Tensor",
]
