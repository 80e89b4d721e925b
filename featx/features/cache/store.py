"""The cache of one recipe: immutable shards, each named by the checksum of its own bytes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import logging
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
import numpy.typing as npt

from featx.errors import FeatxError
from featx.features.lazy_rows import consecutive_runs
from featx.features.recipe import Recipe
from featx.runtime.files import (
    file_name_of,
    put_bytes,
    put_checked,
    read_checked,
    set_aside,
)
from featx.runtime.versions import library_versions

logger = logging.getLogger(__name__)

FORMAT = 1

# Names in caches of every version.
SHARD_PATTERN = "part-*.h5"
INDEX_NAME = "keys.index"

# Marks a cache for featx and for backups (https://bford.info/cachedir/).
TAG_NAME = "CACHEDIR.TAG"
TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# Features that featx can compute again.\n"

# Why a cache that can be read cannot be written.
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)

RowKey = tuple[str, int]
"""SHA-256 of an image in hexadecimal, and the number of one of its views."""

Features = npt.NDArray[np.float32]

Digests = npt.NDArray[np.bytes_]
"""SHA-256 digests, 32 bytes each, as files hold them."""

ShardKeys = tuple[Digests, npt.NDArray[np.int32]]
"""Image digest and view of each row of a shard."""


def pack_digests(digests: Sequence[str]) -> Digests:
    """Turn hexadecimal digests into an array of 32 bytes each."""
    return np.frombuffer(bytes.fromhex("".join(digests)), dtype="S32")


class RowTarget(Protocol):
    """Destination of rows: an array or an HDF5 data set."""

    def __setitem__(self, place: tuple[slice, slice], rows: Features) -> None: ...


@dataclass(frozen=True)
class Shard:
    """Rows of one recipe, as one file holds them."""

    keys: ShardKeys
    # Shape (n_rows, n_features).
    features: Features
    seconds: float

    def __len__(self) -> int:
        return len(self.features)


class FeatureStore:
    """Rows of one recipe on disk, written by any number of processes at once."""

    def __init__(self, cache: Path, recipe: Recipe) -> None:
        self.recipe = recipe
        self.folder = Path(cache) / f"{file_name_of(recipe.backbone)}-{recipe.digest[:16]}"
        self.unusable: dict[Path, str] = {}
        """Shards that were found damaged or unreadable, with the reason."""
        self._index = _ShardIndex(self.folder / INDEX_NAME, recipe.digest)
        # Folder of new shards where the cache cannot be written, for the life of this object.
        self._aside: Path | None = None

    def missing(self, digests: Sequence[str], views: int) -> npt.NDArray[np.bool_]:
        """Find the rows that the cache lacks, shape (n_images, views), by the index where it can.

        Damage of a shard shows only when its rows are collected.
        """
        places = _places(digests)
        missing = np.ones((len(digests), views), dtype=bool)
        for path in self.shard_paths():
            keys = self._index.get(path.name)
            shard = self.read(path) if keys is None else None
            if shard is not None:
                keys = shard.keys
            if keys is not None:
                missing.flat[_find(keys, places, views)[0]] = False
        self.save_index()
        return missing

    def collect(
        self,
        digests: Sequence[str],
        views: int,
        into: RowTarget,
        first_column: int = 0,
        found: npt.NDArray[np.bool_] | None = None,
    ) -> tuple[npt.NDArray[np.bool_], float]:
        """Copy the rows that the cache holds into `into`, checking each shard that has one.

        Returns the rows copied now or, by `found`, earlier, shape (n_images, views), and the
        seconds that the rows copied now once took to compute.
        """
        places = _places(digests)
        found = np.zeros((len(digests), views), dtype=bool) if found is None else found.copy()
        seconds = 0.0
        for path in self.shard_paths():
            known = self._index.get(path.name)
            if known is not None and found.flat[_find(known, places, views)[0]].all():
                continue
            shard = self.read(path)
            if shard is None:
                continue
            target, source = _find(shard.keys, places, views)
            # A row that two shards hold is the same in both.
            fresh = ~found.flat[target]
            target, source = target[fresh], source[fresh]
            found.flat[target] = True
            seconds += shard.seconds * len(np.unique(source)) / max(1, len(shard))
            columns = slice(first_column, first_column + shard.features.shape[1])
            # HDF5 writes consecutive rows fastest.
            for place, rows in consecutive_runs(target):
                into[rows, columns] = shard.features[source[place]]
        return found, seconds

    def shard_paths(self) -> Iterator[Path]:
        """Yield the shards, also those that other processes write meanwhile."""
        seen: set[Path] = set()
        folders = [self.folder] if self._aside is None else [self.folder, self._aside]
        while fresh := sorted(
            {path for folder in folders for path in folder.glob(SHARD_PATTERN)} - seen
        ):
            yield from fresh
            seen.update(fresh)

    def read(self, path: Path) -> Shard | None:
        """Read one shard; a damaged one is set aside, with a message."""
        if path in self.unusable:
            return None
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self.unusable[path] = str(error.strerror)
            remedy = " Ask its owner for permission (chmod a+r)." * (error.errno == errno.EACCES)
            logger.warning(
                f"Cache shard {path} cannot be read ({error.strerror}); its rows are computed "
                f"again.{remedy}"
            )
            return None
        try:
            shard = self._parse(path, content)
        except FeatxError as error:
            self.unusable[path] = str(error)
            logger.warning(
                f"Cache shard {path} is damaged: {error}. {set_aside(path)}; its rows are computed "
                "again."
            )
            return None
        self._index.put(path.name, shard.keys)
        return shard

    def _parse(self, path: Path, content: bytes) -> Shard:
        if path.name != _shard_name(content):
            raise FeatxError("its checksum does not match")
        with h5py.File(io.BytesIO(content), "r") as file:
            if file.attrs["recipe"] != self.recipe.digest:
                raise FeatxError("it is of another recipe")
            return Shard(
                keys=(file["image_sha256"][:].view("S32").ravel(), file["view"][:]),
                features=file["features"][:],
                seconds=float(file.attrs["seconds"]),
            )

    def add(self, keys: Sequence[RowKey], features: npt.NDArray, seconds: float) -> Path:
        """Write rows as one new shard; features have shape (len(keys), n_features)."""
        digests = pack_digests([digest for digest, _ in keys])
        views = np.array([view for _, view in keys], dtype=np.int32)
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file.attrs["featx_format"] = FORMAT
            file.attrs["recipe"] = self.recipe.digest
            file.attrs["seconds"] = seconds
            file.attrs["versions"] = json.dumps(library_versions(), sort_keys=True)
            file.create_dataset("image_sha256", data=digests.view(np.uint8).reshape(-1, 32))
            file.create_dataset("view", data=views)
            file.create_dataset("features", data=np.asarray(features, dtype=np.float32))
        self.describe()
        content = buffer.getvalue()
        path = self.folder / _shard_name(content)
        try:
            put_bytes(path, content)
        except FeatxError as error:
            if getattr(error.__cause__, "errno", None) not in _REFUSED:
                raise
            path = self._folder_aside(error) / path.name
            put_bytes(path, content)
        self.unusable.pop(path, None)
        self._index.put(path.name, (digests, views))
        return path

    def _folder_aside(self, error: FeatxError) -> Path:
        if self._aside is None:
            self._aside = Path(tempfile.mkdtemp(prefix="featx-rows-"))
            weakref.finalize(self, shutil.rmtree, self._aside, ignore_errors=True)
            logger.warning(
                f"New rows are kept for this run only: {error.__cause__}. Ask for permission to "
                f"write in {self.folder}, or name another --cache"
            )
        return self._aside

    def describe(self) -> None:
        """Write the recipe next to the shards; this fails early in an unwritable cache."""
        path = self.folder / "recipe.json"
        if not path.exists():
            text = json.dumps(self.recipe.to_dict(), indent=2, sort_keys=True)
            put_bytes(path, f"{text}\n".encode())
        tag = self.folder.parent / TAG_NAME
        if not tag.exists():
            with contextlib.suppress(FeatxError):
                put_bytes(tag, TAG)

    def save_index(self) -> None:
        """Write the index of shards, for later runs."""
        self._index.save({path.name for path in self.folder.glob(SHARD_PATTERN)})


def _places(digests: Sequence[str]) -> dict[bytes, list[int]]:
    """Map each digest to the images that have it."""
    places: dict[bytes, list[int]] = {}
    for image, digest in enumerate(pack_digests(digests).tolist()):
        places.setdefault(digest, []).append(image)
    return places


def _find(
    keys: ShardKeys, places: dict[bytes, list[int]], views: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return matrix rows (``image * views + view``) that a shard holds, and their places in it."""
    pairs = [
        (image * views + view, source)
        for source, (digest, view) in enumerate(zip(*(key.tolist() for key in keys), strict=True))
        if 0 <= view < views
        for image in places.get(digest, ())
    ]
    table = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _shard_name(content: bytes) -> str:
    return f"part-{hashlib.sha256(content).hexdigest()[:40]}.h5"


