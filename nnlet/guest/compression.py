"""Content-Encoding both ways: gzip and deflate (which HTTP defines as the zlib format)."""

from __future__ import annotations

import zlib

from nnlet.errors import HTTPError
from nnlet.guest.messages import Request, Response, too_large

# zlib's window bits: 15, plus 16 for gzip's frame instead of zlib's.
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_SUPPORTED = "gzip, deflate"

# Below this an answer fits one packet either way, and compressing it only takes time.
MIN_SIZE = 1024
_LEVEL = 6


def decompress(request: Request, limit: int) -> None:
    """Undo the request's Content-Encoding in place.

    415 for an encoding that is not supported, 400 for one that does not decode, 413 as
    soon as more than `limit` bytes come out, whatever the body claims.
    """
    encoding = request.headers["content-encoding"].strip().lower()
    if encoding in ("", "identity"):
        return
    bits = _WINDOW_BITS.get(encoding)
    if bits is None:
        raise HTTPError(
            415,
            f"Content-Encoding {encoding!r} is not supported: expected {_SUPPORTED} or none",
            (("accept-encoding", _SUPPORTED),),
        )
    request.body = _inflate(request.body, bits, encoding, limit)


def _inflate(body: bytes, bits: int, encoding: str, limit: int) -> bytes:
    stream = zlib.decompressobj(bits)
    try:
        data = stream.decompress(body, limit + 1)
    except zlib.error as exc:
        raise HTTPError(400, f"the body is not valid {encoding}: {exc}") from exc
    if len(data) > limit:
        raise too_large(limit + 1, limit)
    if not stream.eof:
        raise HTTPError(
            400,
            f"the body is not valid {encoding}: it ends after {len(body)} bytes, inside the data",
        )
    if stream.unused_data:
        raise HTTPError(
            400,
            f"the body is not valid {encoding}: {len(stream.unused_data)} bytes follow its end",
        )
    return data


def compress(request: Request, response: Response) -> None:
    """Encode the response's body in place, if the client asks for it and it is worth it."""
    if len(response.body) < MIN_SIZE:
        return
    encoding = choose(request.headers["accept-encoding"])
    if not encoding:
        return
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS[encoding])
    response.body = packer.compress(response.body) + packer.flush()
    response.headers += (("content-encoding", encoding), ("vary", "accept-encoding"))


def choose(accepted: str) -> str:
    """The encoding an Accept-Encoding header prefers of those we have, "" if none."""
    weights = dict(map(_weight, accepted.lower().split(",")))
    other = weights.get("*", 0.0)
    best = max(("gzip", "deflate"), key=lambda name: weights.get(name, other))
    return best if weights.get(best, other) > 0 else ""


def _weight(item: str) -> tuple[str, float]:
    name, _, parameter = item.partition(";")
    key, _, quality = parameter.partition("=")
    if key.strip() != "q":
        return name.strip(), 1.0
    try:
        return name.strip(), float(quality)
    except ValueError:
        return name.strip(), 0.0
