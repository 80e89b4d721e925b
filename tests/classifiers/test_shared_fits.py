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

from featx.classifiers import search as search_module
from featx.classifiers.decision_scores import classifier_scores, one_vs_rest_auc
from featx.classifiers.registry import get_classifier
from featx.classifiers.search import Search, _pieces
from featx.classifiers.shared_fits import PrecomputedKernels, PreparedFold, WarmPath
from featx.classifiers.training_set import TrainingSet

GRID = [
    {"kernel": "rbf", "C": 1.0, "gamma": 0.02},
    {"kernel": "linear", "C": 0.01},
    {"kernel": "rbf", "C": 30.0, "gamma": 0.1},
    {"kernel": "rbf", "C": 30.0, "gamma": 0.02},
]


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
        validation_images=held_out // 2,
    )


def shared_scores(fold, grid):
    kernels = PrecomputedKernels()
    groups = kernels.groups(grid)
    found = kernels.scores(fold, [[grid[i] for i in group] for group in groups])
    return {
        i: scores
        for group, of_group in zip(groups, found, strict=True)
        for i, scores in zip(group, of_group, strict=True)
    }


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 3])
def test_scores_of_machines_fitted_on_rows(classes, dtype, weighted, monkeypatch):
    monkeypatch.setattr("featx.classifiers.shared_fits._BLOCK", 25)
    fold = svm_fold(classes, weighted=weighted, dtype=dtype)
    found = shared_scores(fold, GRID)
    for index, settings in enumerate(GRID):
        plain = SVC(**settings).fit(fold.training, fold.training_labels, fold.weights)
        rows = plain.decision_function(fold.validation)
        images = (rows[0::2] + rows[1::2]) / 2
        np.testing.assert_allclose(found[index], images, rtol=1e-9, atol=1e-9)


def test_a_group_depends_on_no_other():
    fold = svm_fold()
    together = shared_scores(fold, GRID)
    alone = shared_scores(fold, GRID[2:3])
    assert np.array_equal(together[2], alone[0])


def test_memory_is_what_it_takes():
    fold = svm_fold(rows=700, held_out=300)
    machines = [{"kernel": "rbf", "C": 1.0, "gamma": 0.02}]
    cache = 4 * 700**2  # LIBSVM's own, which Python does not see
    tracemalloc.start()
    PrecomputedKernels().scores(fold, [machines])
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
        validation_images=200,
    ), labels[300:]


def cold(fold, settings, tol, dtype=np.float32):
    regression = LogisticRegression(**settings, tol=tol, max_iter=50000)
    regression.fit(fold.training.astype(dtype), fold.training_labels, fold.weights)
    return classifier_scores(regression, fold.validation.astype(dtype))


@pytest.mark.parametrize("classes", [2, 3])
def test_as_near_to_the_optimum_as_fits_from_nothing(classes):
    fold, labels = logistic_fold(classes)
    groups = [[PATH[i] for i in group] for group in WarmPath().groups(PATH)]
    found = [scores for group in WarmPath().scores(fold, groups) for scores in group]
    errors = {"warm": [], "cold": []}
    for settings, warm in zip(PATH, found, strict=True):
        optimum = cold(fold, settings, 1e-9, np.float64)
        errors["warm"].append(abs(expit(warm) - expit(optimum)).max())
        errors["cold"].append(abs(expit(cold(fold, settings, 1e-4)) - expit(optimum)).max())
        assert one_vs_rest_auc(labels, warm) == pytest.approx(
            one_vs_rest_auc(labels, optimum), abs=2e-4
        )
    assert max(errors["warm"]) < 5e-3
    assert max(errors["warm"]) < 1.2 * max(errors["cold"])


def test_fewer_steps_than_from_nothing(monkeypatch):
    steps = []
    original = LogisticRegression.fit

    def fit(self, *arguments, **settings):
        original(self, *arguments, **settings)
        steps.append((self.C, self.n_iter_.sum()))
        return self

    monkeypatch.setattr(LogisticRegression, "fit", fit)
    fold, _ = logistic_fold(2)
    WarmPath().scores(fold, [PATH])
    assert [C for C, _ in steps] == [settings["C"] for settings in PATH]
    warm, tolerance = sum(count for _, count in steps), 3e-5
    steps.clear()
    for settings in PATH:
        cold(fold, settings, tolerance)
    assert warm < 0.9 * sum(count for _, count in steps)


