"""Trees written from a known truth: what opens is the truth, or an error names why."""

from __future__ import annotations

import tempfile
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from featx.datasets.dataset import ImageDataset
from tests.datasets.known_truth import (
    SUFFIXES,
    Written,
    cases_of,
    check,
    content,
    many_examples,
    write_files,
)

SPLIT_WORDS = {
    "train": ("train", "Train", "TRAINING"),
    "val": ("val", "valid", "Validation"),
    "test": ("test", "TEST", "testing"),
    "": ("",),
}


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


@many_examples
@given(written=folders(), packed=st.booleans())
@pytest.mark.filterwarnings("ignore::UserWarning:zipfile")
def test_a_tree_opens_as_the_truth_or_names_its_deviation(written, packed):
    with tempfile.TemporaryDirectory() as scratch:
        root = write_files(written.files, Path(scratch), packed)
        check(written, lambda: ImageDataset.open(root, r"(p\d+)_"))
