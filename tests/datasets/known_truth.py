"""Collections written from a known truth, and the check of what opens."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from PIL import Image

from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError

many_examples = settings(
    max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
CLASSES = (
    ("NORMAL", "PNEUMONIA"),
    ("No finding", "Effusion", "Mass"),
    ("0", "1"),
    ("épanchement", "sain"),
    ("covid-19", "normal", "viral pneumonia"),
)
SUFFIXES = {
    ".png": "PNG",
    ".PNG": "PNG",
    ".jfif": "JPEG",
    ".jpe": "JPEG",
    "": "PNG",
    ".tif": "TIFF",
}


class Content(bytes):
    """Bytes of a file that a failing example does not print."""

    def __repr__(self):
        return f"<{len(self)} bytes>"


@cache
def content(number: int, kind: str = "PNG") -> bytes:
    """Bytes of a small image like no other."""
    pixels = np.random.default_rng(number).integers(0, 256, (12, 12), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return Content(file.getvalue())


@dataclass(frozen=True)
class Case:
    """One image: what is true of it, and how it is written down."""

    number: int
    label: str
    patient: str
    split: str
    suffix: str = ".png"

    @property
    def data(self) -> bytes:
        return content(self.number, SUFFIXES[self.suffix])

    @property
    def file(self) -> str:
        return f"{self.patient}_{self.number}{self.suffix}"

    @property
    def truth(self) -> tuple[str, str, str]:
        return self.label, self.patient, self.split


@dataclass
class Written:
    """Files of a collection, its table, and what must come of it."""

    cases: list[Case]
    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    rows: list[dict[str, str]] = field(default_factory=list)
    # Each deviation that must be refused, by the texts that its error has.
    refused: list[tuple[str, ...]] = field(default_factory=list)
    # Files that are in no row and no class, and must be counted.
    passed_over: int = 0
    # Files of operating systems, which may be counted.
    litter: int = 0
    # Images whose row is a problem that --skip-problems leaves out.
    skipped: set[int] = field(default_factory=set)

    @property
    def class_folders(self) -> list[str]:
        own = {case.file for case in self.cases}
        parents = {path.rpartition("/")[0] for path in self.files if path.rpartition("/")[2] in own}
        return sorted(parents)


def truth_of(cases) -> dict[str, tuple[str, str, str]]:
    return {hashlib.sha256(case.data).hexdigest(): case.truth for case in cases}


def found_in(images: ImageDataset) -> dict[str, tuple[str, str, str]]:
    values = zip(images.y.tolist(), images.patients.tolist(), images.splits.tolist(), strict=True)
    found = {images.digest(index): value for index, value in enumerate(values)}
    assert len(found) == len(images), "an image counts twice"
    return found


@st.composite
def cases_of(draw) -> list[Case]:
    classes = draw(st.sampled_from(CLASSES))
    splits = draw(st.sampled_from([("",), ("",), ("train", "test"), ("train", "val", "test")]))
    per_group = draw(st.integers(2, 4))
    cases = []
    for split in splits:
        for label in classes:
            for _ in range(per_group):
                number = len(cases)
                patient = f"p{number // 2 if per_group % 2 == 0 else number:03d}"
                cases.append(Case(number, label, patient, split))
    return cases


def write_files(files, root: Path, packed: bool) -> Path:
    if packed:
        with zipfile.ZipFile(root / "collection.zip", "w") as archive:
            for path, data in files.items():
                archive.writestr(path, data)
        return root / "collection.zip"
    for path, data in files.items():
        (root / "collection" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "collection" / path).write_bytes(data)
    return root / "collection"


def check(written: Written, open_it) -> None:
    try:
        images = open_it()
    except UsageError as error:
        message = str(error)
        assert written.refused, message
        # Names that differ in how they are written are shown with their escapes.
        named = [
            [text in message or ascii(text)[1:-1] in message for text in texts]
            for texts in written.refused
        ]
        assert any(map(all, named)), (message, written.refused)
        assert len(message) < 4000
        return
    assert not written.refused, written.refused
    assert found_in(images) == truth_of(written.cases)
    counted = sum(each.count for each in images.inventory.passed_over)
    assert written.passed_over <= counted <= written.passed_over + written.litter, images.inventory
