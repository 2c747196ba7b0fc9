"""Framework: a server that others make, in an environment of its own, and our few lines in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers import oip_json
from benchmarks.peers.environment import Environment
from benchmarks.served import Served
from nnlet.host import free_port
from nnlet.load import Request
from nnlet.process import Child

FOLDER = Path(__file__).parent


@dataclass
class Framework:
    """`command` is what its Python runs; {app}, {folder}, {port} and {other} are filled in.

    `lock` names the file in requirements/peers/, `app` the one beside this that it serves, and
    `told` the packages whose versions are told.
    """

    lock: str
    app: str
    command: Sequence[str]
    json_route: str
    told: Sequence[str]
    asks_raw: Callable[[Served], Request] | None = None
    models: Path = field(init=False, default=Path())
    work: Path = field(init=False, default=Path())
    environment: Environment = field(init=False)

    @property
    def offers_raw(self) -> bool:
        return self.asks_raw is not None

    def prepare(self, models: Path, work: Path) -> None:
        self.models, self.work = models.resolve(), (work / "homes" / self.lock).resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.environment = Environment(self.lock, work / "venvs" / self.lock)
        self.environment.make()

    def start(self, port: int, log: Path) -> Child:
        app, other = FOLDER / self.app, free_port()
        words = [w.format(app=app, folder=FOLDER, port=port, other=other) for w in self.command]
        return Child([str(self.environment.python), *words], log, self._variables())

    def _variables(self) -> dict[str, str]:
        """Nothing of ours, and nothing that it would send or keep elsewhere."""
        path = f"{self.environment.python.parent}:{os.environ['PATH']}"
        home = str(self.work)
        quiet = {"BENTOML_DO_NOT_TRACK": "true", "BENTOML_HOME": home}
        return {"MODELS": str(self.models), "PATH": path, "HOME": home, **quiet}

    def raw(self, model: Served) -> Request | None:
        return self.asks_raw(model) if self.asks_raw else None

    def json(self, model: Served) -> Request:
        return oip_json(model)

    def component(self) -> Path | None:
        return None  # an image of thousands of files

    def versions(self) -> dict[str, str]:
        return self.environment.versions(*self.told)
