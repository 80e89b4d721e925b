"""Finished results of a folder as a record of its run: rows, points and digests of files."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from featx.benchmarking.result_cache import result_key
from featx.metrics.scores import Subgroup
from featx.runtime.files import file_digest


@dataclass(frozen=True)
class FinishedResults:
    """Content of ``rows/`` by key, and the digests of files that it records."""

    entries: Mapping[str, Mapping[str, Any]]
    digests: Mapping[str, list[str]]

    @classmethod
    def read(cls, folder: Path) -> FinishedResults:
        """Read what `ResultCache` wrote; early versions recorded no files."""
        entries, digests = {}, dict[str, list[str]]()
        for path in sorted(folder.glob("rows/*.json")):
            entry = json.loads(path.read_text(encoding="utf-8"))
            entries[str(entry["key"])] = entry
            for name, digest in entry.get("files", {}).items():
                place = PurePosixPath(name.replace("\\", "/"))
                # Nothing outside this folder is read.
                if not place.is_absolute() and ".." not in place.parts:
                    digests.setdefault(str(place), []).append(digest)
        return cls(entries, digests)

    def files(self, folder: Path) -> Iterator[tuple[str, str | None, str]]:
        """Yield name, digest and recorded digest of each file; None where it is missing."""
        for name, recorded in self.digests.items():
            path = folder / name
            found = file_digest(path) if path.is_file() else None
            # Rows of other versions of libraries recorded the files that were there before.
            yield name, found, found if found in recorded else recorded[-1]

    @property
    def evaluations(self) -> int:
        """Number of models that were evaluated on the test set."""
        # Adapted to an external set, a model is evaluated on that alone.
        rows = self._rows().values()
        return sum(row["kind"] != "adapted" or row["name"].endswith("-adapted") for row in rows)

    def _rows(self) -> dict[str, Mapping[str, Any]]:
        """Return the finished rows by key, without points, cards and figures of subgroups."""
        rows = {key: entry["row"] for key, entry in self.entries.items()}
        return {key: row for key, row in rows.items() if "n_test" in row and "name" in row}

    def find(self, name: str, stored: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Return key and values of a finished row; of several, those that agree best."""
        found = [(key, row) for key, row in self._rows().items() if row["name"] == name]
        none: tuple[str, Mapping[str, Any]] = ("", {})
        return max(found, key=lambda each: _agreement(each[1], stored), default=none)

    def values(self, key: str, name: str, inputs: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return finished results on a row; none where one is missing."""
        keys = [result_key(row=key, **each) for each in inputs]
        known = all(each in self.entries for each in keys)
        return [self.entries[each]["row"][name] for each in keys] if known else []

    def places(self, key: str, external: str, groups: Sequence[Subgroup]) -> list[Any] | None:
        """Return column, name and places of the images of each subgroup; None if not recorded."""
        found = []
        for own, entry in self.entries.items():
            of = entry["row"].get("of")
            if of is not None and of[1] == external and own == result_key(row=key, subgroups=of):
                found.append(of[2])
        names = {(each.column, each.group) for each in groups}
        return max(found, key=lambda each: len(names & {(c, g) for c, g, _ in each}), default=None)

    def missing(self, names: Collection[str]) -> list[str]:
        """Return the finished models that a table does not show."""
        found = {row["name"] for row in self._rows().values() if row["kind"] != "adapted"}
        return sorted(found.difference(names))


def _agreement(values: Mapping[str, Any], stored: Mapping[str, Any]) -> int:
    return sum(name in stored and stored[name] == value for name, value in values.items())
