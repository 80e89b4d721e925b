import threading
from dataclasses import replace

import numpy as np
import pytest
from featx.classifiers.shared import cut_evenly
from threadpoolctl import threadpool_info, threadpool_limits

from featx.classifiers import search as search_module
from featx.classifiers.registry import get_classifier
from featx.classifiers.search import Search
from featx.classifiers.training_set import TrainingSet


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("workers", range(1, 20))
@pytest.mark.parametrize("folds", [2, 5, 7])
def test_pieces_keep_workers_busy(folds, workers, groups):
    pieces = cut_evenly(folds, groups, workers)
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


def run(training, record, workers=2, steps=None):
    folds = training.folds(5, random_state=0)
    search = Search(record, training, folds, 0, 6000, workers)
    return search.run(lambda done=1: None if steps is None else steps.append(done))


@pytest.mark.parametrize(("name", "tolerance"), [("svm", 1e-9), ("logistic", 2e-3)])
def test_same_candidates_and_areas_as_one_by_one(training, name, tolerance):
    record, steps = get_classifier(name), []
    shared = run(training, record, 3, steps)
    plain = run(training, replace(record, shared_fits=None))
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
    record = get_classifier("svm")
    spy = Spy(record.shared_fits)
    original, largest = spy.memory, []

    def memory(fold):
        largest.append(original(fold))
        # So large that only so many tasks fit.
        return int(search_module._SHARED_BYTES / limit_in_tasks)

    spy.memory = memory
    found = run(training, replace(record, shared_fits=spy), 4)
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
