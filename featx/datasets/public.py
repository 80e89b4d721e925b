"""Public data sets of chest X-rays, downloaded from their publisher.

pooch (1.9) would be the library for this, but it sends no Range header and deletes what an
interrupted download has written: users would start again from zero, up to 1.2 GB at a time.
"""

from __future__ import annotations

import dataclasses
import http.client
import logging
import shutil
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from featx.errors import FeatxError, UsageError, find_name
from featx.images.archives import list_members
from featx.runtime.files import file_digest
from featx.runtime.progress import progress

logger = logging.getLogger(__name__)

# Seconds without a byte after which a connection counts as broken.
_TIMEOUT = 60.0
_MEGABYTE = 10**6


@dataclass(frozen=True)
class PublicSet:
    """Record of a public data set: source, licence, address, checksum and image counts."""

    name: str
    title: str
    source: str
    license: str
    address: str
    page: str
    file: str
    size: int
    sha256: str
    checksum_source: str
    folder: str
    counts: Mapping[str, int]
    patients: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain types."""
        return dataclasses.asdict(self)


PUBLIC_SETS = {
    "kermany": PublicSet(
        name="kermany",
        title="5,856 chest X-rays of children, normal or with pneumonia, Guangzhou",
        source="D. Kermany, K. Zhang, M. Goldbaum (2018), Mendeley Data, V2, "
        "doi 10.17632/rscbjbr9sj.2",
        license="CC BY 4.0",
        address="https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/"
        "f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded",
        page="https://data.mendeley.com/datasets/rscbjbr9sj/2",
        file="ChestXRay2017.zip",
        size=1_235_512_464,
        sha256="13efc055629733dbab07877f8b3c9f81097840dbcdaa326a8542322c2281ce36",
        checksum_source="size and SHA-256 as given by three independent public projects; not "
        "compared with Mendeley Data's own record",
        folder="chest_xray",
        # Kaggle's copy has another file layout: 16 of these training images are its folder val.
        counts={
            "chest_xray/train/NORMAL": 1349,
            "chest_xray/train/PNEUMONIA": 3883,
            "chest_xray/test/NORMAL": 234,
            "chest_xray/test/PNEUMONIA": 390,
        },
        patients="kermany",
    ),
}


def get_public_set(name: str) -> PublicSet:
    """Return the public data set of this name."""
    return PUBLIC_SETS[find_name("public data set", name, PUBLIC_SETS)]


def fetch_public_set(public_set: PublicSet, to: Path, given: Path | None = None) -> Path:
    """Download, check and unpack a data set, skipping steps that are done; return its folder."""
    folder = to / public_set.folder
    if folder.exists():
        _check_counts(public_set, to)
        logger.info(f"{folder} already holds the images.")
        return folder
    if given is not None and not given.is_file():
        raise UsageError(f"there is no file {given}")
    to.mkdir(parents=True, exist_ok=True)
    archive = given or to / public_set.file
    _check_room(public_set, to, archive)
    if not archive.exists():
        try:
            download(public_set.address, archive, public_set.size)
        except FeatxError as error:
            raise FeatxError(
                f"{error}. Run the same command again to resume; or, without a network, download "
                f"{public_set.file} ({public_set.size:,} bytes) from {public_set.page} with a "
                f"browser and give `featx datasets {public_set.name} --to {to} --from "
                f"{public_set.file}`, which checks and unpacks it"
            ) from error
    _check_archive(public_set, archive)
    return _unpack(public_set, archive, to)


def _check_room(public_set: PublicSet, to: Path, archive: Path) -> None:
    # JPEG files take as much space unpacked as packed.
    partial = archive.with_name(f"{archive.name}.part")
    there = max((path.stat().st_size for path in (archive, partial) if path.exists()), default=0)
    needed = 2 * public_set.size - min(there, public_set.size)
    free = shutil.disk_usage(to).free
    if free < needed:
        raise FeatxError(f"{to} has {free:,} bytes free, and {needed:,} are needed")


def _check_archive(public_set: PublicSet, archive: Path) -> None:
    logger.info(f"Checking {archive.name} ...")
    found = file_digest(archive)
    if found != public_set.sha256:
        raise FeatxError(
            f"{archive} is not {public_set.file} as published: its SHA-256 is {found}, not "
            f"{public_set.sha256}. Delete it and download it again. (A copy packed by others, such "
            "as Kaggle's, can be given to every command, unpacked.)"
        )


def _unpack(public_set: PublicSet, archive: Path, to: Path) -> Path:
    members = list_members(archive)
    inside = f"{public_set.folder}/"
    names = [n for n in members if n.startswith(inside) and n.endswith(".jpeg") and "/." not in n]
    # Unpacked under a temporary name, so that a kill leaves no folder with some of the images.
    unpacking = to / f".{public_set.folder}.unpacking"
    shutil.rmtree(unpacking, ignore_errors=True)
    try:
        with progress(f"Unpacking {archive.name}", len(names), "images") as advance:
            for name in names:
                path = unpacking / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(members[name].read())
                advance()
        return (unpacking / public_set.folder).rename(to / public_set.folder)
    except OSError as error:
        raise FeatxError(f"{archive} cannot be unpacked into {to}: {error.strerror}") from error
    finally:
        shutil.rmtree(unpacking, ignore_errors=True)


def _check_counts(public_set: PublicSet, to: Path) -> None:
    """Refuse a folder with other numbers of images than published."""
    folder = to / public_set.folder
    names = [path.relative_to(to).as_posix() for path in folder.rglob("*.jpeg")]
    found = Counter(name.rpartition("/")[0] for name in names if "/." not in name)
    if found != Counter(public_set.counts):
        here, published = (
            ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())) or "none"
            for counts in (found, public_set.counts)
        )
        raise FeatxError(
            f"{folder} does not hold the images as published: {here} instead of {published}; move "
            "it away and download it again"
        )


def download(address: str, path: Path, size: int) -> None:
    """Download a file over HTTP, resuming an earlier attempt kept as ``path.part``."""
    partial = path.with_name(f"{path.name}.part")
    furthest = had = _size_of(partial)
    if had:
        logger.info(f"Resuming the download of {path.name} at {had:,} bytes.")
    with progress(f"Downloading {path.name}", -(-(size - had) // _MEGABYTE), "MB") as advance:
        while _size_of(partial) < size:
            reason = _fetch_rest(address, partial, size, advance)
            if reason is not None and _size_of(partial) <= furthest:
                raise FeatxError(f"{address} cannot be downloaded ({reason})")
            furthest = max(furthest, _size_of(partial))
    partial.replace(path)


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch_rest(address: str, partial: Path, size: int, advance: Callable[..., None]) -> str | None:
    """Download missing bytes; return the reason of an interruption."""
    have = _size_of(partial)
    headers = {"User-Agent": "featx", **({"Range": f"bytes={have}-"} if have else {})}
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            # A server without ranges answers 200 and sends everything again.
            start = have if response.status == http.client.PARTIAL_CONTENT else 0
            length = response.headers.get("Content-Length")
            if length is not None and int(length) != size - start:
                raise FeatxError(
                    f"{address} offers {int(length):,} bytes where {size - start:,} are expected: "
                    "another file, or a login page"
                )
            with partial.open("ab" if start else "wb") as file:
                _write(file, response, start, size, advance)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                partial.unlink()
            return f"the server answers {error.code} {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", None) or error or type(error).__name__)
    return None if _size_of(partial) == size else "the connection was cut"


def _write(
    file: BinaryIO,
    response: http.client.HTTPResponse,
    position: int,
    size: int,
    advance: Callable[..., None],
) -> None:
    while position < size and (piece := response.read1(min(_MEGABYTE, size - position))):
        try:
            file.write(piece)
            # A kill must lose nothing that has arrived.
            file.flush()
        except OSError as error:
            raise FeatxError(f"{file.name} cannot be written: {error.strerror}") from error
        position += len(piece)
        advance(position // _MEGABYTE - (position - len(piece)) // _MEGABYTE)
