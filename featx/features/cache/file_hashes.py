"""Digests of image files, remembered so that unchanged files are not read again."""

from __future__ import annotations

import contextlib
import hashlib
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError, UnreadableImageError
from featx.images.archives import Member
from featx.images.degradation import derived_pair, original_of
from featx.images.remote import RemoteFile
from featx.images.revisions import READING_FORMAT
from featx.images.sources import Source, identify
from featx.runtime.files import GRANULARITY_SECONDS, put_checked, read_checked
from featx.runtime.parallel import prefetch
from featx.runtime.progress import progress

Digest = tuple[str, str] | UnreadableImageError
"""SHA-256 of an image's bytes and key of its rows, in hexadecimal, or why there is none."""

MEMORY_NAME = "files.index"

# 48 bytes an entry; beyond this only the files of the current run are kept.
MOST_ENTRIES = 500_000

_HEAD = b"featx files 1\n"


@dataclass(frozen=True)
class Hashed:
    """Readable images of a collection with their digests."""

    images: ImageDataset
    # Number of each in the whole collection, shape (n_images,).
    kept: npt.NDArray[np.int64]
    digests: tuple[str, ...]
    # Keys of rows in the cache: digests, but of images that were read differently by format 1.
    keys: tuple[str, ...]
    unreadable: dict[int, UnreadableImageError]

    def without(self, undecodable: dict[str, UnreadableImageError]) -> Hashed:
        """Drop images that cannot be decoded."""
        bad = np.array([digest in undecodable for digest in self.digests], dtype=bool)
        reasons = {
            int(self.kept[place]): undecodable[self.digests[place]] for place in np.flatnonzero(bad)
        }
        kept = self.select(np.flatnonzero(~bad).tolist())
        return replace(kept, unreadable=self.unreadable | reasons)

    def select(self, numbers: list[int]) -> Hashed:
        """Keep some images."""
        return Hashed(
            images=self.images.select(np.array(numbers, dtype=np.int64)),
            kept=self.kept[numbers],
            digests=tuple(self.digests[number] for number in numbers),
            keys=tuple(self.keys[number] for number in numbers),
            unreadable=self.unreadable,
        )


def hash_images(
    images: ImageDataset,
    cache: Path,
    *,
    strict: bool = False,
    rehash: bool = False,
) -> Hashed:
    """Find the digest of every image, reading only files that are new or may have changed."""
    memory = _Memory(cache / MEMORY_NAME)
    given, images = images, replace(images, sources=tuple(map(original_of, images.sources)))
    found: list[tuple[str, str]] = []
    unreadable: dict[int, UnreadableImageError] = {}
    with progress("Reading files", len(images), "images") as advance:
        states = [_state(source) for source in images.sources]
        known = [None if state is None or rehash else memory.get(state) for state in states]
        new = [index for index, digest in enumerate(known) if digest is None]
        answers = prefetch(partial(_digest, images), new)
        for index, state in enumerate(states):
            digest = known[index] or next(answers)
            if isinstance(digest, UnreadableImageError):
                if strict:
                    raise strict_error(images.names[index], digest)
                unreadable[index] = digest
            else:
                found.append(derived_pair(given.sources[index], digest))
                if state and known[index] is None and _state(images.sources[index]) == state:
                    memory.put(state, *digest)
            advance()
    memory.save()
    kept = np.array([index for index in range(len(images)) if index not in unreadable], np.int64)
    readable = given.select(kept) if unreadable else given
    digests, keys = zip(*found, strict=True) if found else ((), ())
    return Hashed(readable, kept, digests, keys, unreadable)


def _digest(images: ImageDataset, index: int) -> Digest:
    try:
        return identify(images.sources[index])
    except UnreadableImageError as error:
        return error


def strict_error(name: str, error: UnreadableImageError) -> FeatxError:
    """Return the error for an unreadable image under ``strict``."""
    return FeatxError(
        f"{name} is unreadable: {error}; repair or remove it, or drop --strict to leave it out"
    )


def _state(source: Source) -> bytes | None:
    """Hash a file's path, size and times; None where a later change might not show in them."""
    if isinstance(source, np.ndarray):
        return None
    if isinstance(source, RemoteFile):
        return _hash_facts(source.url, source.mark) if source.mark else None
    path, inside = (source.archive, source.name) if isinstance(source, Member) else (source, "")
    try:
        status = path.stat()
    except OSError:
        return None
    if time.time() - max(status.st_mtime, status.st_ctime) <= GRANULARITY_SECONDS:
        return None
    # The change time cannot be set back by copying or unpacking, as the modification time can.
    # Only a hash of it all is stored, for privacy.
    return _hash_facts(
        f"{path.absolute()}{'!' * bool(inside)}{inside}",
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _hash_facts(*facts: str | int) -> bytes:
    # A newer reading of images makes other keys, so every file is read once again.
    facts = (READING_FORMAT, *facts)
    return hashlib.blake2b(repr(facts).encode("utf-8", "surrogateescape"), digest_size=16).digest()


class _Memory:
    """Digests of files by their state, in one checked file, which is rebuilt if it is damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = self._read()
        self._used: dict[bytes, bytes] = {}
        self.new: dict[bytes, bytes] = {}

    def _read(self) -> dict[bytes, bytes]:
        content = read_checked(self.path)
        if content is None or not content.startswith(_HEAD):
            return {}
        count = (len(content) - len(_HEAD)) // 48
        keys = np.frombuffer(content, "V16", count, len(_HEAD))
        digests = np.frombuffer(content, "V32", count, len(_HEAD) + keys.nbytes)
        return dict(zip(keys.tolist(), digests.tolist(), strict=True))

    def get(self, state: bytes) -> tuple[str, str] | None:
        digest = self._known.get(state)
        if digest is None:
            return None
        self._used[state] = digest
        changed = _hash_facts("row key", state.hex())
        key = self._known.get(changed)
        if key is None:
            return digest.hex(), digest.hex()
        self._used[changed] = key
        return digest.hex(), key.hex()

    def put(self, state: bytes, digest: str, key: str) -> None:
        """Remember a digest, and the key of its rows where it is another one."""
        self.new[state] = bytes.fromhex(digest)
        if key != digest:
            self.new[_hash_facts("row key", state.hex())] = bytes.fromhex(key)

    def save(self) -> None:
        """Write new digests; of several writers the last one wins."""
        if not self.new:
            return
        # Another process may have written in the meantime.
        entries = self._read() | self.new
        if len(entries) > MOST_ENTRIES:
            entries = self._used | self.new
        # A read-only cache works as well, only more slowly.
        with contextlib.suppress(FeatxError):
            put_checked(self.path, _HEAD + b"".join(entries) + b"".join(entries.values()))
