"""Finished results in a folder, found again by everything that they depend on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from featx.runtime.files import file_digest, put_bytes
from featx.runtime.serialization import digest_of_values, plain_json

Values = dict[str, Any]

# Keys are made of the names of the first version, so that its finished rows are found.
_STORED_NAMES = {"random_state": "seed", "cv": "folds"}


def result_key(**inputs: Any) -> str:
    """Return a digest of everything that a result depends on.

    Examples
    --------
    >>> result_key(classifier="svm", fitting={"random_state": 0})[:8]
    '6d6cac9b'
    >>> result_key(fitting={"seed": 0}, classifier="svm")[:8]
    '6d6cac9b'
    """
    for group in ("fitting", "training"):
        settings = inputs.get(group, {})
        if settings:
            inputs[group] = {_STORED_NAMES.get(name, name): settings[name] for name in settings}
    return digest_of_values(inputs)


class ResultCache:
    """Finished results of a folder in ``rows/``, one JSON file each."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.folder = folder / "rows"

    def get(self, key: str) -> Values | None:
        """Return a finished result whose files are intact, or None."""
        path = self.folder / f"{key[:24]}.json"
        if not path.exists():
            return None
        entry = json.loads(path.read_text(encoding="utf-8"))
        if entry["key"] != key or "files" not in entry:
            return None
        paths = {self.root / name: digest for name, digest in entry["files"].items()}
        intact = all(path.exists() and file_digest(path) == paths[path] for path in paths)
        return entry["row"] if intact else None

    def put(self, key: str, values: Values, files: Sequence[Path] = ()) -> None:
        """Store a result with the digests of the files that belong to it."""
        digests = {str(path.relative_to(self.root)): file_digest(path) for path in files}
        content = plain_json({"key": key, "row": values, "files": digests}).encode()
        put_bytes(self.folder / f"{key[:24]}.json", content)

    def get_or_compute(
        self, key: str, compute: Callable[[], Values], files: Sequence[Path] = ()
    ) -> Values:
        """Return a finished result, or compute and store it; `compute` writes its files."""
        found = self.get(key)
        if found is None:
            found = compute()
            self.put(key, found, files)
        return found
