import tracemalloc

import numpy as np
import pytest
from featx.classifiers.kernels import SharedKernels
from featx.classifiers.shared import PreparedFold
from sklearn.svm import SVC

GRID = [
    {"kernel": "rbf", "C": 1.0, "gamma": 0.02},
    {"kernel": "linear", "C": 0.01},
    {"kernel": "rbf", "C": 30.0, "gamma": 0.1},
    {"kernel": "rbf", "C": 30.0, "gamma": 0.02},
]


def make_fold(classes=2, rows=150, held_out=60, weighted=True, dtype=np.float32):
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
    kernels = SharedKernels()
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
    monkeypatch.setattr("featx.classifiers.kernels._BLOCK", 25)
    fold = make_fold(classes, weighted=weighted, dtype=dtype)
    found = shared_scores(fold, GRID)
    for index, settings in enumerate(GRID):
        plain = SVC(**settings).fit(fold.training, fold.training_labels, fold.weights)
        rows = plain.decision_function(fold.validation)
        images = (rows[0::2] + rows[1::2]) / 2
        np.testing.assert_allclose(found[index], images, rtol=1e-9, atol=1e-9)


def test_a_group_depends_on_no_other():
    fold = make_fold()
    together = shared_scores(fold, GRID)
    alone = shared_scores(fold, GRID[2:3])
    assert np.array_equal(together[2], alone[0])


def test_memory_is_what_it_takes():
    fold = make_fold(rows=700, held_out=300)
    machines = [{"kernel": "rbf", "C": 1.0, "gamma": 0.02}]
    cache = 4 * 700**2  # LIBSVM's own, which Python does not see
    tracemalloc.start()
    SharedKernels().scores(fold, [machines])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.8 * peak < SharedKernels().memory(fold) - cache < 1.3 * peak
