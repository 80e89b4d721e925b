"""Fits that share work give the scores of fits one by one."""

import threading
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from threadpoolctl import threadpool_info, threadpool_limits

from featx.classifiers.config import FitConfig
from featx.classifiers.decision_scores import classifier_scores, one_vs_rest_auc
from featx.classifiers.registry import get_classifier
from featx.classifiers.search import SHARED_BYTES, Search
from featx.classifiers.shared_fits import PrecomputedKernels, PreparedFold, SharedFits, WarmPath
from featx.classifiers.training_set import TrainingSet

RBF = [{"kernel": "rbf", "C": C, "gamma": 0.02} for C in (1.0, 30.0)]
GROUPS = [RBF, [{"kernel": "linear", "C": 0.01}]]


def svm_fold(classes=2, rows=150, held_out=60, weighted=True, dtype=np.float32):
    generator = np.random.default_rng(classes)
    labels = generator.integers(0, classes, rows + held_out)
    centers = generator.normal(size=(classes, 20))
    X = (centers[labels] + 2 * generator.normal(size=(rows + held_out, 20))).astype(dtype)
    return PreparedFold(
        classifier=SVC(cache_size=50),
        training=X[:rows],
        training_labels=labels[:rows],
        weights=generator.uniform(0.5, 2, rows) if weighted else None,
        validation=X[rows:],
        validation_image=np.arange(held_out) // 2,
    )


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 3])
def test_kernel_scores_are_those_of_machines_fitted_on_rows(classes, dtype, weighted):
    fold = svm_fold(classes, weighted=weighted, dtype=dtype)
    for group in GROUPS:
        found = PrecomputedKernels().scores(fold, group)
        expected = SharedFits().scores(fold, group)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
        plain = SVC(**group[0]).fit(fold.training, fold.training_labels, fold.weights)
        rows = plain.decision_function(fold.validation)
        np.testing.assert_array_equal(expected[0], (rows[0::2] + rows[1::2]) / 2)


def test_memory_is_what_kernels_take():
    fold = svm_fold(rows=700, held_out=300)
    cache = 4 * 700**2  # LIBSVM's own, which Python does not see
    tracemalloc.start()
    PrecomputedKernels().scores(fold, RBF)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.8 * peak < PrecomputedKernels().memory(fold) - cache < 1.3 * peak


PATH = [{"C": C} for C in (0.0003, 0.001, 0.003, 0.01, 0.03)]


def logistic_fold(classes):
    generator = np.random.default_rng(classes)
    labels = generator.integers(0, classes, 500)
    centers = 0.3 * generator.normal(size=(classes, 30))
    hidden = centers[labels] + generator.normal(size=(500, 30))
    X = hidden @ generator.normal(size=(30, 100)) + 3 * generator.normal(size=(500, 100))
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    return PreparedFold(
        classifier=LogisticRegression(max_iter=5000),
        training=X[:300],
        training_labels=labels[:300],
        weights=generator.uniform(0.5, 1.5, 300),
        validation=X[300:],
        validation_image=np.arange(200),
    ), labels[300:]


def cold(fold, settings, tol, dtype=np.float32):
    regression = LogisticRegression(**settings, tol=tol, max_iter=50000)
    regression.fit(fold.training.astype(dtype), fold.training_labels, fold.weights)
    return regression, classifier_scores(regression, fold.validation.astype(dtype))


@pytest.mark.parametrize("classes", [2, 3])
def test_warm_starts_come_as_near_to_the_optimum_as_cold_ones(classes):
    fold, labels = logistic_fold(classes)
    groups = [[PATH[i] for i in group] for group in WarmPath().groups(PATH)]
    found = [scores for group in groups for scores in WarmPath().scores(fold, group)]
    errors = {"warm": [], "cold": []}
    for settings, warm in zip(PATH, found, strict=True):
        _, optimum = cold(fold, settings, 1e-9, np.float64)
        errors["warm"].append(abs(expit(warm) - expit(optimum)).max())
        errors["cold"].append(abs(expit(cold(fold, settings, 1e-4)[1]) - expit(optimum)).max())
        assert one_vs_rest_auc(labels, warm) == pytest.approx(
            one_vs_rest_auc(labels, optimum), abs=2e-4
        )
    assert max(errors["warm"]) < 5e-3
    assert max(errors["warm"]) < 1.2 * max(errors["cold"])


