"""Real clusters: a scheduler and workers as processes of their own, and what befalls them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest

import featx
from featx.backbones.registry import get_backbone
from featx.backbones.weights import find_weights
from featx.cli import main
from featx.datasets.formats import as_images
from featx.errors import FeatxError, UsageError
from featx.features import cluster, cluster_worker, embedding
from featx.features.embedding import Embedding
from featx.features.recipe import Recipe
from featx.images.augmentation import POLICIES
from tests.features.worker import QuickEngine

distributed = pytest.importorskip(
    "distributed", reason="Dask is not installed: pip install 'featx[dask]'"
)

ROOT = Path(__file__).parents[2]


class Processes:
    """A scheduler and its workers, each with a nanny, on one port for life."""

    def __init__(self, place):
        self.place = place
        self.faults = place / "faults"
        self.faults.mkdir()
        self.running = []
        self.port = "0"

    def start(self, *command):
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "FEATX_TEST_FAULTS": str(self.faults),
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
            # Workers of a scheduler that is gone are to go soon.
            "DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT": "1s",
        }
        log = (self.place / f"log-{len(self.running)}").open("w+b")
        process = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + command[0], *command[1:]],
            cwd=self.place,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.running.append((process, log))
        return process, log

    def start_all(self):
        self.scheduler, log = self.start(
            "scheduler", "--host", "127.0.0.1", "--port", self.port, "--no-dashboard"
        )
        while not (found := re.search(rb"tcp://127.0.0.1:(\d+)", Path(log.name).read_bytes())):
            assert self.scheduler.poll() is None, Path(log.name).read_text()
            time.sleep(0.05)
        self.port = found[1].decode()
        self.address = f"tcp://127.0.0.1:{self.port}"
        for resources in ("GPU=1", "CPU=1"):
            self.start(
                "worker",
                self.address,
                *("--nthreads", "1", "--nworkers", "1", "--no-dashboard"),
                *("--resources", resources, "--preload", "tests.features.quick_worker"),
            )

    def stop_all(self):
        for process, log in self.running:
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()
            process.wait()
            log.close()
        self.running.clear()

    def client(self):
        client = distributed.Client(self.address, set_as_default=False)
        client.wait_for_workers(2, timeout=60)
        return client


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    found = Processes(tmp_path_factory.mktemp("cluster"))
    found.start_all()
    yield found
    found.stop_all()


@pytest.fixture
def client(processes):
    with processes.client() as client:
        yield client


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Engines that cost nothing here, too, and batches of two images."""
    monkeypatch.setattr(
        embedding.Embedding, "_make_engine", lambda self: QuickEngine(self.backbone.features)
    )
    monkeypatch.setattr(cluster, "ROWS_A_PART", 8)


def settings(cache):
    return {"backbone": ["resnet50", "vgg16"], "views": 4, "weights": "random", "cache": cache}


def parts_of(cache):
    return set(cache.glob("*/part-*.h5"))


def rows_in(cache):
    total = 0
    for path in parts_of(cache):
        with h5py.File(path) as file:
            total += len(file["view"])
    return total


def test_a_cluster_and_a_laptop_fill_one_cache_as_one_machine_does(
    images, image_folder, tmp_path, client, capsys
):
    (image_folder / "NORMAL" / "p99_0.png").write_bytes(b"not an image")
    images = featx.ImageDataset.open(image_folder, r"(p\d+)_")
    alone = featx.extract(images, **settings(tmp_path / "alone"), out=tmp_path / "alone.h5")
    cache = tmp_path / "shared"
    featx.extract(images.select(range(5)), **settings(cache))
    begun = parts_of(cache)
    both = featx.extract(images, **settings(cache), client=client, out=tmp_path / "both.h5")
    assert (tmp_path / "both.h5").read_bytes() == (tmp_path / "alone.h5").read_bytes()
    assert both.unreadable == alone.unreadable
    assert [path for path, _ in both.unreadable] == ["NORMAL/p99_0.png"]
    assert begun < parts_of(cache)
    # Nothing was done twice: each row stands in one part.
    assert rows_in(cache) == 2 * 96
    there = parts_of(cache)
    featx.extract(images, **settings(cache), client=client)
    assert parts_of(cache) == there
    with pytest.raises(FeatxError, match=r"p99_0\.png is unreadable"):
        featx.extract(images, **settings(tmp_path / "strict"), client=client, strict=True)


def test_a_worker_with_other_features_is_left_out(images, tmp_path, client, processes, caplog):
    alone = featx.extract(images, **settings(tmp_path / "alone"))
    featx.extract(images.select([0]), **settings(tmp_path / "cache"))
    drifting, sound = sorted(client.nthreads())
    (processes.faults / "drifting").write_text(drifting)
    try:
        both = featx.extract(images, **settings(tmp_path / "cache"), client=client)
        np.testing.assert_array_equal(both.X, alone.X)
        said = caplog.text
        assert f"The worker {drifting} is left out" in said
        assert "same versions on another machine" in said
        assert sound not in said
        (processes.faults / "drifting").write_text(f"{drifting} {sound}")
        featx.extract(images.select([0]), **settings(tmp_path / "other"))
        with pytest.raises(FeatxError, match="no worker of the cluster is fit; tcp://"):
            featx.extract(images, **settings(tmp_path / "other"), client=client)
    finally:
        (processes.faults / "drifting").unlink()


