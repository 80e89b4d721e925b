"""Label issues: labels that a cross-validated model confidently contradicts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def find_label_issues(
    probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]
) -> list[tuple[int, int]]:
    """List images whose label is probably wrong, with the class they probably belong to.

    Probabilities, of shape (n_images, n_classes), are out of fold by patient.

    References
    ----------
    .. [1] C. Northcutt, L. Jiang, I. Chuang (2021), "Confident learning: estimating uncertainty in
       dataset labels", JAIR 70, doi 10.1613/jair.1.12125.

    Examples
    --------
    >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.05, 0.95], [0.1, 0.9], [0.2, 0.8]])
    >>> find_label_issues(probabilities, np.array([0, 0, 0, 1, 1]))
    [(2, 1)]
    """
    images = np.arange(len(labels))
    classes = range(probabilities.shape[1])
    present = np.isin(classes, labels)
    means = np.array(
        [probabilities[labels == c, c].mean() if present[c] else np.inf for c in classes]
    )
    confident = np.where(probabilities >= means, probabilities, -1.0)
    predicted = confident.argmax(axis=1)
    counted = (confident[images, predicted] >= 0) & (predicted != labels)
    issues = images[counted]
    margin = probabilities[issues, labels[issues]] - probabilities[issues, predicted[issues]]
    order = np.argsort(margin, kind="stable")
    return [(int(image), int(predicted[image])) for image in issues[order]]
