"""Standard JSON text."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["plain_json"]


def plain_json(value: Any) -> str:
    """Return standard JSON: numbers that are not finite become null."""

    def plain(item: Any) -> Any:
        if isinstance(item, dict):
            return {str(key): plain(entry) for key, entry in item.items()}
        if isinstance(item, list | tuple):
            return [plain(entry) for entry in item]
        if isinstance(item, float) and not math.isfinite(item):
            return None
        return item

    return json.dumps(plain(value), indent=1, allow_nan=False, ensure_ascii=False)
