"""Stands in for the module of componentize-py 0.25.1 that has this name, without asyncio.

componentize-py searches our folders before its own /bundled, where the other one lies. That
one brings asyncio with sockets, subprocesses and threads into every function, and an event
loop into every request. A function waits for streams and futures of the host and for nothing
else, so a coroutine that blocks is all that has to be remembered.

Called by the generated bindings and by the runtime: `first_poll`, `callback`, `await_result`.
For the adapter: `spawn`. Specification: component-model/design/mvp/CanonicalABI.md, "callback".
"""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from typing import Any

import componentize_py_runtime as runtime
from componentize_py_types import Err, Ok

EXIT, WAIT = 0, 2  # what a callback answers; WAIT with the set of waitables above its 4 bits


class Task:
    """One call of an exported function: its coroutines by what each of them waits for."""

    __slots__ = ("blocked", "later", "waitables")

    def __init__(self) -> None:
        self.blocked: dict[int, Coroutine[Any, Any, None]] = {}
        self.later: list[Coroutine[Any, Any, None]] = []
        self.waitables = 0

    def run(self, coroutine: Coroutine[Any, Any, None], event: int | None = None) -> int:
        """Run `coroutine` until it blocks or ends, then what it has spawned: the next state."""
        global _current
        _current = self
        self._step(coroutine, event)
        while self.later:
            self._step(self.later.pop(0), None)
        if self.blocked:
            runtime.context_set(self)
            return WAIT | self.waitables << 4
        if self.waitables:
            runtime.waitable_set_drop(self.waitables)
        return EXIT

    def _step(self, coroutine: Coroutine[Any, Any, None], event: int | None) -> None:
        try:
            waitable = coroutine.send(event)
        except StopIteration:
            return
        if not self.waitables:
            self.waitables = runtime.waitable_set_new()
        runtime.waitable_join(waitable, self.waitables)
        self.blocked[waitable] = coroutine


# The task that runs: there is one at a time, since they only change where they block.
_current = Task()


def first_poll(export: int, borrows: int, coroutine: Coroutine[Any, Any, Any]) -> int:
    """Begin a call of an exported function."""
    return Task().run(_call(export, borrows, coroutine))


async def _call(export: int, borrows: int, coroutine: Coroutine[Any, Any, Any]) -> None:
    try:
        result: Any = Ok(await coroutine)
    except Err as failure:
        result = failure
    runtime.call_task_return(export, borrows, result)


def callback(kind: int, waitable: int, event: int) -> int:
    """What a coroutine waits for has happened.

    A call that the host cancels (waitable 0) ends with a KeyError, and so with its instance:
    the runtime has nothing with which to answer a cancellation.
    """
    task: Task = runtime.context_get()
    runtime.context_set(None)
    runtime.waitable_join(waitable, 0)
    return task.run(task.blocked.pop(waitable), event)


@types.coroutine
def await_result(result: Any) -> Generator[int, int, Any]:
    """The value of an operation that is done (Ok), or blocks (Err: waitable and promise)."""
    if type(result) is Ok:
        return result.value
    waitable, promise = result.value
    event = yield waitable
    return runtime.promise_get_result(event, promise)


def spawn(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run `coroutine` in the current call, as soon as what runs now blocks or ends."""
    _current.later.append(coroutine)
