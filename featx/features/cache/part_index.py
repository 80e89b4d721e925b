"""What each part of a cache holds, remembered, so that a part is read only for its rows."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featx.errors import FeatxError
from featx.features.wanted import Digests
from featx.runtime.files import put_bytes

__all__ = ["INDEX_NAME", "PartIndex", "PartKeys", "read_checked", "write_checked"]

FORMAT = 1

INDEX_NAME = "keys.index"

PartKeys = tuple[Digests, npt.NDArray[np.int32]]
"""Digest and view of each row of a part."""

_CHECKSUM_BYTES = 32


class PartIndex:
    """Digests and views of each part of one recipe's folder."""

    def __init__(self, folder: Path, recipe: str) -> None:
        self.path = folder / INDEX_NAME
        self.recipe = recipe
        self._changed = False
        self._parts: dict[str, PartKeys] = {}
        content = read_checked(self.path)
        if content is not None:
            self._parse(content)

    def get(self, part: str) -> PartKeys | None:
        """Return what a part holds, or None if that is not known."""
        return self._parts.get(part)

    def put(self, part: str, keys: PartKeys) -> None:
        """Remember what a part holds."""
        if part not in self._parts:
            self._parts[part] = keys
            self._changed = True

    def save(self, present: set[str]) -> None:
        """Write down what was learned, if anything was.

        Of several processes that write, the last one wins; what it did not know is learned again.
        """
        if not self._changed or not self.path.parent.is_dir():
            return
        parts = {name: keys for name, keys in self._parts.items() if name in present}
        head = {
            "featx_format": FORMAT,
            "recipe": self.recipe,
            "parts": [[name, len(views)] for name, (_, views) in parts.items()],
        }
        chunks = [json.dumps(head).encode(), b"\n"]
        chunks += [digests.tobytes() for digests, _ in parts.values()]
        chunks += [views.astype("<i4").tobytes() for _, views in parts.values()]
        # A cache that can only be read works as well, only a little slower.
        with contextlib.suppress(FeatxError):
            write_checked(self.path, b"".join(chunks))
            self._changed = False

    def _parse(self, content: bytes) -> None:
        line, _, _ = content.partition(b"\n")
        head = json.loads(line)
        if head["featx_format"] != FORMAT or head["recipe"] != self.recipe:
            return
        total = sum(rows for _, rows in head["parts"])
        digests = np.frombuffer(content, "S32", count=total, offset=len(line) + 1)
        views = np.frombuffer(content, "<i4", offset=len(line) + 1 + digests.nbytes)
        start = 0
        for name, rows in head["parts"]:
            self._parts[name] = digests[start : start + rows], views[start : start + rows]
            start += rows


def write_checked(path: Path, content: bytes) -> None:
    """Write bytes after their checksum, whole or not at all."""
    put_bytes(path, hashlib.sha256(content).digest() + content)


def read_checked(path: Path) -> bytes | None:
    """Read what `write_checked` wrote, or None if it is missing or damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    checksum, content = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
    return content if hashlib.sha256(content).digest() == checksum else None
