"""Published data and definitions written out plainly, to compare with."""

import numpy as np

# Ovarian cancer with intestinal obstruction, 43 patients with complete data out of the 49 of
# DeLong ER, DeLong DM, Clarke-Pearson DL (1988), Biometrics 44:837-845, as printed in the SAS/STAT
# user's guide, PROC LOGISTIC, "Comparing Receiver Operating Characteristic Curves",
# support.sas.com/documentation/cdl/en/statug/67523/HTML/default/statug_logistic_examples08.htm
# Each patient: albumin, total protein, Krebs-Goplerud score, outcome (0 is the event).
_OVARIAN = """
3.0 5.8 10 0   3.2 6.3  5 1   3.9 6.8  3 1   2.8 4.8  6 0
3.2 5.8  3 1   0.9 4.0  5 0   2.5 5.7  8 0   1.6 5.6  5 1
3.8 5.7  5 1   3.7 6.7  6 1   3.2 5.4  4 1   3.8 6.6  6 1
4.1 6.6  5 1   3.6 5.7  5 1   4.3 7.0  4 1   3.6 6.7  4 0
2.3 4.4  6 1   4.2 7.6  4 0   4.0 6.6  6 0   3.5 5.8  6 1
3.8 6.8  7 1   3.0 4.7  8 0   4.5 7.4  5 1   3.7 7.4  5 1
3.1 6.6  6 1   4.1 8.2  6 1   4.3 7.0  5 1   4.3 6.5  4 1
3.2 5.1  5 1   2.6 4.7  6 1   3.3 6.8  6 0   1.7 4.0  7 0
3.7 6.1  5 1   3.3 6.3  7 1   4.2 7.7  6 1   3.5 6.2  5 1
2.9 5.7  9 0   2.1 4.8  7 1   2.8 6.2  8 0   4.0 7.0  7 1
3.3 5.7  6 1   3.7 6.9  5 1   3.6 6.6  5 1
"""


def ovarian_cancer():
    """Labels, and for each test its scores (higher for the event)."""
    albumin, protein, krebs_goplerud, outcome = np.array(_OVARIAN.split(), float).reshape(-1, 4).T
    return outcome == 0, {"albumin": -albumin, "protein": -protein, "k-g": krebs_goplerud}


def delong_by_definition(positive, *scores):
    """Areas and their covariance matrix straight from the 1988 article, in O(m n)."""
    wins = []
    for score in scores:
        above, below = score[positive][:, None], score[~positive][None, :]
        wins.append((above > below) + 0.5 * (above == below))
    of_positives = np.array([win.mean(axis=1) for win in wins])
    of_negatives = np.array([win.mean(axis=0) for win in wins])
    covariance = np.atleast_2d(np.cov(of_positives)) / positive.sum()
    covariance = covariance + np.atleast_2d(np.cov(of_negatives)) / (~positive).sum()
    return np.array([win.mean() for win in wins]), covariance


def binormal(generator, n, distance, images_per_patient=1, within=1.0):
    """Labels, scores and patients; patients share their label and a part of the score's noise."""
    n_patients = n // images_per_patient
    patients = np.repeat(np.arange(n_patients), images_per_patient)
    positive = (generator.random(n_patients) < 0.6)[patients]
    shared = generator.normal(size=n_patients)[patients]
    own = generator.normal(size=len(patients))
    noise = np.sqrt(1 - within) * shared + np.sqrt(within) * own
    return positive, noise + distance * positive, patients


# ROC curve of ndka for a poor outcome after aneurysmal subarachnoid hemorrhage: 113 patients of
# Turck N et al. (2010), Intensive Care Medicine 36:107-115, as pROC's own tests print it
# (github.com/xrobin/pROC, tests/testthat/helper-roc-expected.R). At each distinct value, from the
# lowest: a poor outcome at these, a good one at all others, both at 33, 63 and 76, two good at 30.
_POOR = """2 5 6 7 17 24 25 28 32 33 38 41 48 49 50 52 55 61 63 66 69 70 72 73 76 77 78 82 87 88 89
90 93 97 98 99 100 103 105 107 109"""


def asah_ndka():
    """Whether each patient's outcome was poor, and the place of their ndka."""
    poor = np.array(_POOR.split(), int)
    good = np.sort([*set(range(1, 110)) - set(poor.tolist()), 30, 33, 63, 76])
    return np.arange(113) < len(poor), np.concatenate([poor, good]).astype(float)
