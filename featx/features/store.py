"""The cache: immutable parts, each named by the checksum of its own bytes."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
import numpy.typing as npt

from featx.errors import FeatxError
from featx.features.files import library_versions, put_bytes
from featx.features.recipe import Recipe
from featx.progress import say

__all__ = ["FeatureStore", "Part", "RowKey", "RowTarget"]

FORMAT = 1

RowKey = tuple[str, int]
"""SHA-256 of an image in hexadecimal, and the number of a view of it."""

Features = npt.NDArray[np.float32]


class RowTarget(Protocol):
    """Where rows can be copied to: an array or an HDF5 data set."""

    def __setitem__(self, place: tuple[slice, slice], rows: Features) -> None: ...


@dataclass(frozen=True)
class Part:
    """Rows of one recipe, as one file holds them.

    Parameters
    ----------
    keys : list of (str, int)
        Image digest and view of each row.
    features : ndarray of float32, shape (n_rows, n_features)
        The rows.
    seconds : float
        What they cost to compute.
    versions : str
        JSON of the library versions that computed them.
    """

    keys: list[RowKey]
    features: Features
    seconds: float
    versions: str


class FeatureStore:
    """Rows of one recipe on disk, written by any number of processes at once.

    A part is written whole under another name, fsynced and renamed; its final name is the SHA-256
    of its bytes, so that any damage shows and two processes that wrote the same rows agree. No
    part is ever written again, which is why no lock is needed.

    Parameters
    ----------
    cache : Path
        Folder of all recipes.
    recipe : Recipe
        Whose rows these are.
    """

    def __init__(self, cache: Path, recipe: Recipe) -> None:
        self.recipe = recipe
        self.folder = Path(cache) / f"{recipe.backbone}-{recipe.digest[:16]}"

    def keys(self) -> set[RowKey]:
        """Tell which rows there are.

        Returns
        -------
        set of (digest, view)
        """
        return {key for part in self.parts() for key in part.keys}

    def collect(
        self, wanted: Mapping[RowKey, Sequence[int]], into: RowTarget, first_column: int = 0
    ) -> tuple[int, float]:
        """Copy those rows that are there.

        Parameters
        ----------
        wanted : mapping of (digest, view) to sequence of int
            Which rows, and to which rows of `into` each belongs.
        into : ndarray or h5py.Dataset of float32, shape (n_rows, n_columns)
            Filled where rows are found.
        first_column : int, default=0
            Where in `into` this store's columns begin.

        Returns
        -------
        found : int
            How many of `wanted` there are.
        seconds : float
            What they had cost to compute.
        """
        seconds = 0.0
        left = set(wanted)
        for part in self.parts():
            # A row that stands in two parts is the same in both.
            rows = [row for row, key in enumerate(part.keys) if key in left]
            left.difference_update(part.keys[row] for row in rows)
            seconds += part.seconds * len(rows) / len(part.keys)
            pairs = [(target, row) for row in rows for target in wanted[part.keys[row]]]
            _copy(pairs, part.features, into, first_column)
        return len(wanted) - len(left), seconds

    def parts(self) -> Iterator[Part]:
        """Read every sound part; a damaged one is set aside, with a message.

        Yields
        ------
        Part
        """
        seen: set[Path] = set()
        # A part that goes away while others are read was merged into a new one: look again.
        while fresh := sorted(set(self.folder.glob("part-*.h5")) - seen):
            for path in fresh:
                part = self.read(path)
                if part is not None:
                    yield part
            seen.update(fresh)

    def read(self, path: Path) -> Part | None:
        """Read one part; a damaged one is set aside, with a message.

        Parameters
        ----------
        path : Path
            Of a part in this store's folder.

        Returns
        -------
        Part or None
            None if it is damaged, or was merged away by another process.
        """
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return self._parse(path, content)
        except FeatxError as error:
            self._set_aside(path, str(error))
            return None

    def _parse(self, path: Path, content: bytes) -> Part:
        if path.name != _part_name(content):
            raise FeatxError("its checksum does not match")
        with h5py.File(io.BytesIO(content), "r") as file:
            if file.attrs["recipe"] != self.recipe.digest:
                raise FeatxError("it is of another recipe")
            digests = [row.tobytes().hex() for row in file["image_sha256"][:]]
            return Part(
                keys=list(zip(digests, file["view"][:].tolist(), strict=True)),
                features=file["features"][:],
                seconds=float(file.attrs["seconds"]),
                versions=str(file.attrs["versions"]),
            )

    def _set_aside(self, path: Path, reason: str) -> None:
        aside = self.folder / "damaged" / path.name
        try:
            aside.parent.mkdir(exist_ok=True)
            path.replace(aside)
            outcome = f"it was moved to {aside}"
        except OSError as error:
            outcome = f"it cannot be moved away ({error.strerror}) and is passed over"
        say(f"Cached part {path} is damaged: {reason}. {outcome}; its rows are computed again.")

    def add(
        self,
        keys: Sequence[RowKey],
        features: npt.NDArray,
        seconds: float,
        versions: str | None = None,
    ) -> Path:
        """Write rows as one new part.

        Parameters
        ----------
        keys : sequence of (digest, view)
            One a row.
        features : ndarray of float32, shape (len(keys), n_features)
            The rows.
        seconds : float
            What they cost to compute.
        versions : str, optional
            JSON of the library versions that computed them; by default those of this process.

        Returns
        -------
        Path
            The part.

        Raises
        ------
        FeatxError
            If the cache cannot be written to, or the disk is full.
        """
        versions = versions or json.dumps(library_versions(), sort_keys=True)
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file.attrs["featx_format"] = FORMAT
            file.attrs["recipe"] = self.recipe.digest
            file.attrs["seconds"] = seconds
            file.attrs["versions"] = versions
            raw = np.frombuffer(bytes.fromhex("".join(digest for digest, _ in keys)), np.uint8)
            file.create_dataset("image_sha256", data=raw.reshape(len(keys), -1))
            file.create_dataset("view", data=np.array([view for _, view in keys], dtype=np.int32))
            file.create_dataset("features", data=np.asarray(features, dtype=np.float32))
        self.describe()
        content = buffer.getvalue()
        path = self.folder / _part_name(content)
        put_bytes(path, content)
        return path

    def describe(self) -> None:
        """Put the recipe beside the parts for people to read; fail early if that cannot be done.

        Raises
        ------
        FeatxError
            If the cache cannot be written to.
        """
        path = self.folder / "recipe.json"
        if not path.exists():
            text = json.dumps(self.recipe.to_dict(), indent=2, sort_keys=True)
            put_bytes(path, f"{text}\n".encode())


def _copy(
    pairs: list[tuple[int, int]], features: Features, into: RowTarget, first_column: int
) -> None:
    """Copy rows in runs that are consecutive in the target, as HDF5 writes fastest."""
    if not pairs:
        return
    target, source = np.array(sorted(pairs)).T
    columns = slice(first_column, first_column + features.shape[1])
    breaks = np.flatnonzero(np.diff(target) != 1) + 1
    for run in np.split(np.arange(len(target)), breaks):
        rows = slice(int(target[run[0]]), int(target[run[-1]]) + 1)
        into[rows, columns] = features[source[run]]


def _part_name(content: bytes) -> str:
    return f"part-{hashlib.sha256(content).hexdigest()[:40]}.h5"
