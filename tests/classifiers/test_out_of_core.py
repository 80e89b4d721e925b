"""A matrix larger than memory is fitted to its exact principal components, read block by block."""

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import featx
from featx.benchmarking.refits import curve_point, repeated_auc
from featx.classifiers.config import FitConfig
from featx.classifiers.model_file import load_model
from featx.classifiers.out_of_core import CovarianceAccumulator, plan_fits, reduce_rows
from featx.classifiers.registry import get_classifier
from featx.classifiers.search import Search
from featx.classifiers.training_set import TrainingSet
from featx.errors import UsageError
from featx.features.lazy_rows import LazyRows
from featx.metrics.scores import Scores
from featx.reporting.records import BenchmarkRow
from tests.classifiers.makers import make_matrix


@pytest.fixture
def small_memory(monkeypatch):
    """Set the free memory that fits see."""

    def use(size):
        monkeypatch.setattr("featx.classifiers.out_of_core.usable_memory", lambda _: size)

    return use


@pytest.fixture
def rows(generator):
    # Means far from 0 beside small spreads, as squared sums without a center would lose.
    rows = generator.normal(size=(300, 20)) @ generator.normal(size=(20, 20))
    rows += 1000 * generator.normal(size=20)
    rows[:, 7] = 3.3
    return rows.astype(np.float32)


def test_scaling_and_pca_are_those_of_scikit_learn(rows):
    accumulator = CovarianceAccumulator(rows[0].astype(np.float64))
    for start in range(0, len(rows), 64):
        accumulator.add(rows[start : start + 64])
    steps = accumulator.pipeline(6)
    scaler = StandardScaler().fit(rows.astype(np.float64))
    pca = PCA(6, svd_solver="full").fit(scaler.transform(rows.astype(np.float64)))
    for found, expected, tolerance in (
        (steps["scale"], scaler, 1e-9),
        (steps["compress"], pca, 1e-6),
    ):
        for name, value in vars(expected).items():
            # scikit-learn's PCA writes its own mean, of scaled columns, as about 1e-17.
            if name.endswith("_") and not name.startswith("_"):
                np.testing.assert_allclose(
                    getattr(found, name), value, rtol=tolerance, atol=tolerance, err_msg=name
                )
    assert steps.transform(rows).dtype == np.float32


