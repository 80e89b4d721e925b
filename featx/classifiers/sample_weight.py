"""Sample weights by class and number of views."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.utils.class_weight import compute_class_weight

__all__ = ["row_weights"]


def row_weights(
    labels: npt.NDArray[np.int64], image: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return balanced class weights, divided by the views of each image.

    So a penalty means the same for any number of views; weights sum to the number of images, and
    to the same in every class.

    References
    ----------
    .. [1] G. King, L. Zeng (2001), "Logistic regression in rare events data", Political Analysis
       9(2), 137-163.

    Examples
    --------
    >>> row_weights(np.array([0, 0, 1, 1, 1]), np.array([0, 0, 1, 2, 3])).round(3).tolist()
    [1.0, 1.0, 0.667, 0.667, 0.667]
    """
    _, first, inverse, views = np.unique(
        image, return_index=True, return_inverse=True, return_counts=True
    )
    classes, codes = np.unique(labels[first], return_inverse=True)
    weights = compute_class_weight("balanced", classes=classes, y=labels[first])
    return (weights[codes] / views)[inverse]
