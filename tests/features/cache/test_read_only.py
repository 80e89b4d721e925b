"""Caches of others: read-only, with damaged shards or shards that may not be read."""

import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from featx.features.cache.store import FeatureStore
from featx.features.extraction import extract
from tests.features.cache.test_store import collect, damage, keys_of, rows_of
from tests.features.test_recipe import RECIPE

pytestmark = pytest.mark.usefixtures("quick")


@contextmanager
def read_only(folder):
    """Refuse writes, for root as well."""
    if os.geteuid():
        modes = {path: path.stat().st_mode for path in (folder, *folder.glob("*/"))}
        for path in modes:
            path.chmod(0o555)
        yield
        for path, mode in modes.items():
            path.chmod(mode)
        return
    if subprocess.run(["mount", "--bind", folder, folder], capture_output=True).returncode:
        pytest.skip("root cannot mount here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def cache(images, tmp_path):
    extract(images, "efficientnet_lite0@64", views=2, cache=tmp_path / "cache")
    return tmp_path / "cache"


def again(images, cache, views=2):
    return extract(images, "efficientnet_lite0@64", views=views, cache=cache)


@pytest.mark.parametrize("how", ["flip", "truncate", "empty"])
def test_a_damaged_shard_is_computed_again_without_writing(images, cache, how, caplog, run_featx):
    expected = again(images, cache).X
    (shard,) = cache.glob("*/part-*.h5")
    damage(shard, how)
    with read_only(cache):
        np.testing.assert_array_equal(again(images, cache).X, expected)
        code, _, error = run_featx("cache", "verify", "--cache", cache)
        assert code == 1 and "1 shards are damaged or cannot be read, 0 of them" in error
    text = caplog.text
    assert text.count(f"Cache shard {shard} is damaged") == 2  # of extraction and verification
    assert "cannot be moved away" in text and "kept for this run only" in text
    assert not list(Path(tempfile.gettempdir()).glob("featx-rows-*"))
    code, _, error = run_featx("cache", "verify", "--cache", cache)
    assert code == 1 and "1 of them set aside" in error
    assert run_featx("cache", "verify", "--cache", cache)[0] == 0


def test_new_rows_of_a_read_only_cache_are_right(images, cache, tmp_path):
    with read_only(cache):
        found = again(images, cache, views=3)
    np.testing.assert_array_equal(found.X, again(images, tmp_path / "own", views=3).X)


def test_a_shard_that_may_not_be_read_is_named(caplog, run_featx, monkeypatch):
    # Another user may not enter a private $TMPDIR.
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shard = FeatureStore(Path(folder), RECIPE).add(keys_of([1, 2]), rows_of([1, 2]), 1.0)
        shard.chmod(0o000)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            store = FeatureStore(Path(folder), RECIPE)
            assert not collect(store, [1, 2])[0].any()
            store.add(keys_of([1, 2]), rows_of([1, 2]), 1.5)
            np.testing.assert_array_equal(collect(store, [1, 2])[1], rows_of([1, 2]))
            code, _, error = run_featx("cache", "verify", "--cache", folder)
        finally:
            os.seteuid(user)
    assert code == 1 and "1 shards are damaged or cannot be read" in error
    assert f"{shard} cannot be read (Permission denied)" in caplog.text
    assert "chmod a+r" in caplog.text
