"""What the documents say is so: commands run as written, links lead somewhere."""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest
from e2e.servers import INSTALLS, ROOT, serving

from nnlet.cli import DEFAULT_PROVIDER, app
from nnlet.host import Server

README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

SHELLS = ("console", "sh", "bash", "shell")
THE_URL = "http://127.0.0.1:3000"


@dataclass
class Command:
    """A command of a document, and what it is said to print: the lines below `$ command`."""

    line: str
    output: list[str] = field(default_factory=list)


def blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each fenced block: its language, and its lines."""
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield language, body.splitlines()


def commands(text: str) -> Iterator[Command]:
    """The commands of all shell blocks. Only in `console` blocks is there output."""
    for language, lines in blocks(text):
        if language in SHELLS:
            yield from _in_console(lines) if language == "console" else _in_script(lines)


def _in_console(lines: list[str]) -> Iterator[Command]:
    found: Command | None = None
    for line in lines:
        if line.startswith("$ "):
            if found:
                yield found
            found = Command(line[2:])
        elif found and found.line.endswith("\\"):
            found.line = found.line[:-1] + line
        elif found:
            found.output.append(line)
    if found:
        yield found


def _in_script(lines: list[str]) -> Iterator[Command]:
    for line in "\n".join(lines).replace("\\\n", "").splitlines():
        if line.strip() and not line.startswith("#"):
            yield Command(line)


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8") if page.exists() else ""


def test_commands_are_found() -> None:
    console = "```console\n$ a \\\n  b\nc\n$ d\n```\n"
    script = "```sh\n# e\nf \\\n  g\n\nh\n```\n```python\ni\n```\n"
    found = [(command.line, command.output) for command in commands(console + script)]
    assert found == [("a   b", ["c"]), ("d", []), ("f   g", []), ("h", [])]


# The commands of the README and of docs/predict.md, as they are written


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(DEFAULT_PROVIDER) as server:
        yield server


ENVIRONMENT = {**os.environ, "COLUMNS": "120"}


def words(line: str) -> list[str]:
    """A command as written; ./build.sh where it would not make another .venv first."""
    first, *rest = shlex.split(line, comments=True)
    if first == "./build.sh" and not INSTALLS:
        return [sys.executable, "-m", "nnlet", *(rest or ["build"])]
    return [first, *rest]


def run(line: str) -> str:
    """What a command prints."""
    command = words(line)
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not on this machine")
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def prints(command: Command, server: Server) -> None:
    """It prints what is shown, or anything where nothing is."""
    found = run(command.line)
    if command.output:
        assert_shown(found, command.output)


def asks(command: Command, server: Server) -> None:
    """It is answered as shown by a server that listens elsewhere than the README's."""
    line = command.line.replace(THE_URL, server.url)
    if server.url not in line:
        line += f" --url {server.url}"
    assert_shown(run(line), command.output)


def asks_by_a_pipe(command: Command, server: Server) -> None:
    """The same, of a line with several commands."""
    line = command.line.replace(THE_URL, server.url)
    assert server.url in line
    assert_shown(run(shlex.join(["bash", "-c", line])), command.output)


