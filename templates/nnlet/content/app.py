"""{{project-name}}: what it serves, and under which paths. This is the file to edit.

`bash build.sh dev` runs it natively and loads it anew on every save.
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

SPECIES = ("setosa", "versicolor", "virginica")
FEATURES = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
FLOWER = {"type": "object", "required": ["flower"], "properties": {"flower": FEATURES}}


def decode_request(request: Request) -> dict[str, Tensor]:
    """`{"flower": [sepal length, sepal width, petal length, petal width]}`, in cm."""
    body = request.json()
    flower = body.get("flower") if isinstance(body, dict) else None
    if not isinstance(flower, list) or len(flower) != 4:
        raise HTTPError(400, 'expected {"flower": [...]} with 4 numbers')
    return {"features": Tensor.of("FP32", (1, 4), flower)}


def encode_response(outputs: dict[str, Tensor]) -> Response:
    """`{"species": "setosa", "probability": 0.998}`."""
    scores = outputs["probabilities"].values()
    best = scores.index(max(scores))
    return Response.json({"species": SPECIES[best], "probability": round(scores[best], 4)})


app = App(
    routes=[
        *OPEN_INFERENCE_PROTOCOL,
        *TABLES,
        *PAGE,
        Route("POST", "/species", Predict("iris", decode_request, encode_response), FLOWER),
    ]
)
