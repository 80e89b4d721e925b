import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from featx.classifiers.sample_weight import class_weights, row_weights
from featx.errors import UsageError


def test_seed_counts():
    # The report of 2022: total / (2 * normal) and total / (2 * pneumonia).
    weights = class_weights(np.array([0] * 1080 + [1] * 3105))
    assert weights == {0: 4185 / (2 * 1080), 1: 4185 / (2 * 3105)}
    assert weights[0] == pytest.approx(1.9375)
    assert weights[1] == pytest.approx(0.673913, abs=1e-6)


def test_as_scikit_learn_balances():
    labels = np.random.default_rng(0).choice(4, size=500, p=[0.1, 0.2, 0.3, 0.4])
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    assert list(class_weights(labels).values()) == pytest.approx(expected)


def test_no_labels():
    with pytest.raises(UsageError, match="no labels"):
        class_weights([])


def test_rows_share_their_image():
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    image = np.array([0, 0, 0, 1, 2, 2, 3])  # 1 image of class 0, 3 of class 1
    weights = row_weights(labels, image)
    assert weights[:3] == pytest.approx([4 / 2 / 3] * 3)
    assert weights[3:] == pytest.approx([4 / 6, 4 / 12, 4 / 12, 4 / 6])
    assert weights[labels == 0].sum() == pytest.approx(weights[labels == 1].sum())


def test_more_views_of_every_image_change_no_total():
    labels, image = np.array([0, 1, 1]), np.arange(3)
    once = row_weights(labels, image)
    thrice = row_weights(np.repeat(labels, 3), np.repeat(image, 3))
    assert thrice.reshape(3, 3).sum(axis=1) == pytest.approx(once)
