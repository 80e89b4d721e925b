from __future__ import annotations

import numpy as np
import pytest

from featx.features.cache.part_index import INDEX_NAME
from featx.features.cache.store import FeatureStore
from featx.features.wanted import WantedRows
from tests.features.cache.test_store import damage, keys_of, rows_of
from tests.features.test_recipe import RECIPE

WANTED = WantedRows([digest for digest, _ in keys_of([1, 2, 3, 4])], views=1)


@pytest.fixture
def read(monkeypatch):
    """Names of the parts that were read."""
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


def test_parts_are_read_once_to_know_them_and_then_only_for_their_rows(cache, read):
    assert FeatureStore(cache, RECIPE).there(WANTED).ravel().tolist() == [True, True, True, False]
    assert len(read) == 3
    store = FeatureStore(cache, RECIPE)
    assert store.there(WANTED).sum() == 3
    assert len(read) == 3
    into = np.zeros((4, 3), dtype=np.float32)
    assert store.collect(WANTED, into)[0].sum() == 3
    # Not the one that holds nothing wanted.
    assert len(read) == 5
    np.testing.assert_array_equal(into[:, 0], [1, 2, 3, 0])


def test_a_damaged_part_is_noticed_though_its_keys_are_remembered(cache, caplog):
    store = FeatureStore(cache, RECIPE)
    store.there(WANTED)
    (part,) = (path for path in store.folder.glob("part-*.h5") if len(store.read(path)) == 2)
    damage(part, "flip")
    fresh = FeatureStore(cache, RECIPE)
    assert fresh.there(WANTED).sum() == 3
    into = np.zeros((4, 3), dtype=np.float32)
    assert fresh.collect(WANTED, into)[0].ravel().tolist() == [False, False, True, False]
    assert "damaged" in caplog.text
    assert fresh.there(WANTED).sum() == 1


@pytest.mark.parametrize("how", ["flip", "truncate", "empty"])
def test_a_damaged_index_is_passed_over_and_written_anew(cache, read, how):
    store = FeatureStore(cache, RECIPE)
    before = store.there(WANTED)
    damage(store.folder / INDEX_NAME, how)
    np.testing.assert_array_equal(FeatureStore(cache, RECIPE).there(WANTED), before)
    assert len(read) == 6
    np.testing.assert_array_equal(FeatureStore(cache, RECIPE).there(WANTED), before)
    assert len(read) == 6


def test_parts_that_went_are_forgotten(cache):
    store = FeatureStore(cache, RECIPE)
    assert store.there(WANTED).sum() == 3
    for path in store.folder.glob("part-*.h5"):
        path.unlink()
    assert not FeatureStore(cache, RECIPE).there(WANTED).any()
