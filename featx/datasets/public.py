"""Public collections of chest X-rays, fetched from where they are published."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from featx.datasets.download import digest_of, download
from featx.errors import FeatxError, UsageError, unknown_name
from featx.images.archives import list_members
from featx.runtime.progress import progress

__all__ = ["PublicSet", "fetch_public_set", "get_public_set", "list_public_sets"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublicSet:
    """What is known of a public collection."""

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


_PUBLIC_SETS = {
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
        checksum_source="size and SHA-256 as three unconnected public projects state them of this "
        "file; not compared with Mendeley Data's own record",
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


def list_public_sets() -> list[PublicSet]:
    """Return the collections that featx knows how to fetch.

    Examples
    --------
    >>> [known.name for known in list_public_sets()]
    ['kermany']
    """
    return list(_PUBLIC_SETS.values())


def get_public_set(name: str) -> PublicSet:
    """Return the collection of this name."""
    if name not in _PUBLIC_SETS:
        raise unknown_name("public data set", name, _PUBLIC_SETS)
    return _PUBLIC_SETS[name]


def fetch_public_set(public_set: PublicSet, to: Path, given: Path | None = None) -> Path:
    """Bring a collection into a folder, checked and unpacked.

    Nothing is fetched where the images or the archive are there already. What an interrupted
    download brought is not fetched again.
    """
    folder = to / public_set.folder
    if folder.exists():
        _check_counts(public_set, folder, _count_files(to, folder))
        logger.info(f"{folder} holds the images already.")
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
            raise FeatxError(f"{error}. {_by_hand(public_set, to)}") from error
    _check_archive(public_set, archive)
    return _unpack(public_set, archive, to)


def _by_hand(public_set: PublicSet, to: Path) -> str:
    return (
        f"Try the same command again, which goes on from where it was; or, where there is no way "
        f"out, get {public_set.file} ({public_set.size:,} bytes) from {public_set.page} with a "
        f"browser, put it into {to} and give the same command again, or give "
        f"`featx datasets {public_set.name} --to {to} --from {public_set.file}`: it is checked "
        "and used"
    )


def _check_room(public_set: PublicSet, to: Path, archive: Path) -> None:
    # X-rays as JPEG take as much room unpacked as packed.
    part = archive.with_name(f"{archive.name}.part")
    there = max((path.stat().st_size for path in (archive, part) if path.exists()), default=0)
    needed = 2 * public_set.size - min(there, public_set.size)
    free = shutil.disk_usage(to).free
    if free < needed:
        raise FeatxError(f"{to} has {free:,} bytes free, and {needed:,} are needed")


def _check_archive(public_set: PublicSet, archive: Path) -> None:
    found = digest_of(archive)
    if found != public_set.sha256:
        raise FeatxError(
            f"{archive} is not {public_set.file} as published: its SHA-256 is {found}, not "
            f"{public_set.sha256}. Delete it and fetch it again. (A copy packed by somebody else, "
            "such as Kaggle's, needs no fetching: every command takes the archive itself.)"
        )


def _unpack(public_set: PublicSet, archive: Path, to: Path) -> Path:
    members = {
        name: member
        for name, member in list_members(archive).items()
        if name.startswith(f"{public_set.folder}/") and _is_image(name)
    }
    _check_counts(public_set, archive, Counter(name.rpartition("/")[0] for name in members))
    # A name of its own until all are there, so that no kill leaves half a folder of images.
    unpacking = to / f".{public_set.folder}.unpacking"
    shutil.rmtree(unpacking, ignore_errors=True)
    try:
        with progress(f"Unpacking {archive.name}", len(members), "images") as advance:
            for name, member in members.items():
                path = unpacking / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(member.read())
                advance()
        folder = (unpacking / public_set.folder).rename(to / public_set.folder)
    except OSError as error:
        raise FeatxError(f"{archive} cannot be unpacked into {to}: {error.strerror}") from error
    finally:
        shutil.rmtree(unpacking, ignore_errors=True)
    return folder


def _is_image(name: str) -> bool:
    return name.endswith(".jpeg") and not any(
        part.startswith(".") for part in PurePosixPath(name).parts
    )


def _count_files(to: Path, folder: Path) -> Counter[str]:
    paths = [path.relative_to(to) for path in folder.rglob("*.jpeg")]
    return Counter(path.parent.as_posix() for path in paths if _is_image(path.as_posix()))


def _check_counts(public_set: PublicSet, where: Path, found: Mapping[str, int]) -> None:
    if dict(found) != dict(public_set.counts):
        raise FeatxError(
            f"{where} does not hold the images as published: {_told(found)} instead of "
            f"{_told(public_set.counts)}; move it away and fetch it again"
        )


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())) or "none"
