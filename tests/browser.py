"""A headless Chromium for tests of pages, driven over the DevTools protocol.

    with chromium() as browser:
        page = browser.open(url)
        page.wait("document.title")

The protocol runs through two pipes (--remote-debugging-pipe), so this needs Chromium and
nothing else. https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OLDEST = 114  # the first with relaxed SIMD
PATIENCE = 30  # seconds for anything to happen

# No sandbox, since tests may run as root; nothing that asks the network for anything.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-quic", "--disable-extensions", "--hide-scrollbars"),
)


class PageError(AssertionError):
    """JavaScript in the page threw, or the browser refused a command."""


def find_chromium() -> str:
    """Chromium's path. The test is skipped where there is none, or an old one."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    wanted = f"Chromium {OLDEST} or newer, on Debian: apt-get install chromium"
    if path is None:
        pytest.skip(f"needs {wanted}")
    said = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
    major = re.search(r"(\d+)\.\d+", said)
    if major is None or int(major[1]) < OLDEST:
        pytest.skip(f"{path} is {said.strip()!r}: needs {wanted}")
    return path


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a profile of its own, which ends with the block."""
    path = find_chromium()
    with ExitStack() as stack:
        profile = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="nnlet-chromium-", ignore_cleanup_errors=True)
        )
        commands_in, commands_out = os.pipe()
        events_in, events_out = os.pipe()
        # Chromium reads file 3 and writes file 4. Both ends are moved out of their way first.
        script = f'exec "$0" "$@" 3<&{commands_in} 4>&{events_out}'
        words = [path, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
        process = subprocess.Popen(
            ["bash", "-c", script, *words, "about:blank"],
            pass_fds=(commands_in, events_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(_end, process)
        os.close(commands_in)
        os.close(events_out)
        commands = stack.enter_context(open(commands_out, "wb", buffering=0))
        events = stack.enter_context(open(events_in, "rb", buffering=0))
        yield Browser(_Pipe(commands.fileno(), events.fileno()))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Pipe:
    """Messages of the protocol: JSON, each with a zero byte after it."""

    def __init__(self, commands: int, events: int) -> None:
        self._commands = commands
        self._events = events
        self._buffer = b""
        self._number = 0
        self.seen: list[dict[str, Any]] = []  # events, oldest first

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """What a command answers; events that come before it are kept in `seen`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self.seen.append(answer)
        if "error" in answer:
            raise PageError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = os.read(self._events, 1 << 16)
            if not chunk:
                raise PageError("Chromium ended by itself")
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


class Browser:
    """A running Chromium."""

    def __init__(self, pipe: _Pipe) -> None:
        self._pipe = pipe

    def open(
        self,
        url: str,
        *,
        width: int = 1000,
        height: int = 800,
        dark: bool = False,
        touch: bool = False,
    ) -> Page:
        """A page in a tab of its own, when it has loaded."""
        target = self._pipe.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._pipe.call("Target.attachToTarget", targetId=target, flatten=True)
        page = Page(self._pipe, attached["sessionId"])
        for domain in ("Page", "Runtime", "Network"):
            page.call(f"{domain}.enable")
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=touch,
        )
        page.call("Emulation.setTouchEmulationEnabled", enabled=touch)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.go(url)
        return page


class Page:
    """One tab."""

    def __init__(self, pipe: _Pipe, session: str) -> None:
        self._pipe = pipe
        self._session = session

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the protocol."""
        return self._pipe.call(method, self._session, **params)

    def go(self, url: str) -> None:
        """Load another page."""
        failed = self.call("Page.navigate", url=url).get("errorText")
        if failed:
            raise PageError(f"{url}: {failed}")
        self.wait("location.href !== 'about:blank' && document.readyState === 'complete'")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited, as JSON has it. Raises PageError."""
        answer = self.call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise PageError(details.get("exception", details).get("description", details["text"]))
        return answer["result"].get("value")

    def wait(self, condition: str) -> Any:
        """The value of an expression, as soon as it is true."""
        end = time.monotonic() + PATIENCE
        while not (value := self.run(condition)):
            if time.monotonic() > end:
                raise PageError(f"not so after {PATIENCE} s: {condition}\n{self.text()}")
            time.sleep(0.02)
        return value

    def text(self, selector: str = "body") -> str:
        """What a reader sees of an element; "" where it is not there."""
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def click(self, selector: str) -> None:
        """Press and release in the middle of an element."""
        x, y, width, height = self.box(selector)
        self.drag([(x + width / 2, y + height / 2)])

    def drag(self, points: Sequence[tuple[float, float]]) -> None:
        """Move the mouse through points of the window, its button held."""
        for index, (x, y) in enumerate(points):
            self._mouse("mouseMoved" if index else "mousePressed", x, y)
        self._mouse("mouseReleased", *points[-1])

    def swipe(self, points: Sequence[tuple[float, float]]) -> None:
        """The same with a finger."""
        for index, (x, y) in enumerate(points):
            self._touch("touchMove" if index else "touchStart", [{"x": x, "y": y}])
        self._touch("touchEnd", [])

    def press(self, key: str) -> None:
        """A key on the keyboard, by its DOM name."""
        text = {"Enter": "\r", "Space": " "}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, text=text)

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """x, y, width and height of an element in the window, into which it is scrolled."""
        found = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'nearest'}); const r = e.getBoundingClientRect();"
            " return [r.x, r.y, r.width, r.height]; })()"
        )
        x, y, width, height = found
        return x, y, width, height

    def screenshot(self, path: Path) -> None:
        """The window as a PNG file."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(data))

    def problems(self) -> list[str]:
        """What went wrong without anybody asking: exceptions, and errors on the console."""
        self.run("0")  # what is under way has come when this is answered
        found = []
        for event in self._events("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            if "exceptionDetails" in event:
                details = event["exceptionDetails"]
                found.append(details.get("exception", details).get("description", details["text"]))
            elif event["type"] == "error":
                found.append(" ".join(str(arg.get("value")) for arg in event["args"]))
        return found

    def downloads(self) -> list[str]:
        """The URLs that the page has asked for, in order."""
        self.run("0")
        return [event["request"]["url"] for event in self._events("Network.requestWillBeSent")]

    def _events(self, *methods: str) -> list[dict[str, Any]]:
        return [
            event["params"]
            for event in self._pipe.seen
            if event.get("method") in methods and event.get("sessionId") == self._session
        ]

    def _mouse(self, kind: str, x: float, y: float) -> None:
        self.call(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1
        )

    def _touch(self, kind: str, points: Sequence[dict[str, float]]) -> None:
        self.call("Input.dispatchTouchEvent", type=kind, touchPoints=list(points))