@pytest.mark.parametrize(("name", "classes"), [("logistic", 2), ("naive_bayes", 3), ("svm", 2)])
def test_it_equals_the_fit_in_memory_on_the_same_components(small_memory, name, classes):
    matrix = make_matrix(n_images=160, features=300, classes=classes, strength=0.3)
    training, config = TrainingSet.of(matrix), FitConfig(name, cv=3, n_jobs=1)
    small_memory(40 * matrix.X.nbytes)
    plan = reduce_rows(get_classifier(name), training, config)
    n = plan.training.X.shape[1]
    assert n == {"logistic": 300}.get(name, 192)
    pca = PCA(n, svd_solver="full")
    expected = Pipeline([("scale", StandardScaler()), ("compress", pca)])
    X = expected.fit_transform(matrix.X.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(plan.training.X, X, atol=1e-4)
    found = []
    for features in (plan.training.X, X):
        search = Search(plan.spec, replace(plan.training, X=features), plan.config)
        _, best, _, scores = search.fit_best()
        found.append((best.parameters, scores))
    assert found[0][0] == found[1][0]
    np.testing.assert_allclose(found[0][1], found[1][1], atol=5e-3)


def out_of_core(small_memory, matrix, name, **settings):
    """Fit where no fit of the whole matrix fits into memory."""
    small_memory(int(2.9 * matrix.X.nbytes))
    return featx.fit(matrix, name, n_jobs=1, **settings)


@pytest.mark.parametrize(("name", "classes"), [("logistic", 2), ("naive_bayes", 3), ("svm", 2)])
def test_the_model_agrees_with_one_fitted_in_memory(small_memory, tmp_path, caplog, name, classes):
    matrix = make_matrix(n_images=1600, features=40, classes=classes, strength=0.3)
    train, test = matrix.select_images(range(1400)), matrix.select_images(range(1400, 1600))
    expected = featx.fit(train, name, n_jobs=1)
    with caplog.at_level(logging.INFO, logger="featx"):
        model = out_of_core(small_memory, train, name)
    assert "read block by block and reduced to 40 components" in caplog.text
    assert model.provenance_["reduced"]["components"] == 40
    assert abs(model.provenance_["auc_out_of_fold"] - expected.provenance_["auc_out_of_fold"]) < 0.1
    difference = model.predict_images(test) - expected.predict_images(test)
    assert np.abs(difference).mean() < 0.1
    assert model.provenance_["matrix_sha256"] == expected.provenance_["matrix_sha256"]
    model.save(tmp_path / "model.skops")
    again = load_model(tmp_path / "model.skops").predict_images(test.lazily())
    np.testing.assert_array_equal(again, model.predict_images(test))


def test_rows_that_do_not_fit_are_dropped_from_fits_but_not_from_scaling(small_memory):
    matrix = make_matrix(n_images=900, views=2, features=64, strength=0.4)
    small_memory(1_350_000)
    model = featx.fit(matrix, "knn", n_jobs=1)
    rows = model.provenance_["reduced"]["rows"]
    assert 200 <= rows < 1800
    assert model.provenance_["rows"] == rows
    assert model.pipeline_["scale"].n_samples_seen_ == 1800
    np.testing.assert_allclose(model.pipeline_["scale"].mean_, matrix.X.mean(axis=0), atol=1e-5)
    assert len(model.out_of_fold_) == len(model.out_of_fold_images_)
    place = {digest: index for index, digest in enumerate(matrix.digests)}
    images = [place[digest] for digest in model.out_of_fold_images_]
    assert matrix.labels[images].tolist() == model.out_of_fold_labels_.tolist()
    assert np.isfinite(model.out_of_fold_).all()


def test_little_memory_is_refused_with_what_is_needed(small_memory):
    small_memory(1000)
    with pytest.raises(UsageError, match="allow at least"):
        featx.fit(make_matrix(), "logistic", n_jobs=1)


@pytest.mark.parametrize(("times", "n_jobs"), [(6, 2), (400, 4)])
def test_fewer_fits_run_at_once_where_memory_is_short(small_memory, times, n_jobs):
    matrix = make_matrix()
    small_memory(times * matrix.X.nbytes)
    config = FitConfig("naive_bayes", n_jobs=4)
    plan = plan_fits(get_classifier("naive_bayes"), TrainingSet.of(matrix), config)
    assert plan.config.n_jobs == n_jobs


def test_refits_of_the_benchmark_stay_within_memory(small_memory):
    matrix = make_matrix(n_images=1600, features=40, strength=0.3)
    config = FitConfig("naive_bayes", cv=3, n_jobs=1)
    row = BenchmarkRow("", "", "naive_bayes", "frozen", Scores({}, 0))
    row = replace(row, settings={"chosen": {"var_smoothing": 0.01}})
    test = matrix.select_images(range(1400, 1600))

    def refits():
        point = curve_point(row, matrix, test, 1.0, config)
        return repeated_auc(row, matrix, config), point["auc"]

    expected = refits()
    small_memory(int(2.9 * matrix.X.nbytes))
    assert plan_fits(get_classifier("naive_bayes"), TrainingSet.of(matrix), config).steps
    assert refits() == pytest.approx(expected, abs=0.1)


LIMITED = """
import json, resource, sys
import numpy as np
import featx
import featx.classifiers.fitting
from scipy.linalg import eigh
eigh(np.eye(64) @ np.eye(64))
matrix = featx.FeatureMatrix.load(sys.argv[1])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
limit = int(status["VmData"].split()[0]) * 1024 + matrix.X.nbytes // 3
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    np.ones_like(matrix.X)
    enforced = False
except MemoryError:
    enforced = True
model = featx.fit(matrix, "naive_bayes", n_jobs=1, cv=3, search_rows=2000)
print(json.dumps({"enforced": enforced, **model.provenance_}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's data")
def test_a_matrix_of_three_times_the_limit_is_fitted_within_it(tmp_path, monkeypatch):
    # Gaussian classes in 128 dimensions, each in four features; their distance gives the best AUC.
    generator = np.random.default_rng(0)
    n, views, features, distance = 120_000, 4, 512, 1.0
    table = make_matrix(n_images=n // views, views=views, features=2)
    shift = np.float32(distance / np.sqrt(128)) * (table.row_labels - np.float32(0.5))

    def fill(rows):
        for start in range(0, n, 8192):
            size = min(8192, n - start)
            block = generator.standard_normal((size, 128), dtype=np.float32)
            block = np.tile(block + shift[start : start + size, None], 4)
            noise = generator.standard_normal(block.shape, dtype=np.float32)
            rows[start : start + size] = block + np.float32(0.1) * noise

    table.save_rows(tmp_path / "matrix.h5", (n, features), fill)
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "matrix.h5")]
    root = Path(featx.__file__).parents[1]
    done = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True)
    provenance = json.loads(done.stdout)
    assert provenance["enforced"]
    assert provenance["reduced"]["components"] == 192
    assert provenance["reduced"]["rows"] == provenance["images"] > 5000
    best = norm.cdf(distance / np.sqrt(2))
    assert best - 0.03 < provenance["auc_out_of_fold"] < best + 0.015


def test_a_lazy_matrix_in_memory_is_read_for_an_ordinary_fit():
    matrix = make_matrix()
    lazy = matrix.lazily()
    assert isinstance(lazy.X, LazyRows)
    expected = featx.fit(matrix, "naive_bayes", n_jobs=1)
    model = featx.fit(lazy, "naive_bayes", n_jobs=1)
    np.testing.assert_array_equal(model.out_of_fold_, expected.out_of_fold_)
