"""The function: what it serves, and under which paths. This is the file to edit.

`nnlet dev` runs it natively and reloads it on save; `./build.sh up` compiles and serves it.
"""

from nnlet.guest import (
    OPEN_INFERENCE_PROTOCOL,
    PAGE,
    TABLES,
    App,
    HTTPError,
    Predict,
    Request,
    Response,
    Route,
    Tensor,
)

PIXEL = {"type": "number", "minimum": 0, "maximum": 16}
PIXELS = {"type": "array", "items": PIXEL, "minItems": 64, "maxItems": 64}
IMAGE = {"type": "object", "required": ["pixels"], "properties": {"pixels": PIXELS}}


def decode_request(request: Request) -> dict[str, Tensor]:
    """`{"pixels": [64 numbers from 0 to 16]}`, an image of 8 by 8, row by row."""
    body = request.json()
    pixels = body.get("pixels") if isinstance(body, dict) else None
    if not isinstance(pixels, list) or len(pixels) != 64:
        raise HTTPError(400, 'expected {"pixels": [...]} with 64 numbers from 0 to 16')
    image = Tensor.of("FP32", (1, 1, 8, 8), pixels)
    scaled = [pixel / 16 for pixel in image.values()]
    if min(scaled) < 0 or max(scaled) > 1:
        raise HTTPError(400, "a pixel is outside of 0 to 16")
    return {"image": Tensor.of("FP32", (1, 1, 8, 8), scaled)}


def encode_response(outputs: dict[str, Tensor]) -> Response:
    """`{"digit": 7, "probability": 0.98}`."""
    scores = outputs["probabilities"].values()
    digit = scores.index(max(scores))
    return Response.json({"digit": digit, "probability": round(scores[digit], 4)})


app = App(
    routes=[
        *OPEN_INFERENCE_PROTOCOL,
        *TABLES,
        *PAGE,
        Route("POST", "/digits", Predict("digits", decode_request, encode_response), IMAGE),
    ]
)
