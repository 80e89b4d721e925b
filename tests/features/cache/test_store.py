import subprocess
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.errors import FeatxError
from featx.features.cache.store import INDEX_NAME, FeatureStore
from featx.runtime.files import TEMPORARY_PREFIX
from tests.features.test_recipe import RECIPE


def keys_of(numbers, view=0):
    return [(f"{number:064x}", view) for number in numbers]


def digests_of(numbers):
    return [digest for digest, _ in keys_of(numbers)]


def rows_of(numbers, n_features=3):
    return np.array(numbers, dtype=np.float32)[:, np.newaxis] + np.zeros(n_features, np.float32)


def collect(store, numbers):
    into = np.full((len(numbers), 3), np.nan, dtype=np.float32)
    digests = digests_of(numbers)
    there, _ = store.collect(digests, 1, into)
    found = ~np.isnan(into).any(axis=1)
    np.testing.assert_array_equal(there.ravel(), found)
    np.testing.assert_array_equal(store.missing(digests, 1), ~there)
    return found, into


@settings(max_examples=25, deadline=None)
@given(shards=st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=10, unique=True)))
def test_what_was_added_is_found_and_nothing_else(tmp_path_factory, shards):
    store = FeatureStore(tmp_path_factory.mktemp("cache"), RECIPE)
    for numbers in shards:
        store.add(keys_of(numbers), rows_of(numbers), 0.5)
    found, into = collect(store, list(range(31)))
    expected = {number for numbers in shards for number in numbers}
    assert set(np.flatnonzero(found)) == expected
    np.testing.assert_array_equal(into[found], rows_of(sorted(expected)).reshape(-1, 3))
    assert np.isnan(into[~found]).all()


def test_rows_are_copied_to_each_place_that_needs_them(tmp_path):
    store = FeatureStore(tmp_path, RECIPE)
    for _ in range(2):
        store.add(keys_of([1, 2, 3]), rows_of([1, 2, 3]), 0)
    assert len(list(store.folder.glob("part-*.h5"))) == 1
    store.add(keys_of([9], view=2), rows_of([9]), 0)
    with h5py.File(tmp_path / "target.h5", "w") as file:
        for target in (np.zeros((6, 5)), file.create_dataset("x", (6, 5), np.float32)):
            digests = digests_of([3, 3, 9, 1, 9, 3])
            found, _ = store.collect(digests, 1, target, first_column=2)
            assert found.ravel().tolist() == [True, True, False, True, False, True]
            np.testing.assert_array_equal(target[:, 2], [3, 3, 0, 1, 0, 3])
            assert not np.any(target[:, :2])


