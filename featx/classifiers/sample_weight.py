"""Class weights: every class counts alike, and every image once, whatever its number of views."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from featx.errors import UsageError

__all__ = ["class_weights", "row_weights"]


def class_weights(labels: npt.ArrayLike) -> dict[int, float]:
    r"""Return the weight at which every class has the same total.

    The weight of class :math:`c` is :math:`n / (k n_c)` with :math:`n` labels of :math:`k`
    classes, :math:`n_c` of them of class :math:`c`; for two classes :math:`n / (2 n_c)`.

    Parameters
    ----------
    labels : array-like of int, shape (n_images,)
        Class of each image, none below 0.

    References
    ----------
    .. [1] G. King, L. Zeng (2001), "Logistic regression in rare events data", Political Analysis
       9(2), 137-163.

    Examples
    --------
    >>> class_weights([0, 1, 1, 1])
    {0: 2.0, 1: 0.6666666666666666}
    """
    classes, counts = np.unique(np.asarray(labels), return_counts=True)
    if not len(classes):
        raise UsageError("there are no labels to weigh; give those of the training images")
    weights = counts.sum() / (len(classes) * counts)
    return {int(label): float(weight) for label, weight in zip(classes, weights, strict=True)}


def row_weights(
    labels: npt.NDArray[np.int64], image: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the weight of each row: its class's weight, shared among its image's views.

    So a penalty means the same whatever the number of views, and one chosen on few views holds
    for many.

    Parameters
    ----------
    labels : ndarray of int, shape (n_rows,)
        Class of each row's image.
    image : ndarray of int, shape (n_rows,)
        Which image each row shows.

    Returns
    -------
    ndarray of float64, shape (n_rows,)
        Sums to the number of images, and to the same in every class.

    Examples
    --------
    >>> row_weights(np.array([0, 0, 1, 1, 1]), np.array([0, 0, 1, 2, 3])).round(3).tolist()
    [1.0, 1.0, 0.667, 0.667, 0.667]
    """
    _, first, inverse, views = np.unique(
        image, return_index=True, return_inverse=True, return_counts=True
    )
    weight_of_class = class_weights(labels[first])
    per_image = np.array([weight_of_class[int(label)] for label in labels[first]]) / views
    return per_image[inverse]
