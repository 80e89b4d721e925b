"""Digests of image files, remembered so that an unchanged file is not read again to know it."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError, UnreadableImageError
from featx.features.cache.part_index import read_checked, write_checked
from featx.features.wanted import Digests, pack_digests, unpack_digest
from featx.images.archives import Member
from featx.images.remote import RemoteFile
from featx.images.sources import Source
from featx.runtime.progress import progress

__all__ = ["Digest", "Hashed", "hash_images", "read_digests", "strict_error"]

Digest = str | UnreadableImageError
"""SHA-256 of an image's bytes in hexadecimal, or why there is none."""

MEMORY_NAME = "files.index"

# Of a file changed so lately, a further change might leave the same time stamp: FAT counts in
# steps of two seconds, and no file system in larger ones.
GRANULARITY_SECONDS = 2.0

# 48 bytes an entry; beyond this only the files of the run at hand are kept.
MOST_ENTRIES = 500_000

_HEAD = b"featx files 1\n"


@dataclass(frozen=True)
class Hashed:
    """The images of a set whose bytes could be read, known by their digests.

    Parameters
    ----------
    kept : ndarray of int64, shape (n_images,)
        Their numbers in the whole set.
    remembered : ndarray of bool, shape (n_images,)
        Whether a digest was taken from memory rather than from the file's bytes.
    """

    images: ImageDataset
    kept: npt.NDArray[np.int64]
    digests: tuple[str, ...]
    remembered: npt.NDArray[np.bool_]
    unreadable: dict[int, UnreadableImageError]

    def without(self, undecodable: dict[str, UnreadableImageError]) -> Hashed:
        """Leave images out."""
        bad = np.array([digest in undecodable for digest in self.digests], dtype=bool)
        reasons = {
            int(self.kept[place]): undecodable[self.digests[place]] for place in np.flatnonzero(bad)
        }
        return Hashed(
            images=self.images.select(~bad),
            kept=self.kept[~bad],
            digests=tuple(self.digests[place] for place in np.flatnonzero(~bad)),
            remembered=self.remembered[~bad],
            unreadable=self.unreadable | reasons,
        )


def read_digests(images: ImageDataset, indices: Sequence[int]) -> Iterator[Digest]:
    """Read images, one after the other, to know them."""
    for index in indices:
        try:
            yield images.digest(index)
        except UnreadableImageError as error:
            yield error


def hash_images(
    images: ImageDataset,
    cache: Path,
    *,
    strict: bool = False,
    rehash: bool = False,
    reader: Callable[[ImageDataset, Sequence[int]], Iterable[Digest]] = read_digests,
) -> Hashed:
    """Find the digest of every image, reading only files that are new or may have changed."""
    memory = _Memory(cache / MEMORY_NAME)
    digests: list[str] = []
    remembered: list[bool] = []
    unreadable: dict[int, UnreadableImageError] = {}
    with progress("Reading files", len(images), "images") as advance:
        states = [_state(source) for source in images.sources]
        known = [None if state is None or rehash else memory.get(state) for state in states]
        new = [index for index, digest in enumerate(known) if digest is None]
        answers = iter(reader(images, new))
        for index, state in enumerate(states):
            digest = known[index] or next(answers)
            if isinstance(digest, UnreadableImageError):
                if strict:
                    raise strict_error(images.names[index], digest)
                unreadable[index] = digest
            else:
                digests.append(digest)
                remembered.append(known[index] is not None)
                if state and known[index] is None and _state(images.sources[index]) == state:
                    memory.put(state, digest)
            advance()
    memory.save()
    kept = np.array([index for index in range(len(images)) if index not in unreadable], np.int64)
    return Hashed(
        images=images.select(kept) if unreadable else images,
        kept=kept,
        digests=tuple(digests),
        remembered=np.array(remembered, dtype=bool),
        unreadable=unreadable,
    )


def strict_error(name: str, error: UnreadableImageError) -> FeatxError:
    """Say that an unreadable image stops everything."""
    return FeatxError(
        f"{name} is unreadable: {error}; mend or remove it, or leave --strict out to go on without"
    )


@dataclass(frozen=True)
class _State:
    """What a file was like before it was read, and whether a later change would show."""

    key: bytes
    settled: bool


def _state(source: Source) -> _State | None:
    if isinstance(source, np.ndarray):
        return None
    if isinstance(source, RemoteFile):
        return _State(_hash_facts(source.url, source.mark), True) if source.mark else None
    path, inside = (source.archive, source.name) if isinstance(source, Member) else (source, "")
    try:
        status = path.stat()
    except OSError:
        return None
    # The change time cannot be set back by copying or unpacking, as the modification time can.
    # Only a hash of it all is stored: paths of the machine are nobody's business.
    key = _hash_facts(
        f"{path.absolute()}{'!' * bool(inside)}{inside}",
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
    age = time.time() - max(status.st_mtime, status.st_ctime)
    return _State(key, age > GRANULARITY_SECONDS)


def _hash_facts(*facts: str | int) -> bytes:
    return hashlib.blake2b(repr(facts).encode("utf-8", "surrogateescape"), digest_size=16).digest()


class _Memory:
    """Digests of files by their state, as one checked file; damaged, it is begun anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys, self._digests = self._read()
        # NumPy strips zero bytes from the ends of keys, and lookups must do the same.
        self._places = {key: place for place, key in enumerate(self._keys.tolist())}
        self._used = np.zeros(len(self._keys), dtype=bool)
        self._new: dict[bytes, str] = {}

    def _read(self) -> tuple[npt.NDArray[np.bytes_], Digests]:
        content = read_checked(self.path)
        if content is None or not content.startswith(_HEAD):
            content = _HEAD
        count = (len(content) - len(_HEAD)) // 48
        keys = np.frombuffer(content, "S16", count, len(_HEAD))
        return keys, np.frombuffer(content, "S32", count, len(_HEAD) + keys.nbytes)

    def get(self, state: _State) -> str | None:
        place = self._places.get(state.key.rstrip(b"\0"))
        if place is None:
            return None
        self._used[place] = True
        return unpack_digest(self._digests, place)

    def put(self, state: _State, digest: str) -> None:
        """Remember a digest, unless the file was so young that it may change unnoticed."""
        if state.settled:
            self._new[state.key] = digest

    def save(self) -> None:
        """Write down what was learned; of several writers the last one wins."""
        if not self._new:
            return
        # Another process may have learned something in the meantime.
        keys, digests = self._read()
        if len(keys) + len(self._new) > MOST_ENTRIES:
            keys, digests = self._keys[self._used], self._digests[self._used]
        keys = np.concatenate([np.frombuffer(b"".join(self._new), "S16"), keys])
        digests = np.concatenate([pack_digests(list(self._new.values())), digests])
        # Where a file was hashed again, the first entry, which is the new one, is kept.
        keys, first = np.unique(keys, return_index=True)
        # A cache that can only be read works as well, only slower.
        with contextlib.suppress(FeatxError):
            write_checked(self.path, _HEAD + keys.tobytes() + digests[first].tobytes())
