"""Ctrl-C as users press it: real processes, real signals, at moments that are chosen."""

import os
import signal
import subprocess
import sys
import time

import pytest

from featx.features.extraction import extract
from featx.features.pipeline import ENGINES
from featx.runtime.files import TEMPORARY_PREFIX
from tests.conftest import WITH_SIGINT
from tests.features.worker import quick_engine

# The command line with quick features, and with a place to be stuck in: compiled code that no
# signal wakes up, as a network or a fit is, or Python that one does.
SCRIPT = """
import hashlib, sys, time
from pathlib import Path
from featx.cli import main
from featx.features import pipeline
from featx.features.matrix import FeatureMatrix
from tests.features.worker import QuickEngine

place, reached, *arguments = sys.argv[1:]

def stick():
    Path(reached).touch()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)

def wait():
    Path(reached).touch()
    time.sleep(600)

class Engine(QuickEngine):
    batches = 0
    def embed(self, pixels):
        Engine.batches += 1
        # The probe comes first.
        if Engine.batches == 3 and place == "network":
            stick()
        return super().embed(pixels)

class Store(pipeline.FeatureStore):
    shards = 0
    def add(self, keys, features, seconds):
        Store.shards += 1
        # The first shard is in the cache by now.
        if Store.shards == 2 and place in ("python", "clean-up"):
            wait()
        if Store.shards == 3 and place == "clean-up":
            Path(reached + "-2").touch()
            hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
        return super().add(keys, features, seconds)

class Target:
    def __init__(self, into):
        self.into = into
    def __setitem__(self, place, rows):
        self.into[place] = rows
        self.into.file.flush()
        stick()

pipeline.ROWS_PER_BATCH, pipeline.ROWS_PER_SHARD = 8, 8
pipeline.ENGINES.factory = lambda embedder: Engine(embedder.backbone.features)
pipeline.FeatureStore = Store
if place == "writing":
    save = FeatureMatrix.save_rows
    FeatureMatrix.save_rows = lambda self, path, shape, fill: save(
        self, path, shape, lambda into: fill(Target(into))
    )
main(arguments)
"""


@pytest.fixture
def featx(image_folder, tmp_path):
    """Start `featx extract`, made to be stuck somewhere."""
    processes = []

    def start(place, environment=WITH_SIGINT):
        command = [sys.executable, "-c", SCRIPT, place, str(tmp_path / "reached")]
        command += ["extract", str(image_folder), "--patients", r"(p\d+)_", "--views", "2"]
        command += ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out" / "m.h5")]
        process = subprocess.Popen([*environment, *command], stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


def until(path, process):
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)


def left_over(folder):
    return list(folder.rglob(f"{TEMPORARY_PREFIX}*"))


def check_it_goes_on(start, tmp_path):
    """Check that the command ends as one that was not interrupted, byte for byte."""
    process = start("nowhere")
    _, error = process.communicate()
    assert process.returncode == 0
    assert "damaged" not in error
    with ENGINES.using(quick_engine):
        options = {"views": 2, "cache": tmp_path / "alone", "patients": r"(p\d+)_"}
        extract(tmp_path / "xrays", out=tmp_path / "whole.h5", **options)
    assert (tmp_path / "out" / "m.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert not left_over(tmp_path)


def test_the_first_stops_in_good_order(featx, tmp_path):
    process = featx("python")
    until(tmp_path / "reached", process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    assert "run the same command again to continue" in error
    assert "Traceback" not in error
    assert not left_over(tmp_path)
    # What was embedded is kept.
    assert list(tmp_path.glob("cache/*/part-*.h5"))
    check_it_goes_on(featx, tmp_path)


@pytest.mark.parametrize("place", ["network", "clean-up", "writing"])
def test_the_second_stops_at_once(featx, tmp_path, place):
    process = featx(place)
    until(tmp_path / "reached", process)
    if place == "writing":
        assert left_over(tmp_path / "out")
    process.send_signal(signal.SIGINT)
    lines = iter(process.stderr.readline, "")
    assert any("press Ctrl-C again" in line for line in lines)
    if place == "clean-up":
        until(tmp_path / "reached-2", process)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    assert "run the same command again to continue" in error
    assert not left_over(tmp_path)
    assert not (tmp_path / "out" / "m.h5").exists()
    check_it_goes_on(featx, tmp_path)


def test_a_process_that_ignores_interrupts_goes_on_doing_so(featx, tmp_path):
    process = featx("python", environment=["env", "--ignore-signal=INT"])
    until(tmp_path / "reached", process)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    os.kill(process.pid, signal.SIGTERM)
    process.communicate()
    assert process.returncode == -signal.SIGTERM
