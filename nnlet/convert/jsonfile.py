"""JSON files: of which library a model in JSON is, told by a key that no other has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from nnlet.convert.converters import JSON_LOADERS
from nnlet.errors import ConvertError


def read(path: Path) -> Any:
    """The model in a JSON file, which its own library reads. Raises ConvertError or ToolMissing.

    Such a file may have hundreds of megabytes: it is searched, and parsed by the library alone.
    """
    try:
        text = path.read_text(encoding="utf-8")
        loader = next((row for key, row in JSON_LOADERS.items() if _has(key, text)), None)
        if loader is None:
            json.loads(text)
    except ValueError as exc:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise ConvertError(f"{path} is not JSON: {exc}") from exc
    if loader is None:
        raise ConvertError(
            f"{path} is no model in JSON that nnlet knows: expected one that XGBoost (save_model), "
            'CatBoost (save_model with format="json") or stochtree (BARTModel.to_json) wrote'
        )
    return loader.load(path)


def _has(key: str, text: str) -> bool:
    return re.search(rf'"{key}"\s*:', text) is not None
