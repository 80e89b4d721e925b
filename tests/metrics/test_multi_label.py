"""Averages over findings against resamples of patients."""

import numpy as np
from scipy.stats import norm

from featx.metrics.intervals import proportion_interval
from featx.metrics.multi_label import FindingScores, macro_auc_difference, macro_average
from featx.metrics.paired_tests import delong_test
from featx.metrics.ranking import auc_interval


def drawn(generator, n_patients=200):
    """Three findings of images whose scores share an effect of the patient; some are unknown."""
    patients = np.repeat(np.arange(n_patients), generator.integers(1, 5, n_patients))
    effect = generator.normal(size=n_patients)[patients]
    found = []
    for prevalence in (0.4, 0.3, 0.2):
        positive = generator.random(len(patients)) < prevalence
        scores = 1.4 * positive + effect + generator.normal(size=len(patients))
        known = generator.random(len(patients)) < 0.9
        found.append((positive[known], scores[known], patients[known]))
    return found


def measured(positive, scores, patients):
    called = scores > 0.7
    outcomes = {
        "accuracy": (called == positive, positive | True),
        "sensitivity": (called, positive),
        "specificity": (~called, ~positive),
        "ppv": (positive, called),
        "npv": (~positive, ~called),
        "f1": (positive & called, positive | called),
    }
    figures = {n: proportion_interval(o[a], patients[a]) for n, (o, a) in outcomes.items()}
    figures["auc"] = auc_interval(positive, scores, patients=patients)
    both = np.column_stack([1 - scores, scores])
    codes = positive.astype(int), both, called.astype(int)
    return FindingScores(*codes, patients.astype(str), figures)


def test_intervals_are_those_of_resampled_patients(generator):
    findings = drawn(generator)
    average = macro_average([measured(*each) for each in findings])
    n_patients = 1 + max(int(patients.max()) for *_, patients in findings)
    resampled = {"auc": [], "sensitivity": []}
    for _ in range(400):
        weights = np.bincount(generator.integers(0, n_patients, n_patients), minlength=n_patients)
        values = []
        for positive, scores, patients in findings:
            rows = np.repeat(np.arange(len(patients)), weights[patients])
            truth, score = positive[rows], scores[rows]
            area = auc_interval(truth, score).value
            values.append((area, (score[truth] > 0.7).mean()))
        for name, value in zip(resampled, np.mean(values, axis=0), strict=True):
            resampled[name].append(value)
    for name, values in resampled.items():
        half = (average[name].high - average[name].low) / 2
        assert 0.85 < half / (1.96 * np.std(values)) < 1.25, name
    # Without shared patients it would be narrower.
    alone = [
        np.diff([e.figures["auc"].low, e.figures["auc"].high])[0]
        for e in (measured(*each) for each in findings)
    ]
    width = average["auc"].high - average["auc"].low
    assert width > 1.05 * np.hypot.reduce(alone) / 3


def test_differences_are_those_of_resampled_patients(generator):
    findings = drawn(generator)
    pairs = []
    for positive, scores, patients in findings:
        other = scores + 0.7 * generator.normal(size=len(scores))
        pairs.append((measured(positive, scores, patients), measured(positive, other, patients)))
    first, second = zip(*pairs, strict=True)
    found = macro_auc_difference(first, second)
    alone = [
        delong_test(a.labels, a.probabilities[:, 1], b.probabilities[:, 1], patients=a.patients)
        for a, b in pairs
    ]
    assert np.isclose(found.difference, np.mean([each.difference for each in alone]))
    (one,) = alone[:1]
    assert np.allclose(
        [*vars(macro_auc_difference(first[:1], second[:1])).values()], [*vars(one).values()]
    )
    n_patients, resampled = 200, []
    for _ in range(400):
        weights = np.bincount(generator.integers(0, n_patients, n_patients), minlength=n_patients)
        values = []
        for a, b in pairs:
            rows = np.repeat(np.arange(len(a.labels)), weights[a.patients.astype(int)])
            areas = [
                auc_interval(a.labels[rows] == 1, each.probabilities[rows, 1]).value
                for each in (a, b)
            ]
            values.append(areas[0] - areas[1])
        resampled.append(np.mean(values))
    half = (found.high - found.low) / 2
    assert 0.85 < half / (1.96 * np.std(resampled)) < 1.25
    # The p-value is that of the same variance.
    assert 0.3 < norm.sf(abs(found.difference) / np.std(resampled)) * 2 / found.p_value < 3
    same = macro_auc_difference(first, first)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)
