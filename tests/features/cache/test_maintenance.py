from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import replace

import numpy as np
import pytest

from featx.errors import UsageError
from featx.features.cache.maintenance import compact, list_recipes, prune, verify
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


def test_list(store, tmp_path):
    (row,) = list_recipes(tmp_path)
    assert row["backbone"] == "vgg16"
    assert row["parts"] == 6
    assert row["bytes"] == sum(p.stat().st_size for p in store.folder.glob("part-*"))
    assert row["idle_days"] == 0.0


def test_verify_finds_what_reading_finds(store, tmp_path):
    assert verify(tmp_path)[0]["set_aside"] == []
    parts = sorted(store.folder.glob("part-*.h5"))
    for part, how in zip(parts, ["flip", "truncate", "empty"], strict=False):
        damage(part, how)
    (finding,) = verify(tmp_path)
    assert finding["set_aside"] == sorted(part.name for part in parts[:3])
    assert finding["sound_parts"] == 3
    assert verify(tmp_path)[0]["set_aside"] == []


def test_compact_keeps_every_row_once(store, tmp_path):
    before = collect(store, list(range(32)))
    (result,) = compact(tmp_path)
    assert result == {"folder": store.folder.name, "parts_before": 6, "parts_after": 1}
    after = collect(store, list(range(32)))
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])
    assert sum(len(part.keys) for part in store.parts()) == 32
    assert compact(tmp_path)[0]["parts_after"] == 1


def test_compact_keeps_library_versions_apart(store, tmp_path):
    store.add(keys_of([50]), rows_of([50]), 1.0, versions='{"keras": "0"}')
    store.add(keys_of([51]), rows_of([51]), 1.0, versions='{"keras": "0"}')
    assert compact(tmp_path)[0]["parts_after"] == 2
    assert len({part.versions for part in store.parts()}) == 2


def write_and_read(cache, first, problems):
    """Add rows one by one, and after each look for all that this process has added."""
    store = FeatureStore(cache, RECIPE)
    for number in range(first, first + 40):
        store.add(keys_of([number]), rows_of([number]), 0.1)
        mine = list(range(first, number + 1))
        found, into = collect(store, mine)
        if not found.all() or not np.array_equal(into, rows_of(mine)):
            problems.put((number, int((~found).sum())))


def test_compact_and_prune_are_safe_beside_writers_and_readers(tmp_path):
    context = multiprocessing.get_context("spawn")
    problems = context.Queue()
    workers = [
        context.Process(target=write_and_read, args=(tmp_path, first, problems))
        for first in (0, 100, 200)
    ]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        if tmp_path.glob("*/recipe.json"):
            compact(tmp_path)
            prune(tmp_path)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert problems.empty()
    wanted = [number for first in (0, 100, 200) for number in range(first, first + 40)]
    assert collect(FeatureStore(tmp_path, RECIPE), wanted)[0].all()


def test_prune_deletes_only_what_is_of_no_use(store, tmp_path):
    part = next(store.folder.glob("part-*.h5"))
    damage(part, "flip")
    list(store.parts())
    for folder in (store.folder, tmp_path):
        old, young = (folder / f"{TEMPORARY_PREFIX}{name}" for name in ("old", "young"))
        for path in (old, young):
            path.write_bytes(b"half a file")
        os.utime(old, (time.time() - 7200,) * 2)
    assert prune(tmp_path)["files"] == 3
    for folder in (store.folder, tmp_path):
        assert [path.name for path in folder.glob(f"{TEMPORARY_PREFIX}*")] == [young.name]
    assert len(list(store.parts())) == 5


def test_prune_deletes_named_and_idle_recipes(store, tmp_path):
    other = FeatureStore(tmp_path, replace(RECIPE, random_state=1))
    other.add(keys_of([1]), rows_of([1]), 0)
    for part in other.folder.glob("part-*.h5"):
        os.utime(part, (time.time() - 10 * 86400,) * 2)
    assert prune(tmp_path, idle_days=9)["recipes"] == [other.folder.name]
    assert not other.folder.exists()
    with pytest.raises(UsageError, match="no recipe 'nothing'"):
        prune(tmp_path, folders=("nothing",))
    assert prune(tmp_path, folders=(store.folder.name,))["recipes"] == [store.folder.name]
    assert list(tmp_path.iterdir()) == []


def test_there_must_be_a_cache(tmp_path):
    with pytest.raises(UsageError, match="no cache at"):
        list_recipes(tmp_path / "absent")