def test_seconds_are_those_of_the_rows_used_once(tmp_path):
    store = FeatureStore(tmp_path, RECIPE)
    store.add(keys_of([1, 2]), rows_of([1, 2]), 10.0)
    store.add(keys_of([2, 3]), rows_of([2, 3]), 20.0)
    into = np.empty((3, 3), dtype=np.float32)
    _, seconds = store.collect(digests_of([1, 2, 3]), 1, into)
    assert seconds in (20.0, 25.0)


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "flip":
        content[len(content) // 2] ^= 1
    else:
        del content[len(content) // 2 if how == "truncate" else 0 :]
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["flip", "truncate", "empty", "foreign"])
def test_a_damaged_shard_is_set_aside_and_reported(tmp_path, caplog, how):
    store = FeatureStore(tmp_path, RECIPE)
    store.add(keys_of([2]), rows_of([2]), 0)
    other = FeatureStore(tmp_path, replace(RECIPE, random_state=9))
    shard = (other if how == "foreign" else store).add(keys_of([1]), rows_of([1]), 0)
    if how == "foreign":
        shard = shard.rename(store.folder / shard.name)
    else:
        damage(shard, how)
    assert collect(store, [1, 2])[0].tolist() == [False, True]
    assert (store.folder / "damaged" / shard.name).exists()
    assert shard.name in caplog.text
    assert ("another recipe" if how == "foreign" else "computed again") in caplog.text


def test_a_shard_is_readable_with_h5py_alone(tmp_path):
    store = FeatureStore(tmp_path, RECIPE)
    store.add(keys_of([5, 6]), rows_of([5, 6]), 2.0)
    (shard,) = store.folder.glob("part-*.h5")
    with h5py.File(shard) as file:
        assert file["image_sha256"][1].tobytes().hex() == f"{6:064x}"
        assert file["view"][:].tolist() == [0, 0]
        assert file.attrs["recipe"] == RECIPE.digest


def test_a_full_disk_is_reported_and_leaves_the_cache_valid(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small tmpfs can be mounted by root only")
    try:
        store = FeatureStore(disk, RECIPE)
        store.add(keys_of([1]), rows_of([1]), 0)
        with pytest.raises(FeatxError, match=r"disk is full: .* needs [\d,]+ bytes .* free"):
            store.add(keys_of(range(50)), np.ones((50, 2000)), 0)
        assert not list(store.folder.glob(f"{TEMPORARY_PREFIX}*"))
        assert collect(store, [1])[0].all()
        store.add(keys_of([2]), rows_of([2]), 0)
        assert collect(store, [1, 2])[0].all()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_an_unwritable_cache_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FeatxError, match=r"cannot be written .*--cache"):
        FeatureStore(tmp_path / "file", RECIPE).describe()


WANTED = digests_of([1, 2, 3, 4]), 1


@pytest.fixture
def read(monkeypatch):
    """Names of the shards that were read."""
    names = []
    original = FeatureStore.read

    def count(self, path):
        names.append(path.name)
        return original(self, path)

    monkeypatch.setattr(FeatureStore, "read", count)
    return names


@pytest.fixture
def cache(tmp_path):
    for numbers in ([1, 2], [3], [9]):
        FeatureStore(tmp_path, RECIPE).add(keys_of(numbers), rows_of(numbers), 1.0)
    return tmp_path


def test_shards_are_read_once_to_know_them_and_then_only_for_their_rows(cache, read):
    missing = FeatureStore(cache, RECIPE).missing(*WANTED)
    assert missing.ravel().tolist() == [False, False, False, True]
    assert len(read) == 3
    store = FeatureStore(cache, RECIPE)
    assert store.missing(*WANTED).sum() == 1
    assert len(read) == 3
    into = np.zeros((4, 3), dtype=np.float32)
    assert store.collect(*WANTED, into)[0].sum() == 3
    # The shard without such rows is skipped.
    assert len(read) == 5
    np.testing.assert_array_equal(into[:, 0], [1, 2, 3, 0])


def test_a_damaged_shard_is_noticed_though_its_keys_are_remembered(cache, caplog):
    store = FeatureStore(cache, RECIPE)
    store.missing(*WANTED)
    (shard,) = (path for path in store.folder.glob("part-*.h5") if len(store.read(path)) == 2)
    damage(shard, "flip")
    fresh = FeatureStore(cache, RECIPE)
    assert fresh.missing(*WANTED).sum() == 1
    into = np.zeros((4, 3), dtype=np.float32)
    assert fresh.collect(*WANTED, into)[0].ravel().tolist() == [False, False, True, False]
    assert "damaged" in caplog.text
    assert fresh.missing(*WANTED).sum() == 3


@pytest.mark.parametrize("how", ["flip", "truncate", "empty"])
def test_a_damaged_index_is_rebuilt(cache, read, how):
    store = FeatureStore(cache, RECIPE)
    before = store.missing(*WANTED)
    damage(store.folder / INDEX_NAME, how)
    np.testing.assert_array_equal(FeatureStore(cache, RECIPE).missing(*WANTED), before)
    assert len(read) == 6
    np.testing.assert_array_equal(FeatureStore(cache, RECIPE).missing(*WANTED), before)
    assert len(read) == 6


def test_shards_that_went_are_forgotten(cache):
    store = FeatureStore(cache, RECIPE)
    assert store.missing(*WANTED).sum() == 1
    for path in store.folder.glob("part-*.h5"):
        path.unlink()
    assert FeatureStore(cache, RECIPE).missing(*WANTED).all()


def test_digests_that_end_in_zero_bytes_are_found(tmp_path):
    digests = [f"{number:02x}" * 4 + "00" * 28 for number in range(6)]
    store = FeatureStore(tmp_path, RECIPE)
    store.add([(digest, 0) for digest in digests[1:4]], rows_of([1, 2, 3]), 0)
    assert store.missing(digests, 2)[:, 0].tolist() == [True, False, False, False, True, True]
    assert store.missing(digests, 2)[:, 1].all()


def test_the_index_answers_faster_than_the_shards(tmp_path):
    store = FeatureStore(tmp_path, RECIPE)
    digests = [f"{number:064x}" for number in range(5232)]
    for start in range(0, len(digests), 32):
        keys = [(digest, view) for digest in digests[start : start + 32] for view in range(4)]
        store.add(keys, np.zeros((len(keys), 1)), 0)
    store.save_index()

    def look_up():
        since = time.process_time()
        assert not FeatureStore(tmp_path, RECIPE).missing(digests, 4).any()
        return time.process_time() - since

    by_index = min(look_up() for _ in range(3))
    (store.folder / "keys.index").unlink()
    assert 2 * by_index < look_up()
