"""Operating point: the threshold of a model, or its cutoffs with more than two classes.

scikit-learn's `confusion_matrix_at_thresholds` (1.8) has no midpoints and is above our floor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from featx.errors import UsageError
from featx.metrics.labels import check_binary, check_scores

__all__ = ["OperatingPoint", "Threshold", "decide"]

Threshold = float | tuple[float, ...] | None
"""Of two classes a probability; of more, one cutoff per class; None for the most probable class."""

# Powers of the class proportions, the likeliest first: calibrated probabilities need 1.
_POWERS = (1.0, 0.75, 1.25, 0.5, 1.5, 0.25, 0.0)

_ALLOWED = (
    "youden, f1, a probability such as 0.5, sensitivity=0.95, specificity=0.9, or cost=FN:FP such "
    "as cost=5:1"
)


def decide(probabilities: npt.ArrayLike, threshold: Threshold) -> npt.NDArray[np.int64]:
    """Return the index of the class that probabilities predict at a threshold.

    With two classes, a threshold is the least probability at which the last one is predicted. With
    more, the class is predicted whose probability is the greatest multiple of its cutoff, or with
    None or one number the most probable class.

    Examples
    --------
    >>> decide([[0.7, 0.3], [0.4, 0.6]], threshold=0.3).tolist()
    [1, 1]
    >>> decide([[0.7, 0.2, 0.1], [0.8, 0.15, 0.05]], threshold=(0.62, 0.33, 0.05)).tolist()
    [2, 0]
    """
    table = np.asarray(probabilities, dtype=np.float64)
    if isinstance(threshold, tuple):
        return (table / np.array(threshold)).argmax(axis=1)
    if threshold is None or table.shape[1] > 2:
        return table.argmax(axis=1)
    return (table[:, 1] >= threshold).astype(np.int64)


@dataclass(frozen=True)
class OperatingPoint:
    """Choose the threshold of a two-class task, or cutoffs of more classes, by a rule.

    `featx.fit` applies it to out-of-fold probabilities.

    Parameters
    ----------
    criterion : {"youden", "f1", "fixed", "sensitivity", "specificity", "cost"}
        Criterion to optimize or to reach.
    value : float, default=0.0
        The threshold itself (``fixed``), the least sensitivity or specificity, or the cost of a
        false negative divided by that of a false positive (``cost``).

    Notes
    -----
    Of equally good thresholds the lowest is chosen, because a missed pneumonia is worse than a
    false positive. Costs refer to the prevalence in the training images.

    References
    ----------
    .. [1] W. J. Youden (1950), "Index for rating diagnostic tests", Cancer 3(1), 32-35.

    Examples
    --------
    >>> point = OperatingPoint.parse("sensitivity=0.5")
    >>> point.threshold([False, True, False, True], [0.125, 0.25, 0.5, 0.75])
    0.625
    """

    criterion: str
    value: float = 0.0

    @classmethod
    def parse(cls, text: str | float) -> OperatingPoint:
        """Parse an operating point as users write it.

        Parameters
        ----------
        text : str or float
            ``"youden"``, ``"f1"``, a probability, ``"sensitivity=0.95"``, ``"specificity=0.9"``
            or ``"cost=FN:FP"``, the costs of a false negative and a false positive.

        Raises
        ------
        UsageError
            If it is none of these, or a number is out of its range.

        Examples
        --------
        >>> OperatingPoint.parse("cost=5:2")
        OperatingPoint(criterion='cost', value=2.5)
        """
        word, _, number = str(text).strip().lower().partition("=")
        if word in ("youden", "f1") and not number:
            return cls(word)
        try:
            if word in ("sensitivity", "specificity"):
                return cls(word, _proportion(float(number), text))
            if word == "cost":
                fn, fp = (float(cost) for cost in number.split(":"))
                if not (0 < fn < np.inf and 0 < fp < np.inf):
                    raise UsageError(f"operating point {text!r}: both costs must be above 0")
                return cls("cost", fn / fp)
            return cls("fixed", _proportion(float(word if not number else "?"), text))
        except UsageError:
            raise
        except ValueError:
            raise UsageError(f"operating point {text!r} is not known; give {_ALLOWED}") from None

    def threshold(self, positive: npt.ArrayLike, probability: npt.ArrayLike) -> float:
        """Choose the probability from which images are predicted as positive.

        Parameters
        ----------
        positive : array-like of bool, shape (n_images,)
            Whether each image is positive; both classes occur.
        probability : array-like of float, shape (n_images,)
            Out-of-fold probability of the positive class, 0 to 1.

        Returns
        -------
        float
            Halfway between two neighboring probabilities, or between an outermost one and 0 or 1.
        """
        if self.criterion == "fixed":
            return self.value
        positive = check_binary(positive)
        probability = check_scores(probability, len(positive))
        distinct, rank = np.unique(probability, return_inverse=True)
        cuts = _midpoints(distinct)
        # Entry j: counts if all from the j-th distinct probability on are predicted positive.
        tp = _counts_from(rank[positive], len(cuts))
        fp = _counts_from(rank[~positive], len(cuts))
        return float(cuts[self._best(tp, fp)])

    def cutoffs(self, labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> Threshold:
        """Choose one cutoff per class, of more than two, for the greatest mean sensitivity.

        Calibrated probabilities divided by the class proportions have it [1]_: what class weights
        aim at in training, calibration takes back. As probabilities may not be calibrated, the
        proportions are taken to the power with the greatest mean sensitivity out of fold, if it is
        greater than with power 1 by more than the standard error.

        Parameters
        ----------
        labels : array-like of int, shape (n_images,)
            Class codes from 0; every class occurs.
        probabilities : array-like of float, shape (n_images, n_classes)
            Out-of-fold probabilities.

        Returns
        -------
        tuple of float or None
            They sum to 1; None with a fixed probability, for the most probable class.

        References
        ----------
        .. [1] A. K. Menon, S. Jayasumana, et al. (2021), "Long-tail learning via logit adjustment",
           ICLR.

        Examples
        --------
        >>> probabilities = [[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.5, 0.2, 0.3]]
        >>> OperatingPoint("youden").cutoffs([0, 0, 1, 2], probabilities)
        (0.5, 0.25, 0.25)
        """
        if self.criterion == "fixed":
            return None
        counts = np.bincount(np.asarray(labels))
        weights = (counts / counts.sum()) ** np.array(_POWERS)[:, None]
        cutoffs = [tuple(row) for row in (weights / weights.sum(axis=1)[:, None]).tolist()]
        correct = [decide(probabilities, each) == labels for each in cutoffs]
        recalls = np.array([np.bincount(labels, weights=each) for each in correct]) / counts
        error = np.sqrt((recalls[0] * (1 - recalls[0]) / counts).sum()) / len(counts)
        means = recalls.mean(axis=1)
        best = int(means.argmax())
        return cutoffs[best if means[best] > means[0] + error else 0]

    def choose(self, labels: npt.NDArray[np.int64], probabilities: npt.NDArray) -> Threshold:
        """Choose the `threshold` of two classes, or the `cutoffs` of more, on all probabilities."""
        if probabilities.shape[1] == 2:
            return self.threshold(labels == 1, probabilities[:, 1])
        return self.cutoffs(labels, probabilities)

    def check_classes(self, n_classes: int) -> None:
        """Check that the rule suits the number of classes."""
        neutral = (OperatingPoint("youden"), OperatingPoint("fixed", 0.5))
        if n_classes > 2 and self not in neutral:
            name = self.value if self.criterion == "fixed" else self.criterion
            raise UsageError(
                f"operating point {name!r} is for two classes, and there are {n_classes}, of "
                "which cutoffs are chosen for the greatest mean sensitivity; omit it, or give 0.5 "
                "to predict the most probable class"
            )

    def _best(self, tp: npt.NDArray[np.int64], fp: npt.NDArray[np.int64]) -> int:
        positives, negatives = int(tp[0]), int(fp[0])
        fn, tn = positives - tp, negatives - fp
        if self.criterion == "sensitivity":
            return int(np.flatnonzero(tp >= self.value * positives - 1e-9)[-1])
        if self.criterion == "specificity":
            return int(np.flatnonzero(tn >= self.value * negatives - 1e-9)[0])
        if self.criterion == "youden":
            # Integers, so that equal indices are equal.
            return int(np.argmax(tp * negatives - fp * positives))
        if self.criterion == "f1":
            return int(np.argmax(2 * tp / (2 * tp + fp + fn)))
        return int(np.argmin(self.value * fn + fp))


def _proportion(number: float, text: str | float) -> float:
    if not 0 < number < 1:
        raise UsageError(f"operating point {text!r}: the number must be between 0 and 1")
    return number


def _midpoints(distinct: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    edges = np.concatenate([[0.0], distinct, [1.0]])
    cuts = edges[:-1] + (edges[1:] - edges[:-1]) / 2
    # Between adjacent floats there is no middle; the upper one separates them as well.
    cuts = np.where(cuts > edges[:-1], cuts, edges[1:])
    if distinct[-1] >= 1:
        cuts[-1] = np.nextafter(1.0, 2.0)
    return cuts


def _counts_from(rank: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int64]:
    return np.bincount(rank, minlength=length)[::-1].cumsum()[::-1]
