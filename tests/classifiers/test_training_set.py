import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featx.classifiers.training_set import TrainingSet
from featx.errors import UsageError


def training_set(labels, patients, image=None, classes=None):
    image = np.arange(len(labels)) if image is None else np.asarray(image)
    classes = np.unique(labels) if classes is None else np.array(classes)
    X = np.zeros((len(image), 1), dtype=np.float32)
    return TrainingSet(X, image, np.asarray(labels), np.asarray(patients), classes)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(2, 3))
def test_folds_never_share_a_patient(random_state, folds, n_classes):
    generator = np.random.default_rng(random_state)
    patients = generator.integers(0, 25, size=80)
    training = training_set(generator.integers(0, n_classes, 80), patients)
    pairs = training.folds(folds, random_state)
    for learn, validate in pairs:
        assert not set(patients[learn]) & set(patients[validate])
    assert sorted(np.concatenate([validate for _, validate in pairs])) == list(range(80))


def test_fewer_folds_where_patients_are_few():
    labels = [0] * 3 + [1] * 20
    assert len(training_set(labels, range(23)).folds(5, 0)) == 3


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, 0, 1], "NP", "'N' has training images of 1 patient.*add images"),
        ([0, 0, 0], "NP", "'P' has training images of no patient"),
        ([0, 0, 0], "N", r"one class \(N\).*at least two"),
    ],
)
def test_too_few_patients_of_a_class_are_refused(labels, classes, message):
    training = training_set(
        labels, list("aab") if "P" in classes else list("abc"), None, list(classes)
    )
    with pytest.raises(UsageError, match=message):
        training.folds(5, 0)


def test_a_class_that_a_fold_takes_whole():
    # Both patients of class 1 have most of the images: no two folds leave class 1 on each side.
    training = training_set([0, 1, 0, 1], ["a", "a", "b", "b"])
    assert len(training.folds(2, 0)) == 2
    with pytest.raises(UsageError):
        training_set([0, 1, 1], ["a", "a", "b"]).folds(2, 0)


@pytest.mark.parametrize("random_state", range(6))
def test_few_patients_are_divided_whatever_the_seed(random_state):
    labels, patients = [1, 0, 0, 0, 1, 1, 0, 0, 1], [1, 0, 2, 3, 1, 2, 3, 2, 1]
    for learn, _ in training_set(labels, patients).folds(5, random_state):
        assert {labels[image] for image in learn} == {0, 1}


def test_rows_of_images_and_views():
    training = training_set([0, 1, 0], list("abc"), image=[0, 0, 0, 2, 1, 1, 2])
    assert training.order_of_view.tolist() == [0, 1, 2, 0, 0, 1, 1]
    assert training.rows_of(np.array([0, 2])).tolist() == [0, 1, 2, 3, 6]
    assert training.rows_of(np.array([0, 2]), views=1).tolist() == [0, 3]


def test_limit_drops_views_before_images():
    labels = np.arange(40) % 2
    training = training_set(labels, np.arange(40), image=np.repeat(np.arange(40), 5))
    rows = training.some_rows_of(np.arange(40), 100, random_state=0)
    assert np.bincount(training.image[rows]).tolist() == [2] * 40
    rows = training.some_rows_of(np.arange(40), 40, random_state=0)
    assert np.bincount(training.image[rows]).tolist() == [1] * 40
    assert len(training.some_rows_of(np.arange(40), 10_000, random_state=0)) == 200


def test_limit_below_the_images_takes_whole_patients_of_each_class():
    labels = np.repeat([0, 1], [900, 100])
    patients = np.arange(1000) // 4
    training = training_set(labels, patients, image=np.repeat(np.arange(1000), 2))
    images = np.arange(1000)
    rows = training.some_rows_of(images, 200, random_state=1)
    taken = training.image[rows]
    assert len(np.unique(taken)) == len(taken)
    assert 200 <= len(taken) <= 208
    assert 20 <= (labels[taken] == 1).sum() <= 24
    for patient in np.unique(patients[taken]):
        assert np.isin(np.flatnonzero(patients == patient), taken).all()
    assert np.array_equal(rows, training.some_rows_of(images, 200, random_state=1))
    assert not np.array_equal(rows, training.some_rows_of(images, 200, random_state=2))
