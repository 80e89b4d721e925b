import numpy as np
import pytest
from scipy import stats

from featx.errors import UsageError
from featx.metrics.decision import net_benefit, net_benefit_of_treating_all


def test_counts_of_a_two_by_two_table():
    """Of 100: 30 ill, of whom 24 are called; of 70 well, 14 are called; at 20 %."""
    labels = [1] * 30 + [0] * 70
    scores = [0.9] * 24 + [0.1] * 6 + [0.9] * 14 + [0.1] * 56
    benefit = net_benefit(labels, scores, [0.2])
    assert benefit == pytest.approx([24 / 100 - 14 / 100 * (0.2 / 0.8)])
    assert net_benefit_of_treating_all(labels, [0.2]) == pytest.approx([0.3 - 0.7 * 0.25])


def test_two_normal_populations_follow_the_closed_form(generator):
    """Scores N(0, 1) and N(2, 1), half and half: probabilities are exact, so is the benefit."""
    n = 200_000
    labels = np.repeat([False, True], n)
    x = generator.normal(0, 1, 2 * n) + 2.0 * labels
    probabilities = 1 / (1 + np.exp(2 - 2 * x))
    thresholds = np.array([0.05, 0.2, 0.5, 0.8, 0.95])
    cut = 1 + np.log(thresholds / (1 - thresholds)) / 2
    expected = 0.5 * stats.norm.sf(cut - 2) - 0.5 * stats.norm.sf(cut) * thresholds / (
        1 - thresholds
    )
    benefit = net_benefit(labels, probabilities, thresholds)
    # Six standard errors of the share of false positives, weighed 19 times at 0.95.
    errors = np.sqrt(0.25 / (2 * n)) * (1 + thresholds / (1 - thresholds)) * 6
    assert (np.abs(benefit - expected) < errors).all()
    # The best rule there is beats treating all and none everywhere.
    assert (benefit > np.maximum(0, net_benefit_of_treating_all(labels, thresholds))).all()


def test_a_threshold_of_nothing_treats_all(generator):
    labels, scores = generator.random(50) < 0.3, generator.random(50)
    assert net_benefit(labels, scores, [0.0]) == net_benefit_of_treating_all(labels, [0.0])


@pytest.mark.parametrize("threshold", [1.0, -0.1, np.nan])
def test_what_is_no_threshold_is_refused(threshold):
    with pytest.raises(UsageError, match="threshold probability"):
        net_benefit([True, False], [0.4, 0.6], [threshold])


def test_no_image_is_refused():
    with pytest.raises(UsageError, match="at least one"):
        net_benefit([], [], [0.5])
