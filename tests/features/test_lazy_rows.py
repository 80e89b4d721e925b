"""Rows that are read only where they are indexed are the rows of the file."""

import errno
from dataclasses import replace

import numpy as np
import pytest

from featx.features.lazy_rows import LazyRows, open_rows, row_blocks
from featx.features.matrix import FeatureMatrix
from tests.classifiers.makers import make_matrix

NUMBERS = [slice(None), slice(2, 5), np.array([4, 5, 6]), np.array([6, 0, 1, 6]), np.arange(0)]


@pytest.fixture
def values(generator):
    return generator.normal(size=(8, 3)).astype(np.float32)


@pytest.fixture
def path(values, tmp_path):
    path = tmp_path / "rows"
    path.write_bytes(b"a head of 20 bytes.." + values.tobytes())
    return path


@pytest.mark.parametrize("which", NUMBERS)
def test_a_file_that_cannot_be_mapped_is_read(values, path, monkeypatch, which):
    def too_large(*_, **__):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(np, "memmap", too_large)
    rows = open_rows(path, 20, values.shape)
    assert isinstance(rows, LazyRows)
    np.testing.assert_array_equal(rows[which], values[which])


def test_another_error_than_a_full_address_space_is_raised(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_rows(tmp_path / "none", 0, (1, 1))


@pytest.mark.parametrize("which", NUMBERS)
def test_selections_stand_side_by_side(values, which):
    order = np.array([7, 3, 4, 5, 0, 1, 2])
    lazy = LazyRows([values, values[:, :1]]).select(order)
    expected = np.hstack([values, values[:, :1]])[order]
    assert (lazy.shape, lazy.nbytes) == (expected.shape, expected.nbytes)
    np.testing.assert_array_equal(lazy[which], expected[which])
    np.testing.assert_array_equal(np.asarray(lazy), expected)


def test_blocks_are_all_rows_in_order(values):
    blocks = list(row_blocks(values, np.array([5, 1, 2]), size=2 * values[0].nbytes))
    assert [place for place, _ in blocks] == [slice(0, 2), slice(2, 3)]
    np.testing.assert_array_equal(np.concatenate([b for _, b in blocks]), values[[5, 1, 2]])


def test_a_lazy_matrix_selects_and_saves_as_one_in_memory(tmp_path):
    matrix = make_matrix(n_images=20, features=5)
    matrix.save(tmp_path / "matrix.h5")
    lazy = FeatureMatrix.load(tmp_path / "matrix.h5").lazily()
    for change in (lambda m: m.select_images([7, 2, 11]), lambda m: m.select_views(1)):
        assert isinstance(change(lazy).X, LazyRows)
        np.testing.assert_array_equal(np.asarray(change(lazy).X), change(matrix).X)
    lazy.select_views(1).save(tmp_path / "first.h5")
    np.testing.assert_array_equal(
        FeatureMatrix.load(tmp_path / "first.h5").X, matrix.select_views(1).X
    )


def test_matrices_too_large_to_join_in_memory_stay_where_they_are(monkeypatch):
    matrix = make_matrix(n_images=20, features=5)
    pair = [matrix, replace(matrix, recipes=({**matrix.recipes[0], "backbone": "vgg16"},))]
    together = FeatureMatrix.join(pair)
    monkeypatch.setattr("featx.features.joining.available_memory", lambda: 100)
    lazy = FeatureMatrix.join(pair)
    assert isinstance(lazy.X, LazyRows)
    np.testing.assert_array_equal(np.asarray(lazy.X), together.X)
    assert FeatureMatrix.join([matrix]).X is matrix.X
