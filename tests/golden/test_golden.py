"""What the release before wrote is read, extended and resumed: caches, matrices, models, results.

`golden.tar.xz` was made with featx at commit d881080 by `tests/golden/make_golden.py` of commit
5e791db; `expected.json` in it has the numbers of that state and the versions of its libraries.
"""

import hashlib
import importlib.metadata
import json
import math
import tarfile
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import featx
from featx.cli import main
from featx.features.recipe import Recipe

ARCHIVE = Path(__file__).with_name("golden.tar.xz")
NAMES = ("svm", "logistic", "xgboost")
# Fields of a row that depend on the machine and not on the model.
MACHINE = ("seconds_extract", "seconds_fit", "images_a_second", "peak_memory")
# Bounds of new rows are found by other methods, which cover better (docs/concepts/statistics.md).
INTERVALS = ("_low", "_high")
# Controls that were added since.
LATER = {"center removed", "outer border", "permuted labels"}
# Names of settings that have changed since.
RENAMED = {"seed": "random_state", "folds": "cv", "normalisation": "normalization"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    root = tmp_path_factory.mktemp("golden")
    with tarfile.open(ARCHIVE) as tar:
        tar.extractall(root, filter="data")
    return root / "golden"


@pytest.fixture(scope="module")
def expected(archive):
    return json.loads((archive / "expected.json").read_text())


@pytest.fixture
def golden(tmp_path):
    """The archive unpacked for a test that changes it."""
    with tarfile.open(ARCHIVE) as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path / "golden"


def versions_agree(expected, *names):
    return all(importlib.metadata.version(name) == expected["versions"][name] for name in names)


def same_arithmetic():
    """Whether BLAS computes as where the archive was made: other kernels round otherwise."""
    return {each.get("architecture") for each in threadpool_info()} >= {"SkylakeX"}


def run(*arguments):
    with pytest.raises(SystemExit) as ending:
        main([str(argument) for argument in arguments])
    assert ending.value.code == 0


def sha256(features):
    return hashlib.sha256(np.ascontiguousarray(features).tobytes()).hexdigest()


def no_network(*_, **__):
    raise AssertionError("a network was loaded although every row is in the cache")


@pytest.mark.parametrize("name", ["features", "views", "second"])
def test_a_matrix_is_read(archive, expected, name):
    facts = expected["matrices"][name]
    matrix = featx.FeatureMatrix.load(archive / f"{name}.h5")
    assert sha256(matrix.X) == facts["features_sha256"]
    assert list(matrix.names) == facts["names"]
    assert list(matrix.digests) == facts["image_sha256"]
    digests = [Recipe.from_dict(dict(recipe)).digest for recipe in matrix.recipes]
    assert digests == facts["recipe_digests"]


@pytest.mark.parametrize(
    ("name", "images", "options"),
    [
        ("features", "images", ("--views", "1", "--patients", r"(p\d+)_")),
        ("views", "images/test", ("--views", "2", "--patients", r"(p\d+)_")),
        (
            "second",
            "images/few.csv",
            (
                *("--views", "2", "--augmentation", "ramirez", "--normalization", "clahe"),
                *("--pooling", "gem", "--patients", "patient"),
            ),
        ),
    ],
)
def test_a_cache_answers_without_a_network(golden, expected, monkeypatch, name, images, options):
    monkeypatch.chdir(golden)
    monkeypatch.setattr("featx.backbones.engines.make_engine", no_network)
    run("extract", images, *options, "--cache", "cache", "--out", "new.h5", "--quiet")
    matrix = featx.FeatureMatrix.load(golden / "new.h5")
    assert sha256(matrix.X) == expected["matrices"][name]["features_sha256"]


def test_a_cache_is_extended(golden, expected, monkeypatch):
    if not versions_agree(expected, "numpy", "opencv-python-headless", "pillow"):
        pytest.skip("the drift check refuses a cache whose rows other versions computed")
    monkeypatch.chdir(golden)
    old = set((golden / "cache").rglob("part-*.h5"))
    run("extract", "images", "--views", "2", "--cache", "cache", "--out", "new.h5", "--quiet")
    assert set((golden / "cache").rglob("part-*.h5")) > old
    new = featx.FeatureMatrix.load(golden / "new.h5")
    before = featx.FeatureMatrix.load(golden / "features.h5")
    np.testing.assert_array_equal(new.X[new.view == 0], before.X)


def test_features_are_those_of_the_release_before(golden, expected, monkeypatch, tmp_path):
    monkeypatch.chdir(golden)
    run("extract", "images", "--views", "1", "--cache", "empty", "--out", "new.h5", "--quiet")
    new = featx.FeatureMatrix.load(golden / "new.h5").X
    before = featx.FeatureMatrix.load(golden / "features.h5").X
    np.testing.assert_allclose(new, before, atol=1e-4)
    libraries = ("numpy", "opencv-python-headless", "pillow", "openvino")
    if versions_agree(expected, *libraries) and expected["engine"]["used_is"] == "openvino":
        np.testing.assert_array_equal(new, before)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_gives_the_same_probabilities(archive, expected, name):
    facts = expected["models"][name]
    if not versions_agree(expected, "scikit-learn", "xgboost"):
        pytest.skip("a model file is read by the versions that wrote it")
    model = featx.load_model(archive / "models" / facts["file"])
    assert model.threshold_ == facts["threshold"]
    assert model.best_params_ == facts["best_parameters"]
    assert model.classes_.tolist() == facts["classes"]
    for matrix, probabilities in facts["probabilities"].items():
        found = model.predict_images(featx.FeatureMatrix.load(archive / f"{matrix}.h5"))
        if same_arithmetic():
            np.testing.assert_allclose(found, probabilities, rtol=1e-12)
        else:
            # Trees split the principal components, whose last digits are then others.
            np.testing.assert_allclose(
                found, probabilities, atol=0.05 if name == "xgboost" else 1e-6
            )


@pytest.mark.parametrize("name", NAMES)
def test_a_fit_gives_the_same_model(archive, expected, name):
    if not versions_agree(expected, "scikit-learn", "xgboost", "scipy", "numpy"):
        pytest.skip("other versions may fit other models")
    facts = expected["models"][name]
    matrix = featx.FeatureMatrix.load(archive / "features.h5")
    model = featx.fit(matrix, name, cv=5, random_state=0)
    # Since that release splits of boosted trees lie between training rows, and are ramps: out of
    # fold, few images get other scores, and calibration to them other probabilities.
    threshold, rtol, atol = (0.05, 0, 0.15) if name == "xgboost" else (1e-9, 1e-7, 1e-9)
    if not same_arithmetic():
        threshold, rtol, atol = max(threshold, 1e-3), 0, max(atol, 1e-3)
    assert model.best_params_ == facts["best_parameters"]
    assert model.threshold_ == pytest.approx(facts["threshold"], rel=threshold)
    for other, probabilities in facts["probabilities"].items():
        found = model.predict_images(featx.FeatureMatrix.load(archive / f"{other}.h5"))
        np.testing.assert_allclose(found, probabilities, rtol=rtol, atol=atol)


def differences(old, new, path="", but=(), rel_tol=1e-9):
    """Yield each place where new lacks what old has, or has another value."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name, value in old.items():
            if name in MACHINE or name.endswith(but):
                continue
            here = f"{path}.{name}"
            known = RENAMED.get(name, name)
            if known not in new and name not in new:
                yield f"{here} is missing"
            else:
                yield from differences(value, new.get(known, new.get(name)), here, but, rel_tol)
    elif isinstance(old, list) and isinstance(new, list | tuple) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True)):
            yield from differences(*pair, f"{path}[{number}]", but, rel_tol)
    elif isinstance(old, float) and isinstance(new, float):
        if not math.isclose(old, new, rel_tol=rel_tol, abs_tol=1e-12):
            yield f"{path}: {old} and {new}"
    elif old != new:
        yield f"{path}: {old} and {new}"


BENCHMARK = (
    *("benchmark", "images", "--patients", r"(p\d+)_", "--backbones", "efficientnet_lite0"),
    *("--classifiers", "logistic,svm", "--views", "2", "--folds", "3", "--controls"),
    *("--learning-curve", "--seed", "0", "--cache", "cache", "--quiet"),
)


def rows_of_then(rows):
    """Rows without the controls that were added since."""
    assert {row["backbone"] for row in rows} >= LATER
    return [row for row in rows if row["backbone"] not in LATER]


def test_a_benchmark_goes_on_from_the_finished_rows(golden, expected, monkeypatch):
    if not versions_agree(expected, "scikit-learn", "xgboost", "scipy", "numpy", "tensorflow"):
        pytest.skip("rows of other versions are computed again")
    monkeypatch.chdir(golden)
    kept = {path.name: path.read_bytes() for path in (golden / "results" / "rows").iterdir()}
    run(*BENCHMARK, "--out", "results")
    after = {path.name: path.read_bytes() for path in (golden / "results" / "rows").iterdir()}
    assert {name: after[name] for name in kept} == kept
    new = set(after) - set(kept)
    assert len(new) == len(LATER), "a finished row was computed again under another key"
    rows = json.loads((golden / "results" / "results.json").read_text())
    assert list(differences(expected["results"], rows_of_then(rows))) == []


def test_a_benchmark_gives_the_same_results(golden, expected, monkeypatch):
    if not versions_agree(expected, "scikit-learn", "xgboost", "scipy", "numpy", "openvino"):
        pytest.skip("other versions may give other numbers")
    monkeypatch.chdir(golden)
    run(*BENCHMARK, "--out", "fresh")
    rows = json.loads((golden / "fresh" / "results.json").read_text())
    rel_tol = 1e-9 if same_arithmetic() else 1e-3
    rows = rows_of_then(rows)
    assert list(differences(expected["results"], rows, but=INTERVALS, rel_tol=rel_tol)) == []


def test_a_page_is_built_from_an_old_folder(golden):
    page = golden / "page.html"
    run("report", golden / "results", "--out", page)
    text = page.read_text()
    for row in json.loads((golden / "results" / "results.json").read_text()):
        assert f"{row['auc']:.3f}" in text
