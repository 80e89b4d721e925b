"""Standard JSON text, and digests of plain values."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any


def plain_json(value: Any) -> str:
    r"""Return standard JSON in valid Unicode: numbers that are not finite become null.

    Examples
    --------
    >>> print(plain_json(["r\udcf6", math.inf]))
    [
     "r\udcf6",
     null
    ]
    """

    def plain(item: Any) -> Any:
        if isinstance(item, dict):
            return {str(key): plain(entry) for key, entry in item.items()}
        if isinstance(item, list | tuple):
            return [plain(entry) for entry in item]
        if isinstance(item, float) and not math.isfinite(item):
            return None
        return item

    text = json.dumps(plain(value), indent=1, allow_nan=False, ensure_ascii=False)
    # Undecodable bytes of file names, which Python keeps as surrogates, become JSON's own escapes.
    return text.encode("utf-8", "backslashreplace").decode()


def digest_of_values(values: Any) -> str:
    """Return the SHA-256 of plain values, in hexadecimal, whatever the order of their names.

    Examples
    --------
    >>> digest_of_values({"a": 0, "b": 1}) == digest_of_values({"b": 1, "a": 0})
    True
    """
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
