import hashlib
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from featx.datasets.splitting import hold_out, patient_folds
from featx.errors import UsageError


def digest(values):
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


@st.composite
def labeled_patients(draw):
    """Images of patients of two or three classes; now and then a patient has two of them."""
    n_classes = draw(st.integers(2, 3))
    labels, patients = [], []
    for patient in range(draw(st.integers(4 * n_classes, 40))):
        own = patient % n_classes
        for _ in range(draw(st.integers(1, 5))):
            labels.append(own if draw(st.integers(0, 9)) else draw(st.integers(0, n_classes - 1)))
            patients.append(f"p{patient}")
    return np.array(labels), np.array(patients)


@settings(max_examples=60, deadline=None)
@given(data=labeled_patients(), share=st.floats(0.1, 0.5), random_state=st.integers(0, 5))
def test_hold_out_never_splits_a_patient(data, share, random_state):
    labels, patients = data
    kept, aside = hold_out(labels, patients, test_size=share, random_state=random_state)
    assert not set(patients[kept]) & set(patients[aside])
    assert sorted([*kept, *aside]) == list(range(len(labels)))
    assert len(kept)
    assert len(aside)
    again = hold_out(labels, patients, test_size=share, random_state=random_state)
    np.testing.assert_array_equal(again[1], aside)


@settings(max_examples=40, deadline=None)
@given(data=labeled_patients(), n_splits=st.integers(2, 5), random_state=st.integers(0, 5))
def test_folds_validate_every_image_once_and_never_split_a_patient(data, n_splits, random_state):
    labels, patients = data
    assume(min(len(set(patients[labels == label])) for label in set(labels)) >= 2)
    pairs = patient_folds(labels, patients, n_splits=n_splits, random_state=random_state)
    validated = np.concatenate([validation for _, validation in pairs])
    assert sorted(validated) == list(range(len(labels)))
    for training, validation in pairs:
        assert not set(patients[training]) & set(patients[validation])


def test_hold_out_keeps_class_proportions():
    generator = np.random.default_rng(0)
    patients = generator.integers(0, 900, 3000)
    labels = (patients % 10 < 3).astype(int)
    _, aside = hold_out(labels, patients, test_size=0.2, random_state=1)
    assert abs(len(aside) / 3000 - 0.2) < 0.005
    assert abs(labels[aside].mean() - labels.mean()) < 0.005
    assert hold_out(labels, patients, random_state=2)[1].tolist() != aside.tolist()


def test_patients_with_images_of_both_classes_are_allowed():
    labels, patients = [0, 1] * 10, np.repeat(np.arange(10), 2)
    kept, aside = hold_out(labels, patients, test_size=0.3)
    assert (len(kept), len(aside)) == (14, 6)


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
    assert patient_folds(y[train], groups[train])


@pytest.mark.parametrize("random_state", range(6))
def test_reported_cases_are_split_by_every_seed(random_state):
    y, groups = [0, 0, 1, 0, 0, 1, 1, 1], ["p0", "p1", "p1", "p2", "p3", "p4", "p4", "p4"]
    for train, test in (
        hold_out(y, groups, random_state=random_state),
        *patient_folds(y, groups, random_state=random_state),
    ):
        assert {y[i] for i in train} == {0, 1}
        assert not {groups[i] for i in train} & {groups[i] for i in test}


def test_splits_of_sound_cases_are_those_of_earlier_versions():
    generator = np.random.default_rng(5)
    patients = generator.integers(0, 60, 200)
    labels = (patients * 7 % 10 < 4).astype(int)
    _, test = hold_out(labels, patients, random_state=3)
    folds = [validation.tolist() for _, validation in patient_folds(labels, patients)]
    assert digest([test.tolist(), folds]) == "6d94e5dbe5e635be"
