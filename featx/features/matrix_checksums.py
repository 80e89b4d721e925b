"""Checksums at the end of matrix files, checked before HDF5 sees a byte.

HDF5 ignores what follows its own end, so that other programs and earlier versions read the file.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO

from featx.runtime.progress import progress

logger = logging.getLogger(__name__)

# Name of an attribute of files with checksums; without it a cut file would pass for an old one.
MARK = "featx_checksums"

_MAGIC = b"\nfeatx checksums\n"
_END = len(_MAGIC) + 8 + 32
_BLOCK = 4 * 2**20

# The mark is written first.
_HEAD = 2**20
# Place of the length that HDF5 gives the file, in the superblock that h5py writes.
_HDF5_END = slice(40, 48)


def append_checksums(path: Path) -> None:
    """Append the checksum of each block of a finished file."""
    with path.open("r+b") as file:
        record = json.dumps({"block": _BLOCK, "sha256": list(_digests(file, _BLOCK))}).encode()
        file.write(record + hashlib.sha256(record).digest())
        file.write(len(record).to_bytes(8, "little") + _MAGIC)


def verify_checksums(path: Path) -> None:
    """Raise a ValueError that says where a file is damaged; files of before have no checksums."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _END))
        end = file.read()
        length = int.from_bytes(end[32:40], "little")
        if len(end) < _END or end[40:] != _MAGIC or length > size - _END:
            file.seek(0)
            head = file.read(_HEAD)
            if MARK.encode() not in head:
                _say_unchecked(path, logging.INFO, "was written before files had checksums")
            elif int.from_bytes(head[_HDF5_END], "little") == size:
                # HDF5 cuts what follows its own end.
                _say_unchecked(path, logging.WARNING, "lost its checksums to another program")
            else:
                raise ValueError("its end is missing or was changed")
            return
        stop = size - _END - length
        file.seek(stop)
        record = file.read(length)
        if hashlib.sha256(record).digest() != end[:32]:
            raise ValueError("its checksums are damaged")
        facts = json.loads(record)
        block, stored = facts["block"], facts["sha256"]
        if len(stored) != -(-stop // block):
            raise ValueError(f"it has {stop:,} bytes and {len(stored):,} checksums")
        file.seek(0)
        with progress(f"Checking {path.name}", len(stored), "blocks") as advance:
            for number, digest in enumerate(_digests(file, block, stop)):
                if digest != stored[number]:
                    first, last = number * block, min(stop, (number + 1) * block) - 1
                    raise ValueError(f"its bytes {first:,} to {last:,} do not match their checksum")
                advance()


def _digests(file: BinaryIO, block: int, stop: int | None = None) -> Iterator[str]:
    """Yield the SHA-256 of each block from the file's position to its end or a given one."""
    left = file.seek(0, 2) if stop is None else stop
    file.seek(0)
    while left and (content := file.read(min(block, left))):
        left -= len(content)
        yield hashlib.sha256(content).hexdigest()


@cache
def _say_unchecked(path: Path, level: int, why: str) -> None:
    logger.log(
        level,
        f"{path} {why}, so that damage may go unnoticed; extract again to get one that has them "
        "(rows in the cache are reused)",
    )
