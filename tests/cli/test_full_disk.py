"""Disks that fill up at any point: one message, no crash, nothing unfinished under a final name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SAVE_BESIDE_BALLAST = """
import sys
from pathlib import Path
import numpy as np
from featx.errors import FeatxError
from featx.features.matrix import FeatureMatrix

disk, names = Path(sys.argv[1]), tuple(f"{n:04d}.png" for n in range(400))
matrix = FeatureMatrix(
    X=np.ones((400, 100), np.float32), image=np.arange(400), view=np.zeros(400, np.int64),
    names=names, digests=("ab" * 32,) * 400, labels=np.zeros(400, np.int64),
    patients=np.array(names), splits=np.array([""] * 400), class_names=("NORMAL",),
)
for number in range(0, 301, 12):
    disk.joinpath("ballast").write_bytes(bytes(number * 1024))
    try:
        matrix.save(disk / "m.h5")
        FeatureMatrix.load(disk / "m.h5")
        (disk / "m.h5").unlink()
        print("whole")
    except FeatxError as error:
        assert "disk is full" in str(error), error
        print("full")
    assert [path.name for path in disk.iterdir()] == ["ballast"]
"""


@pytest.fixture
def disk(tmp_path):
    """A file system of 300 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small tmpfs can be mounted by root only")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_matrix_is_written_whole_or_not_at_all(disk):
    command = [sys.executable, "-c", SAVE_BESIDE_BALLAST, disk]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outcomes = done.stdout.split()
    # The rows fit on some of the disks, and the tables after them on fewer.
    assert outcomes == sorted(outcomes, reverse=True) and len(set(outcomes)) == 2


@pytest.mark.parametrize("free", [0, 40])
@pytest.mark.parametrize(
    "words",
    [
        ["extract", "xrays", "--out", "disk/new/m.h5"],
        ["fit", "m.h5", "--classifiers", "xgboost,knn", "--out", "disk/new"],
        ["predict", "models/naive_bayes.skops", "xrays", "--out", "disk/new/p.csv"],
        ["explain", "models/naive_bayes.skops", "xrays", "--out", "disk/new"],
        ["explore", "m.h5", "--out", "disk/new/map.html"],
        ["benchmark", "xrays", "--out", "disk/new"],
        ["demo", "--out", "disk/new"],
    ],
    ids=lambda words: words[0],
)
def test_commands_end_with_one_line(disk, image_folder, run_featx, quick, monkeypatch, words, free):
    monkeypatch.chdir(image_folder.parent)
    rule = ["--patients", r"(p\d+)_"]
    assert run_featx("extract", "xrays", *rule, "--out", "m.h5")[0] == 0
    assert run_featx("fit", "m.h5", "--classifiers", "naive_bayes", "--out", "models")[0] == 0
    ballast = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - free * 1024
    (disk / "ballast").write_bytes(bytes(ballast))
    code, _, error = run_featx(*words, *rule * (words[0] == "benchmark"))
    written = [path for path in Path("disk").rglob("*") if path.is_file()]
    if code or not free:
        assert code == 1 and "Traceback" not in error, error
        assert "disk is full" in error.splitlines()[-1], error
    assert not [path for path in written if path.name.startswith(".writing-")]
    assert all(path.stat().st_size for path in written)
