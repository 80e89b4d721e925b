"""Damaged matrix files are refused before HDF5 reads them, which may hang on one."""

import logging
import random
import subprocess
import sys

import h5py
import numpy as np
import pytest

from featx.errors import FeatxError
from featx.features.matrix import FeatureMatrix
from tests.features.test_matrix import make_matrix, remove_checksums


def flip(content, place, _):
    content[place] ^= 0x10


def zero(content, place, length):
    content[place : place + length] = bytes(len(content[place : place + length]))


def cut(content, place, _):
    del content[place:]


def repeat(content, place, length):
    content[place:place] = content[place : place + length]


@pytest.fixture
def path(tmp_path):
    make_matrix(n_images=300, views=1, n_features=40).save(tmp_path / "m.h5")
    return tmp_path / "m.h5"


@pytest.mark.parametrize("damage", [flip, zero, cut, repeat])
def test_a_damaged_file_is_refused_by_name(path, damage):
    whole, places = path.read_bytes(), random.Random(20)
    ends = [0, 1, 4818, len(whole) - 1, *(len(whole) - 57 - step for step in range(0, 200, 40))]
    for place in [*ends, *(places.randrange(len(whole)) for _ in range(60))]:
        content = bytearray(whole)
        damage(content, place, 200)
        if content == whole:
            continue
        path.write_bytes(content)
        with pytest.raises(FeatxError, match=r"m\.h5"):
            FeatureMatrix.load(path)


def test_zeros_over_the_texts_do_not_hang(path):
    """HDF5 loops for ever over a heap of zeros; in a process of its own, which can be stopped."""
    whole = path.read_bytes()
    content = bytearray(whole)
    while (heap := content.find(b"GCOL")) >= 0:
        content[heap : heap + 200] = bytes(200)
    path.write_bytes(content)
    script = f"from featx.features.matrix import FeatureMatrix; FeatureMatrix.load({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=120)
    assert b"do not match their checksum" in done.stderr


def test_a_file_that_another_program_wrote_into_is_read_with_a_warning(path, caplog):
    with h5py.File(path, "r+") as file:
        file.attrs["note"] = "seen" * 500
    assert FeatureMatrix.load(path).n_images == 300
    [warning] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "lost its checksums to another program" in warning.getMessage()
    content = path.read_bytes()
    for damaged in (content[:-1], content + b"\0", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(FeatxError, match="its end is missing or was changed"):
            FeatureMatrix.load(path)


def test_files_of_before_are_read_and_said_to_be_unchecked_once(path, caplog):
    remove_checksums(path)
    caplog.set_level(logging.INFO, logger="featx")
    for _ in range(2):
        assert FeatureMatrix.load(path).n_images == 300
    assert caplog.text.count("before files had checksums") == 1


def test_the_features_lie_where_other_programs_find_them(path):
    with h5py.File(path, "r") as file:
        np.testing.assert_array_equal(file["features"], FeatureMatrix.load(path).X)
