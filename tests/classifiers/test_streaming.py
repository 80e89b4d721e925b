"""A matrix that is larger than the memory is fitted block by block, to nearly the same model."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from featx.classifiers.memory_plan import MemoryPlan
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

import featx
from featx.classifiers.model_file import load_model, save_model
from featx.classifiers.registry import get_classifier
from featx.classifiers.search import Search
from featx.classifiers.training_set import TrainingSet
from featx.errors import UsageError
from featx.features.lazy_rows import LazyRows
from tests.classifiers.makers import make_matrix


@pytest.fixture
def small_memory(monkeypatch):
    """Set what memory a fit believes to have."""

    def use(size):
        monkeypatch.setattr("featx.classifiers.memory_plan.usable_memory", lambda _: size)

    return use


@pytest.mark.parametrize(("name", "classes"), [("logistic", 2), ("naive_bayes", 3), ("svm", 2)])
def test_a_streamed_fit_agrees_with_one_in_memory(monkeypatch, tmp_path, caplog, name, classes):
    matrix = make_matrix(n_images=240, features=40, classes=classes, strength=0.3)
    train, test = matrix.select_images(range(160)), matrix.select_images(range(160, 240))
    expected = featx.fit(train, name, n_jobs=1)
    monkeypatch.setattr(MemoryPlan, "make", lambda *_: MemoryPlan(free=2**28, fits=0))
    model = featx.fit(train, name, n_jobs=1)
    assert model.best_params_ == expected.best_params_
    np.testing.assert_allclose(model.out_of_fold_, expected.out_of_fold_, atol=0.02)
    np.testing.assert_allclose(model.predict_images(test), expected.predict_images(test), atol=0.02)
    assert model.provenance_["matrix_sha256"] == expected.provenance_["matrix_sha256"]
    save_model(model, tmp_path / "model.skops")
    again = load_model(tmp_path / "model.skops").predict_images(test.lazily())
    np.testing.assert_array_equal(again, model.predict_images(test))
    assert "block by block" in caplog.text


def test_rows_that_do_not_fit_are_left_out_of_fits_but_not_of_scaling(small_memory, caplog):
    matrix = make_matrix(n_images=900, views=2, features=64, strength=0.4)
    small_memory(1_200_000)
    model = featx.fit(matrix, "knn", n_jobs=1)
    assert "would learn from all" in caplog.text
    assert 200 <= model.provenance_["streamed"]["rows_at_most"] < 1800
    assert model.pipeline_["scale"].n_samples_seen_ == 1800
    np.testing.assert_allclose(model.pipeline_["scale"].mean_, matrix.X.mean(axis=0), atol=1e-5)
    assert len(model.out_of_fold_) == 900
    assert np.isfinite(model.out_of_fold_).all()


@pytest.mark.parametrize(
    ("name", "settings"),
    [("xgboost", {"max_depth": 2}), ("random_forest", {"n_estimators": 40})],
)
def test_trees_learn_from_all_rows_where_they_lie(name, settings):
    matrix = make_matrix(n_images=600, features=16, strength=0.3)
    train, test = matrix.select_images(range(400)), matrix.select_images(range(400, 600))
    training = TrainingSet(train.X, train.image, train.labels, train.patients, np.arange(2))
    task = (get_classifier(name), training, training.folds(2, 0), 0, 500, 1)
    expected = Search(*task).fit(settings)
    capped, search = (
        MemoryPlan(500_000, fits=0).search(get_classifier(kind), *task[1:])
        for kind in ("knn", name)
    )
    assert capped.describe()["streamed"]["rows_at_most"] < 800
    assert search.describe()["streamed"]["rows_at_most"] == 800
    scores = [fitted.predict_proba(test.X)[:, 1] for fitted in (search.fit(settings), expected)]
    aucs = [roc_auc_score(test.row_labels, score) for score in scores]
    assert abs(aucs[0] - aucs[1]) < 0.02
    assert np.corrcoef(*scores)[0, 1] > 0.97


def test_little_memory_is_refused_with_what_is_needed(small_memory):
    small_memory(1000)
    with pytest.raises(UsageError, match="or more; give it more"):
        featx.fit(make_matrix(), "logistic", n_jobs=1)


def test_fewer_fits_run_at_a_time_where_memory_is_short(small_memory, monkeypatch):
    matrix = make_matrix()
    used = []
    search = "featx.classifiers.memory_plan.Search"

    monkeypatch.setattr(search, lambda *settings: used.append(settings[-1]) or Search(*settings))
    small_memory(6 * matrix.X.nbytes)
    featx.fit(matrix, "naive_bayes", n_jobs=4)
    assert used == [2]


LIMITED = """
import json, resource, sys
import numpy as np
import featx
import featx.classifiers.classifier
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
model = featx.fit(matrix, "logistic", n_jobs=1, folds=3, search_rows=2000)
print(json.dumps({"enforced": enforced, **model.provenance_}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's data")
def test_a_matrix_of_three_times_the_limit_is_fitted_within_it(tmp_path, monkeypatch):
    # Gaussian classes along one of 512 directions, whose distance gives the best possible AUC.
    generator = np.random.default_rng(0)
    n, views, features, distance = 120_000, 4, 512, 1.0
    table = make_matrix(n_images=n // views, views=views, features=2)
    shift = np.float32(distance / np.sqrt(features)) * (table.row_labels - np.float32(0.5))

    def fill(rows):
        for start in range(0, n, 8192):
            block = generator.standard_normal((min(8192, n - start), features), dtype=np.float32)
            rows[start : start + 8192] = block + shift[start : start + 8192, None]

    table.save_rows(tmp_path / "matrix.h5", (n, features), fill)
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "matrix.h5")]
    root = Path(featx.__file__).parents[1]
    done = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True)
    provenance = json.loads(done.stdout)
    assert provenance["enforced"]
    assert provenance["streamed"] == {"components": 512, "rows_at_most": n}
    best = norm.cdf(distance * np.sqrt(views / 2))
    assert best - 0.015 < provenance["auc_out_of_fold"] < best + 0.005


def test_a_lazy_matrix_in_memory_is_read_for_an_ordinary_fit():
    matrix = make_matrix()
    lazy = matrix.lazily()
    assert isinstance(lazy.X, LazyRows)
    expected = featx.fit(matrix, "naive_bayes", n_jobs=1)
    model = featx.fit(lazy, "naive_bayes", n_jobs=1)
    np.testing.assert_array_equal(model.out_of_fold_, expected.out_of_fold_)
