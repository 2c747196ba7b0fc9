"""Schemathesis asks for what /openapi.json allows, and for what it does not.

By hand, against a server on port 3000:

    SCHEMATHESIS_HOOKS=tests/e2e/schemathesis_hooks.py schemathesis run \\
        --exclude-checks positive_data_acceptance http://127.0.0.1:3000/openapi.json
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_every_answer_is_as_described(url: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(Path(sys.executable).parent / "schemathesis", "--no-color", "run"),
            *("--phases", "examples,coverage,fuzzing"),  # what is stateless needs no stateful one
            *("--exclude-checks", "positive_data_acceptance"),  # the hooks have a better one
            *("--seed", "1", "--max-examples", "10", "--generation-database", "none"),
            f"{url}/openapi.json",
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("schemathesis_hooks.py")),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    print(done.stdout)