def serves(command: Command, server: Server) -> None:
    """It prints what is shown, and ends when it is told to."""
    start = [*words(command.line), "--port", "0"]  # another may listen where the README's does
    with subprocess.Popen(
        start, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        found = ""
        while "Ctrl-C" not in found:
            line = process.stdout.readline()
            assert line, f"it ended after {found!r}"
            found += line
        process.terminate()
        assert process.wait(60) == 0
    assert_shown(re.sub(r"(http://127\.0\.0\.1):\d+", r"\1:3000", found), command.output)


def is_running_now(command: Command, server: Server) -> None:
    """It is the test command: the one that CI runs, too, and nothing else."""
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    told = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    assert told == [f"exec {command.line}"]


def exists(command: Command, server: Server) -> None:
    """It takes minutes, so that it is only looked up."""
    first, *rest = shlex.split(command.line, comments=True)
    if first == "./build.sh":
        parse(rest)
    else:
        assert rest[0] == "-m"
        module = ROOT / rest[1].replace(".", "/")
        assert module.with_suffix(".py").exists() or (module / "__main__.py").exists()


def is_elsewhere(command: Command, server: Server) -> None:
    """It needs a network, or another program."""
    pytest.skip(f"{command.line.split()[0]} is not tried here")


# How each command of the README is checked, by how it begins; the longest one counts.
CHECKS: dict[str, Callable[[Command, Server], None]] = {
    "git clone": is_elsewhere,
    "cd": is_elsewhere,
    "spin": is_elsewhere,
    "./build.sh": prints,
    "./build.sh test": is_running_now,
    "./build.sh up": serves,
    "./build.sh dev": serves,
    "./build.sh infer": asks,
    "./build.sh bench": exists,
    "python -m": exists,
    "curl": asks,
    "printf": asks_by_a_pipe,
}

# The pages whose commands are run, too.
RUN = [*commands(read(README)), *commands(read(ROOT / "docs" / "predict.md"))]


@pytest.mark.parametrize("command", RUN, ids=lambda c: c.line[:60])
def test_a_command_of_these_pages_does_what_is_shown(command: Command, server: Server) -> None:
    known = [start for start in CHECKS if f"{command.line} ".startswith(f"{start} ")]
    assert known, "say in CHECKS how this one is checked"
    CHECKS[max(known, key=len)](command, server)


def assert_shown(found: str, shown: list[str]) -> None:
    """Every line that is shown was printed, in that order: some may have been left out."""
    printed = iter(found.splitlines())
    for line in filter(str.strip, shown):
        assert any(is_same(line, other) for other in printed), f"not printed: {line!r}\n{found}"


def is_same(line: str, other: str) -> bool:
    """The same words, and numbers that are equal but for rounding, whatever the spaces."""
    one, two = tokens(line), tokens(other)
    return len(one) == len(two) and all(map(is_same_token, one, two))


def is_same_token(one: str | float, two: str | float) -> bool:
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=1e-4, abs_tol=1e-6)
    return one == two


def tokens(text: str) -> list[str | float]:
    """Words, marks, and numbers as numbers."""
    pattern = r"[^\W\d]\w*|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[^\w\s]"
    found = re.findall(pattern, text)
    return [float(item) if item.lstrip("-")[:1].isdigit() else item for item in found]


def test_the_readme_begins_with_its_two_commands() -> None:
    lines = [command.line for command in commands(read(README))]
    assert lines[0] == "./build.sh up"
    assert "./build.sh test" in lines


# The command line's own help


def parse(line: list[str]) -> None:
    """Raise UsageError if `nnlet ...` would be misuse."""
    name, *rest = line
    app.commands[name].make_context(name, rest)


@pytest.mark.parametrize("name", app.commands)
def test_the_example_in_a_commands_help_is_good(name: str) -> None:
    command = app.commands[name]
    shown = command.get_help(click.Context(command, info_name=name))
    (example,) = re.findall(r"Example: nnlet (.+)", shown)
    assert example.split()[0] == name
    parse(shlex.split(example))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_only_commands_that_exist_are_written_about(page: Path) -> None:
    text = read(page) + "".join(f"`{command.line}`" for command in commands(read(page)))
    named = set(re.findall(r"`(?:nnlet|\./build\.sh) ([a-z]+)\b", text))
    assert named - set(app.commands) <= {"test"}


# Links


def targets(page: Path) -> list[str]:
    """Where the links and images of a page lead, but for other sites."""
    text = re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)|^\[[^]]+\]: (\S+)", text, re.MULTILINE)
    return [a or b for a, b in found if "://" not in (a or b)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", read(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in targets(page):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert file.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    folders = "nnlet|tests|docs|benchmarks|training|requirements|wit|dev"
    named = re.findall(rf"`((?:{folders})/[\w./-]+\.\w+)`", read(page))
    assert [name for name in named if not (ROOT / name).exists()] == []
