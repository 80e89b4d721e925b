"""Real clusters: a scheduler and workers as processes of their own, and their failures."""

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
from featx.cli import main
from featx.datasets.conversion import as_images
from featx.errors import FeatxError, UsageError
from featx.features import pipeline
from featx.features.cluster import connected
from featx.features.config import ExtractionConfig
from featx.features.pipeline import embedders_of, find_here

distributed = pytest.importorskip(
    "distributed", reason="Dask is not installed: pip install 'featx[dask]'"
)

ROOT = Path(__file__).parents[2]


class Processes:
    """A scheduler and its workers, each with a nanny, on one port."""

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
def small_chunks(monkeypatch, quick):
    """Engines that cost nothing here, too, and chunks of two images."""
    monkeypatch.setattr(pipeline, "ROWS_PER_SHARD", 8)


def settings(cache):
    return {"backbones": ["resnet50", "vgg16"], "views": 4, "weights": "random", "cache": cache}


def shards_of(cache):
    return set(cache.glob("*/part-*.h5"))


def rows_in(cache):
    total = 0
    for path in shards_of(cache):
        with h5py.File(path) as file:
            total += len(file["view"])
    return total


def test_a_cluster_and_a_laptop_fill_one_cache_as_one_machine_does(
    images, image_folder, tmp_path, client, caplog
):
    (image_folder / "NORMAL" / "p99_0.png").write_bytes(b"not an image")
    images = featx.ImageDataset.open(image_folder, r"(p\d+)_")
    alone = featx.extract(images, **settings(tmp_path / "alone"), out=tmp_path / "alone.h5")
    cache = tmp_path / "shared"
    featx.extract(images.select(range(5)), **settings(cache))
    begun = shards_of(cache)
    both = featx.extract(images, **settings(cache), client=client, out=tmp_path / "both.h5")
    assert (tmp_path / "both.h5").read_bytes() == (tmp_path / "alone.h5").read_bytes()
    assert both.unreadable == alone.unreadable
    assert [path for path, _ in both.unreadable] == ["NORMAL/p99_0.png"]
    assert begun < shards_of(cache)
    # Nothing was done twice: each row is in one shard.
    assert rows_in(cache) == 2 * 96
    there = shards_of(cache)
    featx.extract(images, **settings(cache), client=client)
    assert shards_of(cache) == there
    with pytest.raises(FeatxError, match=r"p99_0\.png is unreadable"):
        featx.extract(images, **settings(tmp_path / "strict"), client=client, strict=True)


def test_a_worker_with_other_features_stops_the_run_and_is_named(
    images, tmp_path, client, processes
):
    alone = featx.extract(images, **settings(tmp_path / "alone"))
    featx.extract(images.select([0]), **settings(tmp_path / "cache"))
    drifting = sorted(client.nthreads())
    (processes.faults / "drifting").write_text(" ".join(drifting))
    try:
        with pytest.raises(FeatxError, match="same versions on another machine") as caught:
            featx.extract(images, **settings(tmp_path / "cache"), client=client)
    finally:
        (processes.faults / "drifting").unlink()
    assert any(f"(worker {address})" in str(caught.value) for address in drifting)
    both = featx.extract(images, **settings(tmp_path / "cache"), client=client)
    np.testing.assert_array_equal(both.X, alone.X)


@pytest.mark.parametrize(
    ("addresses", "message"),
    [
        (["127.0.0.1", "", "http://127.0.0.1:8786", "tcp://h:x", "h"], "not the address of a Dask"),
        (["tcp://10.0.0.7:8786", "node7:8786", "[2001:db8::1]:8786", "127.evil.com:1"], "is open"),
        (["tls://10.0.0.7:8786"], "needs TLS keys"),
    ],
)
def test_malformed_and_open_addresses_are_refused_at_once(addresses, message):
    for address in addresses:
        with pytest.raises(UsageError, match=message):
            connected(address).__enter__()


def test_a_scheduler_that_does_not_answer_is_reported_soon(monkeypatch):
    monkeypatch.setattr("featx.features.cluster.CONNECT_SECONDS", 1)
    since = time.monotonic()
    with pytest.raises(FeatxError, match="no Dask scheduler answers at"):
        connected("tcp://127.0.0.1:9").__enter__()
    assert time.monotonic() - since < 20


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


def test_resources_that_no_worker_has_are_refused(images, tmp_path, client):
    featx.extract(
        images.select([0]), **settings(tmp_path / "c"), client=client, resources={"GPU": 1}
    )
    with pytest.raises(UsageError, match="the cluster has no worker --resources TPU=1"):
        featx.extract(images, **settings(tmp_path / "c"), client=client, resources={"TPU": 1})


def test_a_benchmark_on_a_cluster_gives_the_same_rows(images, tmp_path, client):
    settings = {"classifiers": "naive_bayes", "views": 1, "cv": 2, "weights": "random"}
    settings |= {"baselines": [], "controls": False, "learning_curve": False}
    found = {}
    for name, own in (("alone", None), ("cluster", client)):
        table = featx.benchmark(
            images,
            "resnet50",
            cache=tmp_path / name,
            out=tmp_path / f"{name}-out",
            client=own,
            **settings,
        )
        found[name] = (
            [row.estimates for row in table],
            sorted(path.read_text() for path in (tmp_path / f"{name}-out").glob("scores/*.csv")),
        )
    assert found["cluster"] == found["alone"]
    assert found["alone"][1]
    assert shards_of(tmp_path / "cluster")


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
    assert "each process that reads it is killed" in found.unreadable[0][1]
    np.testing.assert_array_equal(found.X, alone.X)
    assert "each is tried alone" in caplog.text


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
    wait_for_shards(cache, 4)
    os.kill(workers[0], signal.SIGKILL)
    wait_for_shards(cache, 8)
    processes.scheduler.kill()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert "run the same command again" in errors[0]
    assert not out.exists()
    processes.stop_all()
    there, rows = shards_of(cache), rows_in(cache)
    assert len(there) >= 8
    processes.start_all()
    with processes.client() as client:
        featx.extract(images, **settings(cache), client=client, out=out)
    (processes.faults / "slow").unlink()
    assert out.read_bytes() == (tmp_path / "alone.h5").read_bytes()
    assert there <= shards_of(cache)
    assert rows_in(cache) == len(alone) * 2
    assert rows < rows_in(cache)


def wait_for_shards(cache, count):
    since = time.monotonic()
    while len(shards_of(cache)) < count:
        assert time.monotonic() - since < 60
        time.sleep(0.02)


def test_workers_find_the_same_cache_and_weights_or_refuse(tmp_path, monkeypatch):
    place = tmp_path / "shared"
    place.mkdir()
    file = place / "resnet50_notop.weights.h5"
    file.write_bytes(b"some weights")
    config = ExtractionConfig("resnet50", cache=tmp_path / "cache", weights=file)
    (own,) = embedders_of(config)
    with pytest.raises(FeatxError, match="is not visible here"):
        find_here(own)
    own.store.describe()
    assert find_here(own).weights == own.weights
    # Elsewhere on this machine, under the name that it is looked for by.
    moved = place.rename(tmp_path / "elsewhere")
    monkeypatch.setenv("FEATX_WEIGHTS_DIR", str(moved))
    assert find_here(own).weights.path == moved / file.name
    (moved / file.name).write_bytes(b"other weights")
    with pytest.raises(FeatxError, match=f"the weights {own.weights.digest[:16]} of resnet50"):
        find_here(own)
