"""Matrices that are joined agree in all that they say, or the error names both values."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest

from featx.errors import FeatxError, UsageError
from featx.features.joining import join_columns
from featx.features.matrix import FeatureMatrix
from featx.runtime.versions import decisive_versions
from tests.classifiers.makers import RECIPE, make_matrix
from tests.features.test_matrix import remove_checksums

OTHER = {**RECIPE, "backbone": "vgg16"}
FIRST = make_matrix(n_images=6, versions={"opencv-python-headless": "5.0.1", "keras": "3.15"})


def second(**changes):
    return replace(FIRST, **{"recipes": (OTHER,), **changes})


def changed(table, place, value):
    values = getattr(FIRST, table)
    entries = list(values)
    entries[place] = value
    return {table: tuple(entries) if isinstance(values, tuple) else np.array(entries)}


SWAPPED = [1, 0, 2, 3, 4, 5]

MUTATIONS = {
    "class order": ({"class_names": ("NORMAL", "BACTERIA")}, ["BACTERIA, NORMAL", "NORMAL, BACT"]),
    "class names": ({"class_names": ("BACTERIA", "normal")}, ["NORMAL", "normal"]),
    "digest": (changed("digests", 2, "f" * 64), ["image2.png", "'ffff"]),
    "path": (changed("names", 2, "moved/image2.png"), ["'image2.png' and 'moved/image2.png'"]),
    "label": (changed("labels", 3, 0), ["image3.png: 'NORMAL' and 'BACTERIA'"]),
    "no label": (changed("labels", 3, -1), ["image3.png: 'NORMAL' and 'unknown'"]),
    "patient": (changed("patients", 5, "someone"), ["'patient002' and 'someone'"]),
    "patients unknown": ({"patients_known": False}, ["patients known and unknown"]),
    "split": (changed("splits", 1, "test"), ["image1.png: 'train' and 'test'"]),
    "view": (changed("view", 1, 2), ["view of rows differ (row 1: '1' and '2')"]),
    "row order": (
        {"image": FIRST.image[::-1], "view": FIRST.view[::-1]},
        ["rows in another order"],
    ),
    "policy": ({"recipes": ({**OTHER, "augmentation": {"rotation": 9.0}},)}, ["7.0", "9.0"]),
    "seed": (
        {"recipes": ({**OTHER, "seed": 1},)},
        ["random_state 0 in the first, 1 in the second"],
    ),
    "color": ({"recipes": ({**OTHER, "colour": "rgb"},)}, ["color 'grey' in the first, 'rgb' in"]),
    "normalization": (
        {"recipes": ({**OTHER, "normalisation": "clahe"},)},
        ["normalization 'none' in the first, 'clahe' in"],
    ),
    "format": ({"recipes": ({**OTHER, "format": 2},)}, ["format None in the first, 2 in"]),
    "same features": ({"recipes": (RECIPE,)}, ["the same features of resnet50"]),
    "OpenCV": ({"versions": {"opencv-python-headless": "4.11.0"}}, ["5.0.1", "4.11.0", "pip"]),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_one_difference_is_refused_with_both_values(mutation):
    changes, words = MUTATIONS[mutation]
    with pytest.raises(UsageError) as caught:
        FeatureMatrix.join([FIRST, second(**changes)])
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (second().select_images(SWAPPED), "the same images in another order"),
        (second().select_images([0, 1, 2]), "6 and 3 images"),
        (second().select_views(1), "12 rows of 2 views and 6 of 1"),
    ],
)
def test_other_images_and_views_are_refused(other, words):
    with pytest.raises(UsageError, match=words):
        FeatureMatrix.join([FIRST, other])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"recipes": ({**RECIPE, "weights": "def"},)},
        {"recipes": ({**RECIPE, "size": [96, 96]},)},
        {"recipes": ({**RECIPE, "pooling": "max"},)},
        {"recipes": ({**RECIPE, "precision": "float16"},)},
        {"versions": {}},
        {"unreadable": (("broken.png", "empty"),), "seconds": 9.0},
    ],
)
def test_networks_pooling_and_precision_may_differ(changes, caplog):
    joined = FeatureMatrix.join([FIRST, second(**changes)])
    assert joined.X.shape[1] == 2 * FIRST.X.shape[1] and len(joined.recipes) == 2
    assert not caplog.records


def test_other_versions_of_what_decides_features_are_a_warning(caplog):
    FeatureMatrix.join([FIRST, second(versions={"keras": "3.9", "scikit-learn": "1.2"})])
    assert "keras 3.15 and 3.9" in caplog.text and "pip install keras==3.15" in caplog.text
    assert "scikit-learn" not in caplog.text


def test_versions_stay_with_a_matrix_that_is_saved_elsewhere(tmp_path):
    FIRST.save(tmp_path / "m.h5")
    again = FeatureMatrix.load(tmp_path / "m.h5")
    again.select_images([0, 1]).save(tmp_path / "part.h5")
    assert FeatureMatrix.load(tmp_path / "part.h5").versions == FIRST.versions
    make_matrix().save(tmp_path / "own.h5")
    assert FeatureMatrix.load(tmp_path / "own.h5").versions == decisive_versions()


def test_blocks_of_an_old_model_may_differ_in_settings():
    other = second(recipes=({**OTHER, "colour": "rgb"},))
    assert len(join_columns([FIRST, other]).recipes) == 2


@pytest.mark.parametrize(
    ("table", "values", "words"),
    [
        ("rows/view", [0, 0, *[0, 1] * 5], "a view of an image twice"),
        ("rows/view", [0, -1, *[0, 1] * 5], "the view -1"),
        ("rows/image", [1, 1, 1, 1, *np.repeat([2, 3, 4, 5], 2)], "twice"),
        ("rows/image", np.repeat([1, 1, 2, 3, 4, 5], 2), "twice"),
        ("images/path", ["a.png"] * 6, "an image twice under one path"),
        ("class_names", ["NORMAL", "NORMAL"], "its classes repeat: NORMAL, NORMAL"),
    ],
)
def test_duplicates_within_one_file_are_refused(tmp_path, table, values, words):
    path = tmp_path / "m.h5"
    FIRST.save(path)
    remove_checksums(path)
    with h5py.File(path, "a") as file:
        if table in file:
            file[table][:] = values
        else:
            file.attrs[table] = values
    with pytest.raises(FeatxError, match=words):
        FeatureMatrix.load(path)


def test_a_file_that_another_program_writes_is_not_called_damaged(tmp_path):
    path = tmp_path / "m.h5"
    FIRST.save(path)
    code = (
        "import h5py, sys; file = h5py.File(sys.argv[1], 'r+'); print(1, flush=True); "
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        with pytest.raises(FeatxError, match=r"another program has .* open for writing") as caught:
            FeatureMatrix.load(path)
        other.stdin.close()
    assert "again with `featx extract`" not in str(caught.value)
    # HDF5 cuts the checksums off when it closes a file that was open for writing.
    assert FeatureMatrix.load(path).names == FIRST.names


def test_folders_and_files_without_permission_are_named(tmp_path):
    with pytest.raises(UsageError, match="is a folder, not a matrix file"):
        FeatureMatrix.load(tmp_path)
