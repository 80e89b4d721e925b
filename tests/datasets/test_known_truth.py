"""Trees and tables written from a known truth: what opens is the truth, or an error names why."""

from __future__ import annotations

import csv
import hashlib
import io
import tempfile
import unicodedata
import zipfile
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from PIL import Image

from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError

CLASSES = (
    ("NORMAL", "PNEUMONIA"),
    ("No finding", "Effusion", "Mass"),
    ("0", "1"),
    ("épanchement", "sain"),
    ("covid-19", "normal", "viral pneumonia"),
)
SPLIT_WORDS = {
    "train": ("train", "Train", "TRAINING"),
    "val": ("val", "valid", "Validation"),
    "test": ("test", "TEST", "testing"),
    "": ("",),
}
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
def cases_of(draw, with_splits=None) -> list[Case]:
    classes = draw(st.sampled_from(CLASSES))
    splits = (
        ("train", "test")
        if (draw(st.booleans()) if with_splits is None else with_splits)
        else ("",)
    )
    if len(splits) == 2 and draw(st.booleans()):
        splits = ("train", "val", "test")
    per_group = draw(st.integers(2, 4))
    cases = []
    for split in splits:
        for label in classes:
            for _ in range(per_group):
                number = len(cases)
                patient = f"p{number // 2 if per_group % 2 == 0 else number:03d}"
                cases.append(Case(number, label, patient, split))
    return cases


# Folders


def lay_out(cases, draw) -> Written:
    words = {split: draw(st.sampled_from(SPLIT_WORDS[split])) for split in SPLIT_WORDS}
    orders = ["{split}/{label}/{file}", "{label}/{split}/{file}"]
    order = orders[draw(st.integers(0, 1))].replace("{split}", "{split}" if cases[0].split else "")
    paths = {
        order.format(split=words[case.split], label=case.label, file=case.file): case.data
        for case in cases
    }
    return Written(cases, {path.replace("//", "/").lstrip("/"): paths[path] for path in paths})


def add_litter(written, draw):
    folder = draw(st.sampled_from(written.class_folders))
    junk = content(10_001)
    for path, data in draw(
        st.lists(
            st.sampled_from(
                [
                    (".DS_Store", b"x"),
                    ("__MACOSX/NORMAL/._x.png", junk),
                    (f"{folder}/._x.png", b"\x00\x05\x16\x07"),
                    (f"{folder}/Thumbs.db", b"\xd0\xcf\x11\xe0"),
                    (f"{folder}/desktop.ini", b"[.ShellClassInfo]"),
                    (f"{folder}/@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg", junk),
                    ("@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg", junk),
                    (f"{folder}/.ipynb_checkpoints/a-checkpoint.png", junk),
                    ("#recycle/a.png", junk),
                    ("$RECYCLE.BIN/a.png", junk),
                    ("lost+found/a.png", junk),
                    ("System Volume Information/IndexerVolumeGuid", b"x"),
                ]
            ),
            max_size=4,
        )
    ):
        written.litter += path not in written.files
        written.files[path] = data


def add_other_files(written, draw):
    folder = draw(st.sampled_from(written.class_folders))
    for path, data in (
        (f"{folder}/notes.txt", b"seen by two readers"),
        ("license.pdf", b"%PDF-1.4"),
        (f"{folder}/movie.mp4", b"\x00\x00\x00\x18ftypmp42"),
        (f"{folder}/other.webp", content(50_000, "WEBP")),
        (f"{folder}/other.gif", content(50_001, "GIF")),
    ):
        if draw(st.booleans()):
            written.files[path] = data
            written.passed_over += 1


def add_foreign_folder(written, draw):
    if not any(case.split for case in written.cases):
        return
    name = draw(st.sampled_from(["fold2", "extra", "chest_xray", "quarantine", "fold1"]))
    for index, label in enumerate(sorted({case.label for case in written.cases})):
        written.files[f"{name}/{label}/x{index}.png"] = content(20_000 + index)
    written.refused.append((name,))


def add_masks(written, _draw):
    files = {}
    for path, data in written.files.items():
        folder, _, name = path.rpartition("/")
        files[f"{folder}/images/{name}"] = data
        files[f"{folder}/masks/{name}"] = content(30_000 + len(files))
    written.files = files
    written.refused.append(("masks",))


