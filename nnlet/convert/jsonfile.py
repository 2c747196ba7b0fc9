"""JSON files: of which library a model in JSON is, told by its top."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nnlet.convert.converters import JSON_LOADERS
from nnlet.errors import ConvertError


def read(path: Path) -> Any:
    """The model in a JSON file. Raises ConvertError or ToolMissing."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as exc:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise ConvertError(f"{path} is not JSON: {exc}") from exc
    for key, loader in JSON_LOADERS.items():
        if isinstance(content, dict) and key in content:
            return loader.load(path)
    raise ConvertError(
        f"{path} is no model in JSON that nnlet knows: expected one that XGBoost (save_model) or "
        'CatBoost (save_model with format="json") wrote'
    )