class _ShardIndex:
    """Keys of each shard of a folder, so that shards are read only for their rows.

    It is read when first asked. Of several processes that write it the last one wins; keys that it
    did not know are read again from the shards.
    """

    def __init__(self, path: Path, recipe: str) -> None:
        self.path = path
        self.recipe = recipe
        self._changed = False

    @cached_property
    def _shards(self) -> dict[str, ShardKeys]:
        content = read_checked(self.path)
        if content is None:
            return {}
        line, _, _ = content.partition(b"\n")
        head = json.loads(line)
        if head["featx_format"] != FORMAT or head["recipe"] != self.recipe:
            return {}
        total = sum(rows for _, rows in head["parts"])
        digests = np.frombuffer(content, "S32", count=total, offset=len(line) + 1)
        views = np.frombuffer(content, "<i4", offset=len(line) + 1 + digests.nbytes)
        shards, start = {}, 0
        for name, rows in head["parts"]:
            shards[name] = digests[start : start + rows], views[start : start + rows]
            start += rows
        return shards

    def get(self, shard: str) -> ShardKeys | None:
        return self._shards.get(shard)

    def put(self, shard: str, keys: ShardKeys) -> None:
        if shard not in self._shards:
            self._shards[shard] = keys
            self._changed = True

    def save(self, present: set[str]) -> None:
        if not self._changed or not self.path.parent.is_dir():
            return
        shards = {name: keys for name, keys in self._shards.items() if name in present}
        head = {
            "featx_format": FORMAT,
            "recipe": self.recipe,
            "parts": [[name, len(views)] for name, (_, views) in shards.items()],
        }
        chunks = [json.dumps(head).encode(), b"\n"]
        chunks += [digests.tobytes() for digests, _ in shards.values()]
        chunks += [views.astype("<i4").tobytes() for _, views in shards.values()]
        # A read-only cache works as well, only more slowly.
        with contextlib.suppress(FeatxError):
            put_checked(self.path, b"".join(chunks))
            self._changed = False