def test_warm_starts_take_fewer_steps(monkeypatch):
    steps = []
    original = LogisticRegression.fit

    def fit(self, *arguments, **settings):
        original(self, *arguments, **settings)
        steps.append((self.C, self.n_iter_.sum()))
        return self

    monkeypatch.setattr(LogisticRegression, "fit", fit)
    fold, _ = logistic_fold(2)
    WarmPath().scores(fold, PATH)
    assert [C for C, _ in steps] == [settings["C"] for settings in PATH]
    warm = sum(count for _, count in steps)
    assert warm < 0.9 * sum(cold(fold, each, 3e-5)[0].n_iter_.sum() for each in PATH)


@pytest.fixture(scope="module")
def training():
    generator = np.random.default_rng(0)
    patients = np.arange(150) // 2
    labels = generator.integers(0, 2, 75)[patients]
    X = generator.normal(size=(300, 30)) + 0.3 * labels[np.arange(300) // 2, None]
    image = np.arange(300) // 2
    return TrainingSet(X.astype(np.float32), image, labels, patients, np.array(["a", "b"]))


def run(training, spec, workers=2, advance=len):
    return Search(spec, training, FitConfig(n_jobs=workers)).run(lambda n: advance([n]))


@pytest.mark.parametrize(("name", "tolerance"), [("svm", 1e-9), ("logistic", 2e-3)])
def test_same_candidates_and_areas_as_one_by_one(training, name, tolerance):
    spec, steps = get_classifier(name), []
    shared = run(training, spec, 3, steps.extend)
    plain = run(training, replace(spec, shared_fits=SharedFits()))
    assert [one.parameters for one in shared] == [one.parameters for one in plain]
    assert [one.auc for one in shared] == pytest.approx([one.auc for one in plain], abs=tolerance)
    assert sum(steps) == 5 * len(plain)


@pytest.mark.parametrize("name", ["svm", "logistic"])
def test_same_numbers_for_any_number_of_workers(training, name):
    one, many = (run(training, get_classifier(name), workers) for workers in (1, 16))
    for first, second in zip(one, many, strict=True):
        assert np.array_equal(first.out_of_fold, second.out_of_fold)


class Spy(PrecomputedKernels):
    """Records how many fits run at once; reports so much memory that only some may."""

    def __init__(self, limit):
        self.limit, self.lock = limit, threading.Lock()
        self.running, self.most, self.threads = 0, 0, set()

    def memory(self, fold):
        assert super().memory(fold) > 8 * 200**2
        return int(SHARED_BYTES / self.limit)

    def scores(self, fold, group):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.threads |= {library["num_threads"] for library in threadpool_info()}
        found = super().scores(fold, group)
        with self.lock:
            self.running -= 1
        return found


@pytest.mark.parametrize(("limit", "most"), [(1.5, {1}), (0.9, {0}), (8, {2, 3, 4})])
def test_no_more_at_a_time_than_memory_allows_each_with_one_thread(training, limit, most):
    spy = Spy(limit)
    with threadpool_limits(2):
        found = run(training, replace(get_classifier("svm"), shared_fits=spy), 4)
    assert spy.most in most
    assert spy.threads == ({1} if spy.most else set())
    shared = run(training, get_classifier("svm"))
    assert [one.auc for one in found] == pytest.approx([one.auc for one in shared], abs=1e-9)


def test_a_search_shows_no_warning_of_a_solver(recwarn):
    fold, _ = logistic_fold(2)
    hurried = replace(fold, classifier=LogisticRegression(max_iter=1))
    WarmPath().scores(hurried, PATH[:2])
    assert not recwarn.list
