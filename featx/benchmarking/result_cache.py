"""What a benchmark has finished, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featx.runtime.files import put_bytes
from featx.runtime.serialization import plain_json

__all__ = ["Ledger", "key_of"]

Row = dict[str, Any]


def key_of(**inputs: Any) -> str:
    """Return a digest of everything that a row depends on.

    Examples
    --------
    >>> key_of(random_state=0, classifier="svm") == key_of(classifier="svm", random_state=0)
    True
    """
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


class Ledger:
    """Finished rows in a folder, one file each, found again by what they depend on."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.folder = folder / "rows"

    def find(self, key: str) -> Row | None:
        """Return the row that was finished from the same inputs, if there is one."""
        path = self.folder / f"{key[:24]}.json"
        if not path.exists():
            return None
        entry = json.loads(path.read_text(encoding="utf-8"))
        if entry["key"] != key or "files" not in entry:
            return None
        intact = all(_digest(self.root / name) == sha for name, sha in entry["files"].items())
        return entry["row"] if intact else None

    def keep(self, key: str, row: Row, files: Sequence[Path] = ()) -> None:
        """Write a finished row down."""
        digests = {str(path.relative_to(self.root)): _digest(path) for path in files}
        content = plain_json({"key": key, "row": row, "files": digests}).encode()
        put_bytes(self.folder / f"{key[:24]}.json", content)


def _digest(path: Path) -> str | None:
    if not path.exists():
        return None
    with path.open("rb") as file:
        digest = hashlib.sha256()
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
