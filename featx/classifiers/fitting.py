"""From a feature matrix to a fitted model, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featx.classifiers.classifier import FeatureClassifier
from featx.classifiers.cluster import fits_on
from featx.features.matrix import FeatureMatrix

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["FeatureClassifier", "fit"]


def fit(
    matrix: FeatureMatrix,
    classifier: str = "svm",
    *,
    folds: int = 5,
    operating_point: str | float = "youden",
    calibration: str = "sigmoid",
    random_state: int = 0,
    n_jobs: int | None = None,
    search_rows: int = 6000,
    memory: str | int | None = None,
    client: Client | None = None,
) -> FeatureClassifier:
    """Fit a class-weighted classifier, its settings searched by patient.

    Images of split ``"test"`` and images without a label are left aside: everything is chosen on
    the others, those of ``"val"`` among them.

    Parameters
    ----------
    matrix : FeatureMatrix
        Features of images, one or more views of each.
    classifier : str, default="svm"
        ``svm``, ``logistic``, ``xgboost``, ``random_forest``, ``knn`` or ``naive_bayes``.
    folds : int, default=5
        Cross-validation folds; fewer where the rarest class has fewer patients.
    operating_point : str or float, default="youden"
        How the threshold is chosen on out-of-fold probabilities: ``"youden"``, ``"f1"``, a
        probability, ``"sensitivity=0.95"``, ``"specificity=0.9"``, ``"cost=FN:FP"``.
    calibration : {"sigmoid", "isotonic", "none"}, default="sigmoid"
        How scores become probabilities.
    random_state : int, default=0
        Of folds and of everything random in the classifier.
    n_jobs : int, optional
        Fits at a time; by default what ``joblib.parallel_config`` says, and outside it one a core.
    search_rows : int, default=6000
        About how many training rows a fold uses while settings are searched.
    memory : str or int, optional
        What the process may take, such as ``"8GiB"``; by default what there is. A matrix that is
        too large for it is read block by block, with a message.
    client : distributed.Client, optional
        Of a Dask cluster whose workers make the fits.

    Returns
    -------
    FeatureClassifier
        Fitted; an ordinary scikit-learn classifier with `predict_images` besides.

    Raises
    ------
    UsageError
        If a setting is not known, a class has too few patients, or a feature is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.arange(40) % 2
    >>> X = np.random.default_rng(0).normal(size=(40, 4)) + 3 * labels[:, None]
    >>> names = tuple(f"{i}.png" for i in range(40))
    >>> matrix = FeatureMatrix(
    ...     X=X.astype(np.float32), image=np.arange(40), view=np.zeros(40, dtype=int),
    ...     names=names, digests=names, labels=labels, patients=np.array(names),
    ...     splits=np.array([""] * 40), class_names=("NORMAL", "PNEUMONIA"),
    ... )
    >>> model = fit(matrix, "logistic", n_jobs=1)
    >>> model.predict_images(matrix).shape, model.classes_.tolist()
    ((40, 2), ['NORMAL', 'PNEUMONIA'])
    """
    model = FeatureClassifier(
        classifier,
        folds=folds,
        operating_point=operating_point,
        calibration=calibration,
        random_state=random_state,
        n_jobs=n_jobs,
        search_rows=search_rows,
    )
    with fits_on(client):
        return model.fit_matrix(matrix, memory=memory)
