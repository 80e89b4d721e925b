import logging

import numpy as np
import pandas
import pytest

from featx.errors import UsageError
from featx.features.matrix import FeatureMatrix

NAMES = [f"scans/{name}" for name in ("A/1.png", "A/2.png", "B/1.png", "B/3.png")]


def unlabeled(X, names, views):
    """Features of images of which nothing is known."""
    count = len(names)
    return FeatureMatrix(
        X=X,
        image=np.repeat(np.arange(count), views),
        view=np.tile(np.arange(views), count),
        names=tuple(names),
        digests=tuple(f"{number:064x}" for number in range(count)),
        labels=np.full(count, -1),
        patients=np.array(names),
        splits=np.array([""] * count),
        class_names=(),
        patients_known=False,
    )


@pytest.fixture
def matrix():
    """Four unlabeled images of two views."""
    return unlabeled(np.arange(24, dtype=np.float32).reshape(8, 3), NAMES, 2)


@pytest.mark.parametrize(
    "paths",
    [
        NAMES,
        [f"./{name}" for name in NAMES],
        [name.removeprefix("scans/") for name in NAMES],
        [f"/data/{name}" for name in NAMES],
        [f"D:\\x\\{name}".replace("/", "\\") for name in NAMES],
        [f"{number:064X}" for number in range(4)],
    ],
)
def test_rows_are_matched_by_path_or_digest(matrix, paths, tmp_path):
    frame = pandas.DataFrame({"path": paths, "label": list("abab"), "patient": [1, 1, 2, 3]})
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "labels.csv", sep=";", index=False)
    for table in (frame, tmp_path / "labels.csv"):
        found = matrix.labels_from(table)
        assert found.y.tolist() == list("aabbaabb")
        assert found.patients.tolist() == ["1", "1", "2", "3"]
        assert found.patients_known
        assert found.names == matrix.names
    assert not matrix.patients_known


def test_a_column_of_digests_needs_no_path(matrix):
    frame = pandas.DataFrame({"sha256": matrix.digests, "label": list("abab")})
    assert matrix.labels_from(frame, patients=r"/(\w)/").patients.tolist() == list("AABB")


def test_what_does_not_match_is_counted_both_ways(matrix, caplog):
    frame = pandas.DataFrame({"path": ["A/1.png", "B/1.png", "C/9.png"], "label": list("abb")})
    with caplog.at_level(logging.INFO, logger="featx"):
        found = matrix.labels_from(frame)
    assert found.labels.tolist() == [0, -1, 1, -1]
    assert "labels of 2 of 4 images" in caplog.text
    assert "rows without an image: 1 (row 2, C/9.png for one)" in caplog.text
    assert "images without a row, not used: 2 (scans/A/2.png for one)" in caplog.text


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("1.png", "a"), ("A/2.png", "b")], "1 whose path fits several images: row 0"),
        ([("A/1.png", "a"), ("scans/A/1.png", "b")], "2 contradicting another row"),
        ([("A/1.png", "a"), ("B/1.png", "?")], "1 without a label: row 1"),
        ([("x.png", "a"), ("y.png", "b")], "no row of the data frame names an image"),
    ],
)
def test_problems_are_refused(matrix, rows, message):
    with pytest.raises(UsageError, match=message):
        matrix.labels_from(pandas.DataFrame(rows, columns=["path", "label"]))


def test_a_matrix_without_labels_is_fitted_to_a_table(tmp_path, generator, run_featx):
    labels = np.arange(24) % 2
    names = [f"{number}.png" for number in range(24)]
    X = (generator.normal(size=(24, 3)) + 3 * labels[:, None]).astype(np.float32)
    unlabeled(X, names, 1).save(tmp_path / "features.h5")
    rows = [f"{name},{'ny'[label]},p{name}" for name, label in zip(names, labels, strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join(["File,Finding,PatientID", *rows]))
    command = ["fit", tmp_path / "features.h5", "--classifiers", "naive_bayes"]
    command += ["--out", tmp_path / "models"]
    code, _, error = run_featx(*command, "--columns", "path=File")
    assert code == 2 and "give one by --table" in error
    command += ["--table", tmp_path / "labels.csv"]
    code, _, error = run_featx(*command)
    proposed = "path=File,label=Finding,patient=PatientID"
    assert code == 2 and f"--columns {proposed}" in error
    assert run_featx(*command, "--columns", proposed)[0] == 0
    assert (tmp_path / "models" / "naive_bayes.skops").exists()
