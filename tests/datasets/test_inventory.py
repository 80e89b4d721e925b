from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from featx.datasets.dataset import ImageDataset
from featx.datasets.inventory import Inventory, PassedOver, look_alike


@pytest.fixture
def opened(image_folder):
    (image_folder / "NORMAL" / "p00_0.webp").write_bytes(b"RIFF1234WEBPVP8 ")
    (image_folder / "a.csv").touch()
    return ImageDataset.open(image_folder, r"(p\d+)_")


def test_an_inventory_describes_what_was_opened_whatever_is_selected(opened, image_folder):
    found = opened.inventory
    assert found.text.splitlines() == [
        f"{image_folder}: 24 images: NORMAL 12, PNEUMONIA 12",
        r"  labels: folder names; positive class: PNEUMONIA; patients: 12 by rule '(p\d+)_'",
        "  passed over: 1 file with a suffix that no image has: 1 .csv",
        "  passed over: 1 file in image formats that featx does not read (save them as PNG): "
        "1 .webp",
    ]
    split = opened[:6].with_splits(["test"] * 6)
    assert split.inventory is found
    assert split.summary().startswith("6 images: NORMAL 6")
    assert ImageDataset.from_arrays(np.zeros((2, 4, 4))).inventory.counts == {"": {"": 2}}


def test_an_inventory_survives_json_without_the_folders_around_it(opened, image_folder):
    stored = json.loads(json.dumps(opened.inventory.to_dict()))
    assert str(image_folder.parent) not in str(stored)
    found = Inventory.from_dict(stored)
    assert found.to_dict() == opened.inventory.to_dict()
    assert found.warnings == opened.inventory.warnings


def test_what_is_passed_over_is_a_warning_and_litter_is_not(opened, caplog):
    caplog.clear()
    opened.inventory.log()
    levels = {record.levelno: record.message for record in caplog.records}
    assert ".csv" in levels[logging.INFO]
    assert ".webp" not in levels[logging.INFO]
    assert ".webp" in levels[logging.WARNING]


def test_many_files_are_named_by_ten_examples_and_their_suffixes():
    names = [f"{n}.gif" for n in range(30)] + ["x", "y.tar.gz"]
    found = PassedOver.of("odd", names)
    assert (found.count, len(found.examples)) == (32, 10)
    assert found.text == "32 files odd: 30 .gif, 1 without suffix, 1 .gz"
    rows = PassedOver.of("without a label", ["row 7\x1b[0m"], "rows")
    assert rows.text == "1 row without a label: row 7\\x1b[0m"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["NORMAL", "Normal", "normal "], True),
        (["caf\u00e9", "cafe\u0301"], True),
        (["No Finding", "no_finding"], True),
        (["P07", "p7"], True),
        (["1", "1.0"], True),
        (["1", "-1"], False),
        (["COVID+", "COVID-"], False),
        (["P1-23", "P12-3"], False),
        (["ill", "well"], False),
    ],
)
def test_names_that_look_alike(names, expected):
    assert look_alike(names) == ((tuple(sorted(names)),) if expected else ())


def test_classes_and_patients_that_look_alike_are_said():
    arrays = np.zeros((4, 4, 4))
    images = ImageDataset.from_arrays(
        arrays, ["ill", "Ill", "well", "well"], patients=["P1", "P1 ", "P2", "P3"]
    )
    assert images.inventory.similar_classes == (("Ill", "ill"),)
    assert "classes that look alike: 'Ill' = 'ill'" in images.inventory.text
    assert "patients that look alike: 'P1' = 'P1 '" in images.inventory.text
