"""Labels that a cross-validated model is confident against."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["find_suspects"]


def find_suspects(
    probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]
) -> list[tuple[int, int]]:
    """List the images that are confidently counted among another class than they are labeled.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_images, n_classes)
        Out-of-fold, by models that had not seen the image's patient.
    labels : ndarray of int64, shape (n_images,)
        Class codes as given.

    References
    ----------
    .. [1] C. Northcutt, L. Jiang, I. Chuang (2021), "Confident learning: estimating uncertainty in
       dataset labels", JAIR 70, doi 10.1613/jair.1.12125.

    Examples
    --------
    >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.05, 0.95], [0.1, 0.9], [0.2, 0.8]])
    >>> find_suspects(probabilities, np.array([0, 0, 0, 1, 1]))
    [(2, 1)]
    """
    images = np.arange(len(labels))
    classes = range(probabilities.shape[1])
    present = np.isin(classes, labels)
    means = np.array(
        [probabilities[labels == c, c].mean() if present[c] else np.inf for c in classes]
    )
    confident = np.where(probabilities >= means, probabilities, -1.0)
    called = confident.argmax(axis=1)
    counted = (confident[images, called] >= 0) & (called != labels)
    suspects = images[counted]
    margin = probabilities[suspects, labels[suspects]] - probabilities[suspects, called[suspects]]
    order = np.argsort(margin, kind="stable")
    return [(int(image), int(called[image])) for image in suspects[order]]
