"""The ends of a future: one value, once. A writable end must be written before it goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import componentize_py_runtime as runtime

from componentize_py_async_support import await_result
from componentize_py_async_support.streams import End


class FutureReader(End):
    """Where the value comes out."""

    async def read(self) -> Any:
        """The value; this end is dropped."""
        value = await await_result(runtime.future_read(self.kind, self.handle))
        self.drop()
        return value

    def drop(self) -> None:
        """Do without the value."""
        runtime.future_drop_readable(self.kind, self.handle)


class FutureWriter(End):
    """Where the value goes in."""

    def __init__(self, kind: int, handle: int, default: Callable[[], Any]) -> None:
        super().__init__(kind, handle)
        self.default = default

    async def finish(self) -> None:
        """Write the default, whether or not anybody reads it, and drop this end."""
        await await_result(runtime.future_write(self.kind, self.handle, self.default()))
        runtime.future_drop_writable(self.kind, self.handle)
