import numpy as np
import pytest

from featx.classifiers.training_set import row_weights


def test_counts_of_the_report_of_2022():
    # total / (2 * normal) and total / (2 * pneumonia)
    labels = np.array([0] * 1080 + [1] * 3105)
    weights = row_weights(labels, np.arange(4185))
    assert set(weights[:1080]) == {4185 / (2 * 1080)}
    assert set(weights[1080:]) == {4185 / (2 * 3105)}


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