def test_the_command_takes_a_scheduler_and_urls(image_folder, tmp_path, processes, capsys):
    cache, out = tmp_path / "cache", tmp_path / "out.h5"
    table = tmp_path / "table.csv"
    paths = sorted(image_folder.glob("*/p0[0-9]_0.png"))
    rows = [f"file://{path},{path.parent.name}" for path in paths]
    table.write_text("\n".join(["path,label", *rows]))
    words = f"extract {table} --backbone resnet50 --weights random --cache {cache} --out {out}"
    with pytest.raises(SystemExit) as done:
        main([*words.split(), "--scheduler", processes.address, "--resources", "CPU=1"])
    assert not done.value.code
    assert f"Cluster {processes.address}: 2 workers, 2 threads." in capsys.readouterr().err
    matrix = featx.FeatureMatrix.load(out)
    assert matrix.names == tuple(f"{path.parent.name}/{path.name}" for path in paths)
    local = as_images(paths)
    alone = featx.extract(local, "resnet50", weights="random", cache=tmp_path / "alone")
    np.testing.assert_array_equal(matrix.X, alone.X)
    with pytest.raises(SystemExit) as done:
        main([*words.split(), "--resources", "GPU=1"])
    assert done.value.code == 2


def test_resources_pin_batches_to_the_workers_that_have_them(images, tmp_path, client):
    featx.extract(images, **settings(tmp_path / "cache"), client=client, resources={"GPU": 1})
    with pytest.raises(UsageError, match="no worker of the cluster has the resources TPU=1"):
        featx.extract(images, **settings(tmp_path / "c"), client=client, resources={"TPU": 1})


@pytest.mark.slow
def test_an_image_that_ends_its_reader_is_found_and_named(
    images, tmp_path, client, processes, caplog
):
    deadly = 7
    others = images.select([number for number in range(24) if number != deadly])
    alone = featx.extract(others, **settings(tmp_path / "alone"))
    (processes.faults / "deadly").write_text(images.digest(deadly))
    try:
        found = featx.extract(images, **settings(tmp_path / "cache"), client=client)
    finally:
        (processes.faults / "deadly").unlink()
    assert [path for path, _ in found.unreadable] == [images.names[deadly]]
    assert "ends the process that reads it" in found.unreadable[0][1]
    np.testing.assert_array_equal(found.X, alone.X)
    assert "to find those that are to blame" in caplog.text


@pytest.mark.slow
def test_a_killed_worker_and_a_lost_scheduler_cost_at_most_their_batches(
    images, tmp_path, processes
):
    alone = featx.extract(images, **settings(tmp_path / "a"), out=tmp_path / "alone.h5")
    cache, out = tmp_path / "cache", tmp_path / "out.h5"
    (processes.faults / "slow").write_text("0.3")
    errors = []

    def run():
        with processes.client() as client:
            try:
                featx.extract(images, **settings(cache), client=client, out=out)
            except FeatxError as error:
                errors.append(str(error))

    with processes.client() as client:
        workers = list(client.run(os.getpid).values())
    thread = threading.Thread(target=run)
    thread.start()
    wait_for_parts(cache, 4)
    os.kill(workers[0], signal.SIGKILL)
    wait_for_parts(cache, 8)
    processes.scheduler.kill()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert "run the same command" in errors[0]
    assert not out.exists()
    processes.stop_all()
    there, rows = parts_of(cache), rows_in(cache)
    assert len(there) >= 8
    processes.start_all()
    with processes.client() as client:
        featx.extract(images, **settings(cache), client=client, out=out)
    (processes.faults / "slow").unlink()
    assert out.read_bytes() == (tmp_path / "alone.h5").read_bytes()
    assert there <= parts_of(cache)
    assert rows_in(cache) == len(alone) * 2
    assert rows < rows_in(cache)


def wait_for_parts(cache, count):
    since = time.monotonic()
    while len(parts_of(cache)) < count:
        assert time.monotonic() - since < 60
        time.sleep(0.02)


def test_files_that_changed_and_weights_that_are_others_are_refused(images, tmp_path, monkeypatch):
    source = tmp_path / "image.png"
    source.write_bytes(images.sources[0].read_bytes())
    known = cluster_worker._KnownImages(
        **{**vars(images.select([0])), "sources": (source,), "digests": (images.digest(0),)}
    )
    assert (known.read(0) == images.read(0)).all()
    source.write_bytes(images.sources[1].read_bytes())
    with pytest.raises(FeatxError, match="other bytes here than when it was listed"):
        known.read(0)

    place = tmp_path / "shared"
    place.mkdir()
    backbone = get_backbone("resnet50")
    file = place / "resnet50_notop.weights.h5"
    file.write_bytes(b"some weights")
    weights = find_weights(backbone, file)
    recipe = Recipe("resnet50", weights.digest, (224, 224), POLICIES["none"], 0, "gray")
    own = Embedding(recipe, backbone, weights, tmp_path, "auto")
    assert cluster_worker._find_weights(own) == weights
    # Elsewhere on this machine, under the name that it is looked for by.
    moved = place.rename(tmp_path / "elsewhere")
    monkeypatch.setenv("FEATX_WEIGHTS_DIR", str(moved))
    assert cluster_worker._find_weights(own).path == moved / file.name
    (moved / file.name).write_bytes(b"other weights")
    with pytest.raises(FeatxError, match=f"the weights {weights.digest[:16]} of resnet50"):
        cluster_worker._find_weights(own)
    with pytest.raises(FeatxError, match="is not seen from here"):
        _ = cluster_worker._OnWorker(recipe, backbone, weights, tmp_path, "auto").engine_here
