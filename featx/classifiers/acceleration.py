"""Large support vector machines by way of scikit-learn-intelex, where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

__all__ = ["fit_pipeline"]

# Below, LIBSVM itself takes about a second.
_FEWEST_ROWS = 5000


def fit_pipeline(
    pipeline: Pipeline,
    X: npt.NDArray,
    labels: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float64] | None,
) -> None:
    """Fit a pipeline; a large machine at its end on its support vectors alone.

    Parameters
    ----------
    X : ndarray, shape (n_rows, n_features)
        Rows.
    labels : ndarray of int64, shape (n_rows,)
        Their class codes.
    weights : ndarray of float64, shape (n_rows,), or None
        Their weights.

    References
    ----------
    .. [1] C. Cortes, V. Vapnik (1995), "Support-vector networks", doi 10.1007/BF00994018.

    Examples
    --------
    >>> pipeline = Pipeline([("classify", SVC(kernel="linear"))])
    >>> fit_pipeline(pipeline, np.array([[0.0], [1.0]]), np.array([0, 1]), None)
    >>> pipeline.predict([[0.2], [0.9]]).tolist()
    [0, 1]
    """
    name, classifier = pipeline.steps[-1]
    machine = _fast_machine(classifier) if len(X) >= _FEWEST_ROWS else None
    if machine is None:
        settings = {} if weights is None else {f"{name}__sample_weight": weights}
        pipeline.fit(X, labels, **settings)
        return
    prepared = pipeline[:-1].fit_transform(X) if len(pipeline) > 1 else X
    kept = np.sort(machine.fit(prepared, labels, weights).support_)
    classifier.fit(prepared[kept], labels[kept], None if weights is None else weights[kept])


def _fast_machine(classifier: Any) -> Any | None:
    """Return oneDAL's machine of the same settings, or None where there is none."""
    if not isinstance(classifier, SVC):
        return None
    try:
        from sklearnex import svm
    except ImportError:
        return None
    # As many fits run side by side as there are cores.
    return svm.SVC(**classifier.get_params(), n_jobs=1)
