"""Find images whose pixels cannot show a patient, decoding each image once in its life."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featx.audit.findings import Finding, find_where
from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError, UnreadableImageError
from featx.images.pixel_facts import CONSTANT, TINY, pixel_facts
from featx.images.revisions import READING_FORMAT
from featx.images.sources import pixels_of
from featx.runtime.files import put_checked, read_checked
from featx.runtime.parallel import map_with_progress

MEMORY_NAME = "pixels.index"

# 33 bytes an entry; beyond this only those of the current images are kept.
_MOST_ENTRIES = 100_000

_HEAD = f"featx pixels {READING_FORMAT}\n".encode()


def pixel_findings(names: Sequence[str], facts: npt.NDArray) -> list[Finding]:
    """Find the images whose pixels cannot show a patient: of one intensity, or tiny."""
    return [
        finding
        for kind, flag in (("constant", CONSTANT), ("tiny", TINY))
        for finding in find_where(kind, "warning", names, (facts & flag) > 0)
    ]


def facts_of_images(
    images: ImageDataset, digests: Sequence[str], known: Mapping[str, int], cache: Path
) -> npt.NDArray[np.uint8]:
    """Return the flags of readable images.

    Those that are neither known nor remembered in the cache are decoded.
    """
    remembered = _read(cache)
    places = dict(zip(digests, range(len(digests)), strict=True))
    found = {digest: facts for digest, facts in {**remembered, **known}.items() if digest in places}
    unknown = [digest for digest in places if digest not in found]

    def look(digest: str) -> int:
        try:
            return pixel_facts(pixels_of(images.sources[places[digest]], "gray"))
        except UnreadableImageError:
            return 0

    found.update(zip(unknown, map_with_progress(look, unknown, "Checking pixels"), strict=True))
    if found.keys() - remembered.keys():
        entries = {**_read(cache), **found}
        entries = found if len(entries) > _MOST_ENTRIES else entries
        # A read-only cache works as well, only more slowly.
        with suppress(FeatxError):
            keys, flags = bytes.fromhex("".join(entries)), bytes(entries.values())
            put_checked(cache / MEMORY_NAME, _HEAD + keys + flags)
    return np.array([found[digest] for digest in digests], dtype=np.uint8)


def _read(cache: Path) -> dict[str, int]:
    content = read_checked(cache / MEMORY_NAME)
    if content is None or not content.startswith(_HEAD):
        return {}
    content = content[len(_HEAD) :]
    count = len(content) // 33
    keys = [content[32 * number : 32 * number + 32].hex() for number in range(count)]
    return dict(zip(keys, content[32 * count :], strict=True))
