"""The datatype table: one row per datatype, read by every conversion in nnlet.

A row names the type as the Open Inference Protocol, wasi-nn, ONNX, C and `struct` do.
wasi-nn carries seven types only; `carrier` is the one in which a type crosses it: itself
where wasi-nn has it, else the smallest one that holds every value (UINT64 crosses as the
same 64 bits). The guest imports this module, so it imports nothing.
"""


class DataType:
    """One datatype. `size` is in bytes; `code` is for `struct` and `array`, "" if none."""

    __slots__ = ("name", "carrier", "nn", "onnx", "onnx_name", "c", "code", "size", "kind")

    def __init__(
        self,
        name: str,
        carrier: str,
        nn: int,
        onnx: int,
        onnx_name: str,
        c: str,
        code: str,
        size: int,
        kind: str,
    ) -> None:
        self.name = name
        self.carrier = carrier
        self.nn = nn
        self.onnx = onnx
        self.onnx_name = onnx_name
        self.c = c
        self.code = code
        self.size = size
        self.kind = kind

    def __repr__(self) -> str:
        return self.name


# nn: index in wasi-nn's `tensor-type` enum (-1: not in it). onnx: TensorProto.DataType.
# kind: b bool, u unsigned, i signed, f floating point.
_ROWS = (
    #        OIP       carrier  nn  onnx onnx name    C         struct size kind
    DataType("BOOL", "UINT8", -1, 9, "bool", "u8", "?", 1, "b"),
    DataType("UINT8", "UINT8", 4, 2, "uint8", "u8", "B", 1, "u"),
    DataType("UINT16", "INT32", -1, 4, "uint16", "u16", "H", 2, "u"),
    DataType("UINT32", "INT64", -1, 12, "uint32", "u32", "I", 4, "u"),
    DataType("UINT64", "INT64", -1, 13, "uint64", "u64", "Q", 8, "u"),
    DataType("INT8", "INT32", -1, 3, "int8", "i8", "b", 1, "i"),
    DataType("INT16", "INT32", -1, 5, "int16", "i16", "h", 2, "i"),
    DataType("INT32", "INT32", 5, 6, "int32", "i32", "i", 4, "i"),
    DataType("INT64", "INT64", 6, 7, "int64", "i64", "q", 8, "i"),
    DataType("FP16", "FP16", 0, 10, "float16", "f16", "e", 2, "f"),
    DataType("BF16", "BF16", 3, 16, "bfloat16", "bf16", "", 2, "f"),
    DataType("FP32", "FP32", 1, 1, "float", "f32", "f", 4, "f"),
    DataType("FP64", "FP64", 2, 11, "double", "f64", "d", 8, "f"),
)

DATATYPES = {row.name: row for row in _ROWS}
BY_ONNX = {row.onnx: row for row in _ROWS}
BY_NN = {row.nn: row for row in _ROWS if row.nn >= 0}
