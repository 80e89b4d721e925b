import hashlib
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.datasets.splitting import hold_out, patient_folds
from featx.errors import UsageError


def digest(values):
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def test_hold_out_keeps_class_proportions():
    generator = np.random.default_rng(0)
    patients = generator.integers(0, 900, 3000)
    labels = (patients % 10 < 3).astype(int)
    _, aside = hold_out(labels, patients, test_size=0.2, random_state=1)
    assert abs(len(aside) / 3000 - 0.2) < 0.005
    assert abs(labels[aside].mean() - labels.mean()) < 0.005
    assert hold_out(labels, patients, random_state=2)[1].tolist() != aside.tolist()


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_impossible_test_sizes_are_refused(share):
    with pytest.raises(UsageError, match="test_size"):
        hold_out([0, 0, 1, 1], list("abcd"), test_size=share)


def test_classes_of_few_patients_have_fewer_folds_and_one_patient_is_refused():
    assert len(patient_folds([0, 0, 0, 1, 1, 1], list("aabccd"), n_splits=5)) == 2
    for split in (hold_out, patient_folds):
        with pytest.raises(UsageError, match="class 1 has images of a single patient"):
            split([0, 0, 1, 1], list("abcc"))
    # Three classes that share three patients in pairs have no two sides, but three folds.
    labels, patients = list("uvvwwu"), list("ppqqrr")
    with pytest.raises(UsageError, match="no division of these 3 patients"):
        hold_out(labels, patients)
    assert len(patient_folds(labels, patients)) == 3


def is_valid(y, fold):
    return all(len(set(fold[y == label])) > 1 for label in set(y))


@settings(max_examples=150, deadline=None)
@given(
    images=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=2, max_size=9),
    random_state=st.integers(0, 3),
    n_splits=st.integers(2, 4),
)
def test_a_valid_split_is_found_exactly_where_one_exists(images, random_state, n_splits):
    y, groups = (np.array(column) for column in zip(*images, strict=True))
    own = np.unique(groups, return_inverse=True)[1]
    n = own.max() + 1

    def exists(k):
        return any(is_valid(y, np.array(fold)[own]) for fold in product(range(k), repeat=n))

    for possible, split in (
        (exists(2), lambda: [hold_out(y, groups, random_state=random_state)]),
        (exists(n_splits), lambda: patient_folds(y, groups, n_splits=n_splits)),
    ):
        if not possible:
            with pytest.raises(UsageError):
                split()
            continue
        for train, test in split():
            assert sorted([*train, *test]) == list(range(len(y)))
            assert len(test)
            assert not set(groups[train]) & set(groups[test])
            assert set(y[train]) == set(y)
    if exists(2):
        assert set(y[hold_out(y, groups, random_state=random_state)[1]]) == set(y)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=6, max_size=12),
    share=st.floats(0.1, 0.9),
    random_state=st.integers(0, 3),
)
def test_classes_of_three_patients_keep_two_to_train(sizes, share, random_state):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    y = groups % 2
    train, test = hold_out(y, groups, test_size=share, random_state=random_state)
    for label in (0, 1):
        assert len(set(groups[train][y[train] == label])) > 1
        assert label in y[test]
    assert not set(groups[train]) & set(groups[test])
    assert patient_folds(y[train], groups[train])


def test_splits_of_sound_cases_are_those_of_earlier_versions():
    generator = np.random.default_rng(5)
    patients = generator.integers(0, 60, 200)
    labels = (patients * 7 % 10 < 4).astype(int)
    _, test = hold_out(labels, patients, random_state=3)
    folds = [validation.tolist() for _, validation in patient_folds(labels, patients)]
    assert digest([test.tolist(), folds]) == "6d94e5dbe5e635be"
