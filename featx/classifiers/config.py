"""Settings of a fit, validated once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from featx.classifiers.registry import get_classifier
from featx.errors import UsageError, check_names, find_name
from featx.metrics.operating_point import OperatingPoint
from featx.runtime.memory import parse_size

CALIBRATIONS = ("sigmoid", "isotonic", "none")


@dataclass(frozen=True)
class FitConfig:
    """Set how classifiers are searched, calibrated and fitted.

    `featx.fit`, `FeatureClassifier`, the benchmark and the command line share these settings. Use
    it where several fits should have the same ones.

    Parameters
    ----------
    classifier : str, default="svm"
        Name from `featx.list_classifiers`.
    cv : int, default=5
        Number of cross-validation folds, at least 2; fewer are used where the rarest class has
        fewer patients.
    operating_point : str or float, default="youden"
        Rule that chooses the threshold of two classes on out-of-fold probabilities: ``"youden"``,
        ``"f1"``, a probability, ``"sensitivity=0.95"``, ``"specificity=0.9"`` or ``"cost=FN:FP"``.
        With more classes, ``"youden"`` chooses cutoffs for the greatest mean sensitivity, and 0.5
        predicts the most probable class.
    calibration : {"sigmoid", "isotonic", "none"}, default="sigmoid"
        Probability calibration on out-of-fold scores.
    random_state : int, default=0
        Random seed of the folds and the classifier, 0 to 2**32 - 1.
    n_jobs : int, optional
        Number of fits at once; by default that of ``joblib.parallel_config``, otherwise one per
        core. Results do not depend on it.
    search_rows : int, default=6000
        Approximate number of training rows per fold during the search, at least 1. Views are
        dropped first, then patients; the chosen settings are fitted on all rows.
    memory : int or str, optional
        Memory that a fit may use, in bytes or as text such as ``"8GiB"``; by default all that is
        free. A larger matrix is read block by block (`featx.classifiers.out_of_core`).

    Raises
    ------
    UsageError
        If a name is unknown or a number is out of range.

    Examples
    --------
    >>> config = FitConfig("logistic", cv=3)
    >>> FitConfig.from_dict(config.to_dict()) == config
    True
    """

    classifier: str = "svm"
    cv: int = 5
    operating_point: str | float = "youden"
    calibration: str = "sigmoid"
    random_state: int = 0
    n_jobs: int | None = None
    search_rows: int = 6000
    memory: str | int | None = None

    def __post_init__(self) -> None:
        names = {
            "classifier": get_classifier(self.classifier).name,
            "calibration": find_name("calibration", self.calibration, CALIBRATIONS),
        }
        for name, value in names.items():
            object.__setattr__(self, name, value)
        OperatingPoint.parse(self.operating_point)
        for name, least in (("cv", 2), ("search_rows", 1), ("random_state", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name}={getattr(self, name)}: at least {least} is needed")
        if self.n_jobs == 0:
            raise UsageError("n_jobs=0: no fit would run; give 1 or more, or -1 for all cores")
        if self.memory is not None:
            parse_size(self.memory)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON or YAML."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **overrides: Any) -> FitConfig:
        """Return the config that `to_dict` wrote, with some settings replaced.

        Raises
        ------
        UsageError
            If a setting is unknown.
        """
        values = {**values, **overrides}
        check_names("setting of a fit", values, [field.name for field in fields(cls)])
        return cls(**values)
