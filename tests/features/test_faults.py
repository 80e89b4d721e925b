"""Faults that really occur, injected for real: kills, many writers, full disks."""

import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featx.features.matrix import FeatureMatrix
from featx.runtime.files import TEMPORARY_PREFIX
from tests.conftest import smooth_image
from tests.features import worker

ROOT = Path(__file__).parents[2]


@pytest.fixture
def many_images(tmp_path, generator):
    """Two classes x 30 patients x 2 images."""
    root = tmp_path / "xrays"
    for name, first in (("NORMAL", 0), ("PNEUMONIA", 30)):
        (root / name).mkdir(parents=True)
        for number in range(60):
            path = root / name / f"p{first + number // 2:02d}_{number}.png"
            Image.fromarray(smooth_image(generator)).save(path)
    return root


def start(images, out, cache, **environment):
    surroundings = {**os.environ, "FEATX_CACHE": str(cache), **environment}
    command = [sys.executable, "-m", "tests.features.worker", str(images), str(out)]
    return subprocess.Popen(command, cwd=ROOT, env=surroundings, stderr=subprocess.PIPE, text=True)


def finish(process):
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return error


def parts_of(cache):
    return {path.name for path in Path(cache).glob("*/part-*.h5")}


@pytest.mark.slow
def test_fifty_kills_cost_at_most_the_unfinished_part(many_images, tmp_path):
    context = multiprocessing.get_context("forkserver")
    # Imports are made once, so that a process is killed at its work.
    context.set_forkserver_preload(["__main__", "tests.features.worker", "scipy.sparse"])

    def fork(*places):
        process = context.Process(target=worker.main, args=(many_images, *places))
        process.start()
        return process

    for _ in range(2):  # The first starts the server.
        began = time.monotonic()
        fork(tmp_path / "whole.h5", tmp_path / str(began)).join()
        duration = time.monotonic() - began
    moments = random.Random(20)
    cache, out = tmp_path / "parted", tmp_path / "parted.h5"
    for _ in range(50):
        before = parts_of(cache)
        process = fork(out, cache)
        time.sleep(moments.uniform(0.1, 1.0) * duration)
        process.kill()
        process.join()
        # What was renamed into place stays, whatever happened.
        assert before <= parts_of(cache)
        if out.exists():
            # The whole run was quicker than the kill: begin again.
            assert out.read_bytes() == (tmp_path / "whole.h5").read_bytes()
            out.unlink()
            shutil.rmtree(cache)
    assert "damaged" not in finish(start(many_images, out, cache))
    assert out.read_bytes() == (tmp_path / "whole.h5").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("locking", ["TRUE", "FALSE"])
def test_four_writers_share_one_cache(many_images, tmp_path, locking):
    overlapping = []
    files = sorted(many_images.rglob("*.png"))
    for left_out in range(4):
        folder = tmp_path / f"images{left_out}"
        for number, path in enumerate(files):
            if number % 4 != left_out:
                (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / path.parent.name / path.name)
        overlapping.append(folder)
    finish(start(many_images, tmp_path / "alone.h5", tmp_path / "alone"))
    writers = [
        start(folder, tmp_path / f"{number}.h5", tmp_path / "shared", HDF5_USE_FILE_LOCKING=locking)
        for number, folder in enumerate(overlapping)
    ]
    for process in writers:
        assert "damaged" not in finish(process)
    alone = FeatureMatrix.load(tmp_path / "alone.h5")
    for number in range(4):
        matrix = FeatureMatrix.load(tmp_path / f"{number}.h5")
        assert len(set(zip(matrix.digests, strict=True))) == matrix.n_images == 90
        places = [alone.names.index(name) for name in matrix.names]
        np.testing.assert_array_equal(matrix.X, alone.select_images(places).X)


@pytest.mark.slow
def test_a_disk_that_fills_up_stops_with_one_message_and_goes_on_with_room(many_images, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small tmpfs can be mounted by root only")
    try:
        process = start(many_images, tmp_path / "m.h5", disk)
        _, error = process.communicate(timeout=120)
        assert process.returncode == 1
        message = error.strip().splitlines()[-1]
        assert "disk is full" in message
        assert "bytes and" in message
        kept = parts_of(disk)
        assert kept
        assert not list(disk.glob(f"*/{TEMPORARY_PREFIX}*"))
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        assert "damaged" not in finish(start(many_images, tmp_path / "m.h5", disk))
        assert kept < parts_of(disk)
    finally:
        subprocess.run(["umount", disk], check=True)
    finish(start(many_images, tmp_path / "alone.h5", tmp_path / "alone"))
    assert (tmp_path / "m.h5").read_bytes() == (tmp_path / "alone.h5").read_bytes()
