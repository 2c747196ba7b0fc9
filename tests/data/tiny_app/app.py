"""The smallest function that needs wasi:nn, for test_compose.py.

POST /GRAPH?2,3 with raw FP32 values of shape [2, 3] as input x answers every output, raw; a
refusal answers 400 with its code and words. POST /LOAD tries to load bytes.
"""

from componentize_py_types import Err, Ok
from wit_world.imports import graph, tensor
from wit_world.imports.types import (
    Fields,
    IncomingRequest,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)


class IncomingHandler:
    def handle(self, request: IncomingRequest, out: ResponseOutparam) -> None:
        try:
            status, data = 200, answer(request)
        except Err as refused:
            error = refused.value
            status, data = 400, f"{error.code().name}: {error.data()}".encode()
        response = OutgoingResponse(Fields.from_list([]))
        response.set_status_code(status)
        body = response.body()
        ResponseOutparam.set(out, Ok(response))
        with body.write() as stream:
            for start in range(0, len(data), 4096):
                stream.blocking_write_and_flush(data[start : start + 4096])
        OutgoingBody.finish(body, None)


def answer(request: IncomingRequest) -> bytes:
    name, _, dims = (request.path_with_query() or "/").removeprefix("/").partition("?")
    if name == "v2/health/ready":
        return b""
    if name == "LOAD":
        graph.load([b"onnx"], graph.GraphEncoding.ONNX, graph.ExecutionTarget.CPU)
    values = read(request)
    shape = [int(d) for d in dims.split(",") if d]
    given = tensor.Tensor(shape, tensor.TensorType.FP32, values)
    context = graph.load_by_name(name).init_execution_context()
    return b"".join(output.data() for _, output in context.compute([("x", given)]))


def read(request: IncomingRequest) -> bytes:
    parts = []
    with request.consume() as body, body.stream() as stream:
        try:
            while True:
                parts.append(stream.blocking_read(1 << 20))
        except Err:
            return b"".join(parts)
