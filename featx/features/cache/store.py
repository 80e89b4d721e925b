"""The cache: immutable parts, each named by the checksum of its own bytes."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
import numpy.typing as npt

from featx.errors import FeatxError
from featx.features.cache.part_index import PartIndex, PartKeys
from featx.features.recipe import Recipe
from featx.features.wanted import Digests, WantedRows, pack_digests
from featx.runtime.files import library_versions, put_bytes

__all__ = ["FeatureStore", "Features", "Part", "RowKey", "RowTarget"]

logger = logging.getLogger(__name__)

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
    digests : ndarray of bytes, shape (n_rows,)
        SHA-256 of each row's image, 32 bytes each.
    views : ndarray of int32, shape (n_rows,)
        Which view each row is.
    features : ndarray of float32, shape (n_rows, n_features)
        The rows.
    """

    digests: Digests
    views: npt.NDArray[np.int32]
    features: Features
    seconds: float
    versions: str

    def __len__(self) -> int:
        return len(self.views)

    @property
    def keys(self) -> list[RowKey]:
        """Image digest and view of each row."""
        raw = self.digests.tobytes()
        texts = [raw[start : start + 32].hex() for start in range(0, len(raw), 32)]
        return list(zip(texts, self.views.tolist(), strict=True))


class FeatureStore:
    """Rows of one recipe on disk, written by any number of processes at once."""

    def __init__(self, cache: Path, recipe: Recipe) -> None:
        self.recipe = recipe
        self.folder = Path(cache) / f"{recipe.backbone}-{recipe.digest[:16]}"

    @cached_property
    def _index(self) -> PartIndex:
        return PartIndex(self.folder, self.recipe.digest)

    def there(self, wanted: WantedRows) -> npt.NDArray[np.bool_]:
        """Tell which rows there are, without reading parts whose keys are remembered.

        Returns
        -------
        ndarray of bool, shape (n_distinct, views)
            Whether each is in a part; whether that part is sound shows when it is collected.
        """
        found = np.zeros(wanted.shape, dtype=bool)
        for path in self._paths():
            keys = self._keys(path)
            if keys is not None:
                cells, _ = wanted.cells(*keys)
                found.flat[cells] = True
        self.save_index()
        return found

    def _keys(self, path: Path) -> PartKeys | None:
        keys = self._index.get(path.name)
        if keys is None:
            # Reading it tells the index.
            self.read(path)
            keys = self._index.get(path.name)
        return keys

    def save_index(self) -> None:
        """Write down what is known of the parts, for later runs."""
        self._index.save({path.name for path in self.folder.glob("part-*.h5")})

    def learn(self, parts: Mapping[str, PartKeys]) -> None:
        """Remember what parts hold that another process has written."""
        for name, keys in parts.items():
            self._index.put(name, keys)

    def collect(
        self,
        wanted: WantedRows,
        into: RowTarget,
        first_column: int = 0,
        found: npt.NDArray[np.bool_] | None = None,
    ) -> tuple[npt.NDArray[np.bool_], float]:
        """Copy those rows that are there, reading and checking each part that has one.

        Parameters
        ----------
        into : ndarray or h5py.Dataset of float32, shape (n_rows, n_columns)
            Filled where rows are found.
        found : ndarray of bool, shape (n_distinct, views), optional
            What an earlier call found, to be passed over.

        Returns
        -------
        found : ndarray of bool, shape (n_distinct, views)
            What has been copied, now or earlier.
        """
        found = np.zeros(wanted.shape, dtype=bool) if found is None else found.copy()
        seconds = 0.0
        for path in self._paths():
            known = self._index.get(path.name)
            if known is not None and found.flat[wanted.cells(*known)[0]].all():
                continue
            part = self.read(path)
            if part is None:
                continue
            cells, source = wanted.cells(part.digests, part.views)
            # A row that stands in two parts is the same in both.
            fresh = ~found.flat[cells]
            cells, source = cells[fresh], source[fresh]
            found.flat[cells] = True
            seconds += part.seconds * len(cells) / len(part)
            target, which = wanted.rows(cells)
            _copy(target, part.features, source[which], into, first_column)
        return found, seconds

    def _paths(self) -> Iterator[Path]:
        seen: set[Path] = set()
        # A part that goes away while others are read was merged into a new one: look again.
        while fresh := sorted(set(self.folder.glob("part-*.h5")) - seen):
            yield from fresh
            seen.update(fresh)

    def parts(self) -> Iterator[Part]:
        """Read every sound part; a damaged one is set aside, with a message."""
        for path in self._paths():
            part = self.read(path)
            if part is not None:
                yield part

    def read(self, path: Path) -> Part | None:
        """Read one part; a damaged one is set aside, with a message."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            part = self._parse(path, content)
        except FeatxError as error:
            self._set_aside(path, str(error))
            return None
        self._index.put(path.name, (part.digests, part.views))
        return part

    def _parse(self, path: Path, content: bytes) -> Part:
        if path.name != _part_name(content):
            raise FeatxError("its checksum does not match")
        with h5py.File(io.BytesIO(content), "r") as file:
            if file.attrs["recipe"] != self.recipe.digest:
                raise FeatxError("it is of another recipe")
            return Part(
                digests=file["image_sha256"][:].view("S32").ravel(),
                views=file["view"][:],
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
        logger.warning(
            f"Cached part {path} is damaged: {reason}. {outcome}; its rows are computed again."
        )

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
        features : ndarray of float32, shape (len(keys), n_features)
            The rows.
        """
        versions = versions or json.dumps(library_versions(), sort_keys=True)
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file.attrs["featx_format"] = FORMAT
            file.attrs["recipe"] = self.recipe.digest
            file.attrs["seconds"] = seconds
            file.attrs["versions"] = versions
            digests = pack_digests([digest for digest, _ in keys])
            views = np.array([view for _, view in keys], dtype=np.int32)
            file.create_dataset("image_sha256", data=digests.view(np.uint8).reshape(-1, 32))
            file.create_dataset("view", data=views)
            file.create_dataset("features", data=np.asarray(features, dtype=np.float32))
        self.describe()
        content = buffer.getvalue()
        path = self.folder / _part_name(content)
        put_bytes(path, content)
        self._index.put(path.name, (digests, views))
        return path

    def describe(self) -> None:
        """Put the recipe beside the parts for people to read; fail early if that cannot be done."""
        path = self.folder / "recipe.json"
        if not path.exists():
            text = json.dumps(self.recipe.to_dict(), indent=2, sort_keys=True)
            put_bytes(path, f"{text}\n".encode())


def _copy(
    target: npt.NDArray[np.int64],
    features: Features,
    source: npt.NDArray[np.int64],
    into: RowTarget,
    first_column: int,
) -> None:
    """Copy rows in runs that are consecutive in the target, as HDF5 writes fastest."""
    columns = slice(first_column, first_column + features.shape[1])
    breaks = np.flatnonzero(np.diff(target) != 1) + 1
    for run in np.split(np.arange(len(target)), breaks) if len(target) else []:
        rows = slice(int(target[run[0]]), int(target[run[-1]]) + 1)
        into[rows, columns] = features[source[run]]


def _part_name(content: bytes) -> str:
    return f"part-{hashlib.sha256(content).hexdigest()[:40]}.h5"
