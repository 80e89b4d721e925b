from __future__ import annotations

import subprocess

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.errors import FeatxError
from featx.features.cache.store import FeatureStore
from featx.features.wanted import WantedRows
from featx.runtime.files import TEMPORARY_PREFIX, put_bytes
from tests.features.test_recipe import RECIPE


def keys_of(numbers, view=0):
    return [(f"{number:064x}", view) for number in numbers]


def rows_of(numbers, n_features=3):
    return np.array(numbers, dtype=np.float32)[:, np.newaxis] + np.zeros(n_features, np.float32)


def collect(store, numbers):
    into = np.full((len(numbers), 3), np.nan, dtype=np.float32)
    wanted = WantedRows([digest for digest, _ in keys_of(numbers)], views=1)
    cells, _ = store.collect(wanted, into)
    found = ~np.isnan(into).any(axis=1)
    assert cells.sum() == found.sum()
    np.testing.assert_array_equal(store.there(wanted), cells)
    return found, into


@settings(max_examples=25, deadline=None)
@given(parts=st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=10, unique=True)))
def test_what_was_added_is_found_and_nothing_else(tmp_path_factory, parts):
    store = FeatureStore(tmp_path_factory.mktemp("cache"), RECIPE)
    for numbers in parts:
        store.add(keys_of(numbers), rows_of(numbers), 0.5)
    found, into = collect(store, list(range(31)))
    expected = {number for numbers in parts for number in numbers}
    assert set(np.flatnonzero(found)) == expected
    np.testing.assert_array_equal(into[found], rows_of(sorted(expected)).reshape(-1, 3))
    assert np.isnan(into[~found]).all()


def test_rows_go_wherever_they_are_wanted(tmp_path):
    store = FeatureStore(tmp_path, RECIPE)
    store.add(keys_of([1, 2, 3]), rows_of([1, 2, 3]), 0)
    with h5py.File(tmp_path / "target.h5", "w") as file:
        for target in (np.zeros((6, 5)), file.create_dataset("x", (6, 5), np.float32)):
            wanted = WantedRows([key for key, _ in keys_of([3, 3, 9, 1, 9, 3])], views=1)
            found, _ = store.collect(wanted, target, first_column=2)
            assert found.ravel().tolist() == [True, True, False]
            np.testing.assert_array_equal(target[:, 2], [3, 3, 0, 1, 0, 3])
            assert not np.any(target[:, :2])
    (part,) = store.parts()
    assert part.keys == keys_of([1, 2, 3])


def test_views_are_told_apart(tmp_path):
    store = FeatureStore(tmp_path, RECIPE)
    store.add(keys_of([1], view=2), rows_of([7]), 0)
    assert not collect(store, [1])[0].any()


def test_seconds_are_those_of_the_rows_used_once(tmp_path):
    store = FeatureStore(tmp_path, RECIPE)
    store.add(keys_of([1, 2]), rows_of([1, 2]), 10.0)
    store.add(keys_of([2, 3]), rows_of([2, 3]), 20.0)
    into = np.empty((3, 3), dtype=np.float32)
    wanted = WantedRows([key for key, _ in keys_of([1, 2, 3])], views=1)
    _, seconds = store.collect(wanted, into)
    assert seconds in (20.0, 25.0)


def test_the_same_rows_are_the_same_file(tmp_path):
    store = FeatureStore(tmp_path, RECIPE)
    for _ in range(2):
        store.add(keys_of([1]), rows_of([1]), 1.0)
    assert len(list(store.folder.glob("part-*.h5"))) == 1


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "flip":
        content[len(content) // 2] ^= 1
    elif how == "truncate":
        del content[len(content) // 2 :]
    else:
        content.clear()
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["flip", "truncate", "empty"])
def test_a_damaged_part_is_set_aside_and_told(tmp_path, caplog, how):
    store = FeatureStore(tmp_path, RECIPE)
    store.add(keys_of([1]), rows_of([1]), 0)
    (part,) = store.folder.glob("part-*.h5")
    store.add(keys_of([2]), rows_of([2]), 0)
    damage(part, how)
    assert collect(store, [1, 2])[0].tolist() == [False, True]
    assert (store.folder / "damaged" / part.name).exists()
    message = caplog.text
    assert part.name in message
    assert "computed again" in message


def test_a_part_of_another_recipe_is_set_aside(tmp_path, caplog):
    from dataclasses import replace

    other = FeatureStore(tmp_path, replace(RECIPE, random_state=9))
    other.add(keys_of([1]), rows_of([1]), 0)
    store = FeatureStore(tmp_path, RECIPE)
    store.describe()
    (part,) = other.folder.glob("part-*.h5")
    part.rename(store.folder / part.name)
    assert not collect(store, [1])[0].any()
    assert "another recipe" in caplog.text


def test_a_part_is_readable_with_h5py_alone(tmp_path):
    store = FeatureStore(tmp_path, RECIPE)
    store.add(keys_of([5, 6]), rows_of([5, 6]), 2.0)
    (part,) = store.folder.glob("part-*.h5")
    with h5py.File(part) as file:
        assert file["image_sha256"][1].tobytes().hex() == f"{6:064x}"
        assert file["view"][:].tolist() == [0, 0]
        assert file.attrs["recipe"] == RECIPE.digest


def test_a_full_disk_is_told_and_leaves_the_cache_valid(tmp_path):
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


def test_an_unwritable_cache_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FeatxError, match=r"cannot be written .*--cache"):
        FeatureStore(tmp_path / "file", RECIPE).describe()


def test_put_bytes_leaves_no_temporary_file(tmp_path):
    put_bytes(tmp_path / "a", b"one")
    put_bytes(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
