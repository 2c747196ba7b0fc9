"""OpenVINO alone: one bare Python process that loads a repository and answers once.

What a server on OpenVINO cannot be smaller than. Run by itself it prints its memory as
JSON, before OpenVINO is imported and after each model has answered:

    python -m benchmarks.openvino_alone models
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from nnlet.memory import Memory, memory


def openvino_alone(models: Path) -> tuple[Memory, Memory]:
    """The memory of a bare Python process, and with OpenVINO and all of `models` in it."""
    shown = subprocess.run(
        [sys.executable, "-m", __name__, str(models)], capture_output=True, text=True, check=True
    ).stdout
    before, after = json.loads(shown)
    return Memory(**before), Memory(**after)


def main() -> None:
    before = memory(os.getpid())
    import openvino  # not at the top: what it adds is what is measured

    core = openvino.Core()
    kept = []
    for path in sorted(Path(sys.argv[1]).glob("*/1/model.onnx")):
        model = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        request = model.create_infer_request()
        shape = [
            1 if size.is_dynamic else size.get_length() for size in model.input().partial_shape
        ]
        request.set_input_tensor(openvino.Tensor(model.input().element_type, shape))
        request.infer()
        kept.append(request)
    print(json.dumps([vars(before), vars(memory(os.getpid()))]))


if __name__ == "__main__":
    main()
