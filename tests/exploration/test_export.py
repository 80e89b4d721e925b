import csv
import json

import numpy as np
import pytest

import featx
from featx.errors import UsageError
from tests.classifiers.makers import make_matrix


def test_numpy_has_the_features_and_a_table_of_rows(tmp_path):
    matrix = make_matrix(6)
    files = featx.export(matrix, tmp_path / "f.npy")
    assert [path.name for path in files] == ["f.npy", "f.csv"]
    np.testing.assert_array_equal(np.load(files[0], allow_pickle=False), matrix.X)
    with files[1].open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["image"] for line in lines[:3]] == ["image0.png", "image0.png", "image1.png"]
    assert [line["label"] for line in lines] == matrix.y.tolist()
    assert lines[2]["patient"] == "patient000"


def test_parquet_is_a_frame_with_recipes(tmp_path, run_featx):
    parquet = pytest.importorskip("pyarrow.parquet")
    matrix = make_matrix(6)
    matrix.save(tmp_path / "m.h5")
    words = ["export", tmp_path / "m.h5", "--out", tmp_path / "f.parquet"]
    code, text, _ = run_featx(*words)
    assert code == 0 and str(tmp_path / "f.parquet") in text
    table = parquet.read_table(tmp_path / "f.parquet")
    assert table.column_names[:5] == ["image", "view", "label", "patient", "split"]
    assert table.column_names[5:] == matrix.feature_names
    np.testing.assert_array_equal(table[matrix.feature_names[3]], matrix.X[:, 3])
    recipes = json.loads(table.schema.metadata[b"featx_recipes"])
    assert recipes == [dict(recipe) for recipe in matrix.recipes]
    code, _, error = run_featx(*words)
    assert code == 2 and "exists and is no such file" in error


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"give .parquet or .npy"):
        featx.export(make_matrix(6), tmp_path / "f.mat")
