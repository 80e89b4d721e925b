"""Settings of a fit, validated once."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FitConfig"]


@dataclass(frozen=True)
class FitConfig:
    """Set how classifiers are fitted.

    Parameters
    ----------
    classifier : str, default="svm"
        Name from `featx.list_classifiers`.
    cv : int, default=5
        Number of cross-validation folds, grouped by patient; fewer where the rarest class has
        fewer patients.
    operating_point : str or float, default="youden"
        Rule by which the threshold is chosen on out-of-fold probabilities.
    calibration : {"sigmoid", "isotonic", "none"}, default="sigmoid"
        How scores become probabilities, on out-of-fold scores.
    random_state : int, default=0
        Random seed of folds and classifiers.
    search_rows : int, default=6000
        Approximate number of training rows per fold in the search for hyper-parameters.
    """

    classifier: str = "svm"
    cv: int = 5
    operating_point: str | float = "youden"
    calibration: str = "sigmoid"
    random_state: int = 0
    search_rows: int = 6000
