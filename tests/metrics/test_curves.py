import numpy as np
import pytest
from sklearn import metrics

from featx.metrics.curves import precision_recall_curve, roc_curve


@pytest.fixture
def scored(generator):
    labels = generator.random(300) < 0.4
    # Rounded, so that there are ties within and between classes.
    return labels, (generator.normal(0, 1, 300) + labels).round(1)


def test_roc_corners_are_those_of_scikit_learn(scored):
    curve = roc_curve(*scored, n_bootstrap=10)
    x, y, _ = metrics.roc_curve(*scored, drop_intermediate=False)
    np.testing.assert_allclose(curve.x, x)
    np.testing.assert_allclose(curve.y, y)


def test_precision_is_that_of_scikit_learn_and_its_area_the_average_precision(scored):
    curve = precision_recall_curve(*scored, n_bootstrap=10)
    area = float(np.diff(curve.x) @ curve.y[1:])
    assert area == pytest.approx(metrics.average_precision_score(*scored))
    precision, recall, _ = metrics.precision_recall_curve(*scored)
    points = set(zip(recall.round(9).tolist(), precision.round(9).tolist(), strict=True))
    assert set(zip(curve.x[1:].round(9), curve.y[1:].round(9), strict=True)) <= points


@pytest.mark.parametrize("draw", [roc_curve, precision_recall_curve])
def test_bands_are_seeded_and_hold_most_of_the_curve(scored, draw):
    curve, again = (draw(*scored, n_bootstrap=400, random_state=1) for _ in range(2))
    np.testing.assert_array_equal(curve.low, again.low)
    assert (curve.low <= curve.high).all()
    heights = np.interp(curve.grid[10:-10], curve.x, curve.y)
    assert (curve.low[10:-10] - 0.05 < heights).all() and (
        heights < curve.high[10:-10] + 0.05
    ).all()


def test_the_roc_band_is_that_of_resampling_by_hand(scored):
    labels, scores = scored
    curve = roc_curve(labels, scores, n_bootstrap=2000)
    generator = np.random.default_rng(7)
    heights = []
    for _ in range(2000):
        drawn = generator.integers(len(labels), size=len(labels))
        x, y, _ = metrics.roc_curve(labels[drawn], scores[drawn], drop_intermediate=False)
        heights.append(np.interp(0.3, x, y))
    low, high = np.quantile(heights, [0.025, 0.975])
    assert curve.low[30] == pytest.approx(low, abs=0.02)
    assert curve.high[30] == pytest.approx(high, abs=0.02)


def test_images_of_one_patient_widen_the_band(scored):
    labels, scores = (np.repeat(part, 4) for part in scored)
    owners = np.repeat(np.arange(300), 4)
    alone, together = roc_curve(labels, scores), roc_curve(labels, scores, owners)
    assert (together.high - together.low).mean() > 1.7 * (alone.high - alone.low).mean()


def test_one_patient_has_no_band():
    curve = roc_curve([0, 1, 1], [0.1, 0.2, 0.3], ["a", "a", "a"])
    assert len(curve.low) == len(curve.grid) == 0
    assert curve.y[-1] == 1


def test_few_patients_may_be_drawn_without_a_class():
    curve = precision_recall_curve([0, 1], [0.1, 0.2], n_bootstrap=50)
    assert np.isfinite(curve.low).all()