def spell_a_class_differently(written, draw):
    label = draw(st.sampled_from(sorted({case.label for case in written.cases})))
    other = draw(
        st.sampled_from([label.title(), label.swapcase(), f"{label} ", label.replace(" ", "_")])
    )
    if other == label:
        return
    paths = [path for path in written.files if f"/{label}/" in f"/{path}"]
    for path in paths[: len(paths) // 2]:
        moved = f"/{path}".replace(f"/{label}/", f"/{other}/").lstrip("/")
        written.files[moved] = written.files.pop(path)
    written.refused.append((label, other.strip()))


def decompose_a_class(written, _draw):
    """As a Mac writes it, on one half of the files."""
    for path in sorted(written.files)[::2]:
        moved = unicodedata.normalize("NFD", path)
        written.files[moved] = written.files.pop(path)
    if any(not path.isascii() for path in written.files):
        written.refused.append(("written",))


def add_loose_images(written, draw):
    for number in range(draw(st.integers(1, 3))):
        written.files[f"loose{number}.png"] = content(40_000 + number)
        written.passed_over += 1


def add_an_empty_class(written, _draw):
    base = written.class_folders[0].partition("/")[0]
    top = f"{base}/" if any(case.split for case in written.cases) else ""
    written.files[f"{top}UNCLEAR/list.txt"] = b"none yet"
    written.refused.append(("UNCLEAR",))


FOLDER_DEVIATIONS = (
    add_litter,
    add_other_files,
    add_foreign_folder,
    add_masks,
    spell_a_class_differently,
    decompose_a_class,
    add_loose_images,
    add_an_empty_class,
)


@st.composite
def folders(draw) -> Written:
    cases = [
        replace(case, suffix=draw(st.sampled_from(list(SUFFIXES)))) if draw(st.booleans()) else case
        for case in draw(cases_of())
    ]
    written = lay_out(cases, draw)
    chosen = draw(st.lists(st.sampled_from(FOLDER_DEVIATIONS), unique=True, max_size=2))
    if add_masks in chosen:
        # Before the others, whose files have no masks.
        chosen = [add_masks, *(each for each in chosen if each is not add_masks)]
    for deviate in chosen:
        deviate(written, draw)
        event(deviate.__name__)
    if draw(st.booleans()):
        written.files = {f"chest_xray/{path}": data for path, data in written.files.items()}
    return written


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
        assert any(all(text in message for text in texts) for texts in written.refused), (
            message,
            written.refused,
        )
        assert len(message) < 4000
        return
    assert not written.refused, written.refused
    assert found_in(images) == truth_of(written.cases)
    counted = sum(each.count for each in images.inventory.passed_over)
    assert written.passed_over <= counted <= written.passed_over + written.litter, images.inventory


@settings(
    max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(written=folders(), packed=st.booleans())
@pytest.mark.filterwarnings("ignore::UserWarning:zipfile")
def test_a_tree_opens_as_the_truth_or_names_its_deviation(written, packed):
    with tempfile.TemporaryDirectory() as scratch:
        root = write_files(written.files, Path(scratch), packed)
        check(written, lambda: ImageDataset.open(root, r"(p\d+)_"))


# Tables


def list_rows(written) -> None:
    for case in written.cases:
        path = f"{case.label}/{case.file}"
        written.files[path] = case.data
        written.rows.append(
            {"path": path, "label": case.label, "patient": case.patient, "split": case.split}
        )


def pad_cells(written, draw):
    pad = draw(st.sampled_from([" ", "\u00a0", "\t", "\u200b"]))
    for row in written.rows[::2]:
        for name in ("label", "patient", "split"):
            if row[name]:
                row[name] = f"{row[name]}{pad}"


def decompose_cells(written, _draw):
    for row in written.rows[::2]:
        row["label"] = unicodedata.normalize("NFD", row["label"])


def repeat_a_row(written, draw):
    written.rows.append(dict(draw(st.sampled_from(written.rows))))
    written.passed_over += 1


def respell_a_path(written, draw):
    row = draw(st.sampled_from(written.rows))
    written.rows.append({**row, "path": f"./{row['path']}"})
    written.passed_over += 1


def contradict_a_row(written, draw):
    row = draw(st.sampled_from([row for row in written.rows if row["path"] in written.files]))
    label = row["label"]
    other = next(each["label"] for each in written.rows if each["label"] != label)
    written.rows.append({**row, "label": other})
    written.refused.append((f"row {written.rows.index(row) + 2}", label, other))
    written.skipped.add(
        next(c.number for c in written.cases if c.data == written.files[row["path"]])
    )


def forget_a_label(written, draw):
    number = draw(st.integers(0, len(written.rows) - 1))
    written.rows[number]["label"] = draw(st.sampled_from(["", " ", "nan", "NA", "?"]))
    written.refused.append((str(number + 2), "label"))
    written.skipped.add(written.cases[number].number)


def forget_a_patient(written, draw):
    number = draw(st.integers(0, len(written.rows) - 1))
    written.rows[number]["patient"] = draw(st.sampled_from(["", " ", "nan"]))
    written.refused.append((str(number + 2), "patient"))
    written.skipped.add(written.cases[number].number)


def lose_a_file(written, draw):
    number = draw(st.integers(0, len(written.rows) - 1))
    del written.files[written.rows[number]["path"]]
    written.refused.append((written.rows[number]["path"].rpartition("/")[2], str(number + 2)))
    written.skipped.add(written.cases[number].number)


def invent_a_split(written, draw):
    number = draw(st.integers(0, len(written.rows) - 1))
    written.rows[number]["split"] = "quarantine"
    written.refused.append(("quarantine",))
    written.skipped.add(written.cases[number].number)


def spell_a_label_differently(written, draw):
    row = draw(st.sampled_from(written.rows))
    label = row["label"]
    other = draw(
        st.sampled_from([label.title(), label.swapcase(), label.replace(" ", "_"), f"{label}.0"])
    )
    if other == label or (other.endswith(".0") and not label.isdecimal()):
        return
    row["label"] = other
    written.refused.append((label, other))


def spell_a_patient_differently(written, draw):
    numbers = [
        number
        for number, row in enumerate(written.rows)
        if sum(row["patient"] == other["patient"] for other in written.rows) > 1
    ]
    if not numbers:
        return
    row = written.rows[draw(st.sampled_from(numbers))]
    other = row["patient"].upper()
    written.refused.append((row["patient"], other))
    row["patient"] = other


TABLE_DEVIATIONS = (
    pad_cells,
    decompose_cells,
    repeat_a_row,
    respell_a_path,
    contradict_a_row,
    forget_a_label,
    forget_a_patient,
    lose_a_file,
    invent_a_split,
    spell_a_label_differently,
    spell_a_patient_differently,
)
HEADERS = (
    {},
    {"path": "Filename", "label": "Finding", "patient": "PatientID", "split": "Set"},
    {"path": "Image Name", "label": "klass", "patient": "MRN", "split": "Partition"},
)


@st.composite
def tables(draw) -> tuple[Written, bytes, dict[str, str]]:
    written = Written(draw(cases_of(with_splits=draw(st.booleans()))))
    list_rows(written)
    for deviate in draw(st.lists(st.sampled_from(TABLE_DEVIATIONS), unique=True, max_size=2)):
        deviate(written, draw)
        event(deviate.__name__)
    columns = draw(st.sampled_from(HEADERS))
    delimiter = draw(st.sampled_from(",;\t"))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    names = draw(st.permutations(["path", "label", "patient", "split"]))
    index = draw(st.booleans())
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerow([""] * index + [columns.get(name, name) for name in names])
    for number, row in enumerate(written.rows):
        writer.writerow([str(number)] * index + [row[name] for name in names])
    # Spreadsheets write rows of empty cells below a table, and editors blank lines.
    text.write(f"{delimiter * (len(names) - 1 + index)}{end}" * draw(st.integers(0, 2)))
    text.write(end * draw(st.integers(0, 2)))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    return written, text.getvalue().encode(encoding), columns


@settings(
    max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(table=tables(), below=st.booleans())
def test_a_table_opens_as_the_truth_or_names_its_deviation(table, below):
    written, text, columns = table
    with tempfile.TemporaryDirectory() as scratch:
        root = write_files(written.files, Path(scratch), packed=False)
        path = (root if below else Path(scratch)) / "list.csv"
        path.write_bytes(text)
        options = {"columns": columns or None, "root": None if below else root}
        check(written, lambda: ImageDataset.open(path, **options))
        only_rows = len(written.refused) == len(written.skipped)
        kept = [case for case in written.cases if case.number not in written.skipped]
        if (
            written.skipped
            and only_rows
            and {c.label for c in kept} == {c.label for c in written.cases}
        ):
            images = ImageDataset.open(path, skip_problems=True, **options)
            assert found_in(images) == truth_of(kept)
