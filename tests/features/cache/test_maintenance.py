import multiprocessing
import os
import time
from dataclasses import replace

import numpy as np
import pytest

from featx.backbones.kept import NetworkFolder
from featx.errors import UsageError
from featx.features.cache.maintenance import list_recipes, prune, verify
from featx.features.cache.store import FeatureStore
from featx.runtime.files import TEMPORARY_PREFIX
from tests.features.cache.test_store import collect, damage, keys_of, rows_of
from tests.features.test_recipe import RECIPE


@pytest.fixture
def store(tmp_path):
    store = FeatureStore(tmp_path, RECIPE)
    for start in range(0, 30, 5):
        numbers = list(range(start, start + 7))
        store.add(keys_of(numbers), rows_of(numbers), 1.0)
    return store


def test_recipes_are_listed_with_their_sizes(store, tmp_path):
    (row,) = list_recipes(tmp_path)
    assert row["backbone"] == "vgg16"
    assert row["shards"] == 6
    assert row["bytes"] == sum(p.stat().st_size for p in store.folder.glob("part-*"))
    assert row["idle_days"] == 0.0
    with pytest.raises(UsageError, match="no cache at"):
        list_recipes(tmp_path / "absent")


def test_verify_finds_what_reading_finds(store, tmp_path):
    assert verify(tmp_path)[0]["set_aside"] == []
    shards = sorted(store.folder.glob("part-*.h5"))
    for shard, how in zip(shards, ["flip", "truncate", "empty"], strict=False):
        damage(shard, how)
    (finding,) = verify(tmp_path)
    assert finding["set_aside"] == sorted(shard.name for shard in shards[:3])
    assert finding["sound_shards"] == 3
    assert verify(tmp_path)[0]["set_aside"] == []


def write_and_read(cache, first, problems):
    """Add rows one by one, and after each look for all that this process has added."""
    store = FeatureStore(cache, RECIPE)
    for number in range(first, first + 40):
        store.add(keys_of([number]), rows_of([number]), 0.1)
        mine = list(range(first, number + 1))
        found, into = collect(store, mine)
        if not found.all() or not np.array_equal(into, rows_of(mine)):
            problems.put((number, int((~found).sum())))


def test_prune_is_safe_while_others_write_and_read(tmp_path):
    context = multiprocessing.get_context("spawn")
    problems = context.Queue()
    workers = [
        context.Process(target=write_and_read, args=(tmp_path, first, problems))
        for first in (0, 100, 200)
    ]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        prune(tmp_path)
        time.sleep(0.005)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert problems.empty()
    wanted = [number for first in (0, 100, 200) for number in range(first, first + 40)]
    assert collect(FeatureStore(tmp_path, RECIPE), wanted)[0].all()


def test_prune_deletes_damaged_and_abandoned_files_only(store, tmp_path):
    shard = next(store.folder.glob("part-*.h5"))
    damage(shard, "flip")
    verify(tmp_path)
    for folder in (store.folder, tmp_path):
        old, young = (folder / f"{TEMPORARY_PREFIX}{name}" for name in ("old", "young"))
        for path in (old, young):
            path.write_bytes(b"half a file")
        os.utime(old, (time.time() - 7200,) * 2)
    assert prune(tmp_path)["files"] == 3
    for folder in (store.folder, tmp_path):
        assert [path.name for path in folder.glob(f"{TEMPORARY_PREFIX}*")] == [young.name]
    assert verify(tmp_path)[0]["sound_shards"] == 5


def test_prune_deletes_named_and_idle_recipes(store, tmp_path):
    other = FeatureStore(tmp_path, replace(RECIPE, random_state=1))
    other.add(keys_of([1]), rows_of([1]), 0)
    for shard in other.folder.glob("part-*.h5"):
        os.utime(shard, (time.time() - 10 * 86400,) * 2)
    assert prune(tmp_path, idle_days=9)["recipes"] == [other.folder.name]
    assert not other.folder.exists()
    with pytest.raises(UsageError, match="no cached recipe 'nothing'"):
        prune(tmp_path, folders=("nothing",))
    assert prune(tmp_path, folders=(store.folder.name,))["recipes"] == [store.folder.name]
    assert [path.name for path in tmp_path.iterdir()] == ["CACHEDIR.TAG"]


def test_networks_are_listed_verified_and_pruned(store, tmp_path):
    # The second is of earlier versions.
    kept, int8 = (NetworkFolder(tmp_path / name) for name in ("networks", "quantized"))
    paths = [kept.put("vgg16", {"version": n}, b"network %d" % n) for n in range(3)]
    int8.put("vgg16", {}, b"int8")
    (tmp_path / "networks" / "mine.zip").write_bytes(b"mine")
    rows = {row["folder"]: row for row in list_recipes(tmp_path)}
    assert [(rows[name]["shards"], rows[name]["bytes"]) for name in ("networks", "quantized")] == [
        (3, 27),
        (1, 4),
    ]
    damaged = paths[0]
    damaged.write_bytes(b"network 7")
    findings = {row["folder"]: row for row in verify(tmp_path)}
    assert findings["networks"]["set_aside"] == [damaged.name]
    assert findings["networks"]["sound_shards"] == 2
    assert findings["quantized"]["unusable"] == {}
    assert "does not match" in findings["networks"]["unusable"][damaged.name]

    for path in [*tmp_path.glob("networks/*.*"), *tmp_path.glob("quantized/*.*")]:
        os.utime(path, (time.time() - 10 * 86400,) * 2)
    # A network that is found is in use.
    assert kept.read("vgg16", {"version": 1}) == b"network 1"
    assert prune(tmp_path)["files"] == 1
    prune(tmp_path, idle_days=9)
    assert kept.read("vgg16", {"version": 1}) == b"network 1"
    left = sorted(path.suffix for path in tmp_path.glob("networks/*.*"))
    assert left == [".json", ".zip", ".zip"]
    assert int8.read("vgg16", {}) is None


def test_prune_touches_nothing_of_other_programs(store, tmp_path):
    for name in ("cooking/recipe.json", "cooking/part-1.h5", "cooking/damaged/photo.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    for path in ("notes.json", "damaged/notes.txt"):
        (store.folder / path).parent.mkdir(exist_ok=True)
        (store.folder / path).write_text("mine")
    others = {path for path in tmp_path.rglob("*") if path.is_file() and "vgg16" not in str(path)}
    assert prune(tmp_path, idle_days=0)["recipes"] == [store.folder.name]
    assert others <= set(tmp_path.rglob("*"))
    left = sorted(path.name for path in store.folder.rglob("*") if path.is_file())
    assert left == ["notes.json", "notes.txt"]
    with pytest.raises(UsageError, match="no cached recipe 'cooking'"):
        prune(tmp_path, folders=("cooking",))


def test_prune_leaves_a_folder_alone_that_is_no_cache(tmp_path):
    path = tmp_path / f"{TEMPORARY_PREFIX}of-another-program"
    path.write_text("mine")
    os.utime(path, (time.time() - 7200,) * 2)
    assert prune(tmp_path)["files"] == 0
    assert path.exists()


@pytest.mark.parametrize("days", [-1, float("nan")])
def test_prune_refuses_days_that_are_none(store, tmp_path, days):
    with pytest.raises(UsageError, match="no number of days"):
        prune(tmp_path, idle_days=days)