def test_halves_are_paths_of_their_own():
    fold, _ = logistic_fold(2)
    assert WarmPath().groups(PATH[::-1]) == [[4, 3, 2], [1, 0]]
    groups = [[PATH[i] for i in group] for group in WarmPath().groups(PATH)]
    together = WarmPath().scores(fold, groups)
    (alone,) = WarmPath().scores(fold, groups[1:])
    assert all(np.array_equal(one, other) for one, other in zip(together[1], alone, strict=True))


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("workers", range(1, 20))
@pytest.mark.parametrize("folds", [2, 5, 7])
def test_pieces_keep_workers_busy(folds, workers, groups):
    pieces = _pieces(folds, groups, workers)
    assert len(pieces) == folds
    assert all(1 <= count <= groups for count in pieces)
    left_over = folds % workers
    assert sum(pieces[folds - left_over :]) <= workers
    assert pieces[: folds - left_over] == [1] * (folds - left_over)


@pytest.fixture(scope="module")
def training():
    generator = np.random.default_rng(0)
    patients = np.arange(150) // 2
    labels = generator.integers(0, 2, 75)[patients]
    X = generator.normal(size=(300, 30)) + 0.3 * labels[np.arange(300) // 2, None]
    image = np.arange(300) // 2
    return TrainingSet(X.astype(np.float32), image, labels, patients, np.array(["a", "b"]))


def run(training, spec, workers=2, steps=None):
    folds = training.folds(5, random_state=0)
    search = Search(spec, training, folds, 0, 6000, workers)
    return search.run(lambda done=1: None if steps is None else steps.append(done))


@pytest.mark.parametrize(("name", "tolerance"), [("svm", 1e-9), ("logistic", 2e-3)])
def test_same_candidates_and_areas_as_one_by_one(training, name, tolerance):
    spec, steps = get_classifier(name), []
    shared = run(training, spec, 3, steps)
    plain = run(training, replace(spec, shared_fits=None))
    assert [one.parameters for one in shared] == [one.parameters for one in plain]
    assert [one.auc for one in shared] == pytest.approx([one.auc for one in plain], abs=tolerance)
    assert sum(steps) == 5 * len(plain)


@pytest.mark.parametrize("name", ["svm", "logistic"])
def test_same_numbers_however_folds_are_cut(training, name):
    of_workers = [run(training, get_classifier(name), workers) for workers in (1, 2, 16)]
    for others in of_workers[1:]:
        for one, other in zip(of_workers[0], others, strict=True):
            assert np.array_equal(one.out_of_fold, other.out_of_fold)


class Spy:
    """Shares what another shares, and notes how."""

    def __init__(self, kind):
        self.kind, self.groups, self.memory = kind, kind.groups, kind.memory
        self.lock, self.running, self.most, self.threads = threading.Lock(), 0, 0, set()

    def scores(self, fold, groups):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.threads |= {library["num_threads"] for library in threadpool_info()}
        found = self.kind.scores(fold, groups)
        with self.lock:
            self.running -= 1
        return found


def spied(training, limit_in_tasks):
    spec = get_classifier("svm")
    spy = Spy(spec.shared_fits)
    original, largest = spy.memory, []

    def memory(fold):
        largest.append(original(fold))
        # So large that only so many tasks fit.
        return int(search_module._SHARED_BYTES / limit_in_tasks)

    spy.memory = memory
    found = run(training, replace(spec, shared_fits=spy), 4)
    assert min(largest) > 8 * 2 * 200**2
    return spy, found


def test_no_more_at_a_time_than_memory_allows(training):
    spy, _ = spied(training, 1.5)
    assert spy.most == 1


def test_ordinary_fits_where_not_one_fits_into_memory(training):
    spy, found = spied(training, 0.9)
    assert spy.most == 0
    shared = run(training, get_classifier("svm"))
    assert [one.auc for one in found] == pytest.approx([one.auc for one in shared], abs=1e-9)


def test_a_task_has_one_thread(training):
    with threadpool_limits(2):
        spy, _ = spied(training, 8)
    assert spy.most > 1
    assert spy.threads == {1}
