"""The ends of a stream of bytes. Each is dropped by hand; handing one over drops it, too."""

from __future__ import annotations

import componentize_py_runtime as runtime

from componentize_py_async_support import await_result

# How much is handed over at once. What is not taken is copied for the next try.
_PIECE = 1024 * 1024


class Kept:
    """What the runtime calls when it takes an end over: here is nothing to detach."""

    @staticmethod
    def detach() -> tuple[()]:
        """weakref.finalize.detach"""
        return ()


class End:
    """One end of a stream or future. The runtime reads `handle` and deletes it."""

    finalizer = Kept

    def __init__(self, kind: int, handle: int) -> None:
        self.kind = kind
        self.handle = handle


class ByteStreamReader(End):
    """Where bytes come out; `ended` when there are no more."""

    ended = False

    async def read(self, count: int) -> bytes:
        """Between 1 and `count` bytes; none at the end."""
        data: bytes
        code, data = await await_result(runtime.stream_read(self.kind, self.handle, count))
        self.ended = code != 0
        return data

    def drop(self) -> None:
        """Read no more."""
        runtime.stream_drop_readable(self.kind, self.handle)


class ByteStreamWriter(End):
    """Where bytes go in."""

    async def write_all(self, data: bytes) -> None:
        """Write until all is taken or nobody reads any more, and drop this end."""
        position, code = 0, 0
        while code == 0 and position < len(data):
            piece = data[position : position + _PIECE]
            code, count = await await_result(runtime.stream_write(self.kind, self.handle, piece))
            position += count
        runtime.stream_drop_writable(self.kind, self.handle)


class StreamReader(End):
    """A stream of anything else: bindings name it, the function has none."""


class StreamWriter(End):
    """A stream of anything else: bindings name it, the function has none."""
