"""Prediction sets of stated coverage: an image whose set is not one class is left undecided."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from featx.classifiers.classifier import FeatureClassifier
from featx.errors import UsageError


def conformal_sets(
    model: FeatureClassifier, probabilities: npt.NDArray[np.float64], coverage: float
) -> npt.NDArray[np.bool_]:
    """Return the classes that each image may be of, at a coverage in each class.

    A class is left out where its probability is less than that of nearly all training images of the
    class out of fold: of at most a proportion of 1 - `coverage`. The set then holds the true class
    of that proportion of images of each class, if images are exchangeable with those of training:
    not at another hospital. Probabilities out of fold come from fits to fewer images, and several
    images of a patient are not independent, so that the coverage is approximate.

    References
    ----------
    Vovk V (2013). Conditional validity of inductive conformal predictors. Machine Learning
    92:349-376; Vovk V (2015). Cross-conformal predictors. Annals of Mathematics and Artificial
    Intelligence 74:9-28.
    """
    if not 0 < coverage < 1:
        raise UsageError(f"coverage={coverage}: give a proportion between 0 and 1")
    if "adapted" in model.provenance_:
        raise UsageError(
            "the model was adapted to other images, for which its probabilities out of fold say "
            "nothing; give the model that was fitted to training images alone"
        )
    held, sets = model.out_of_fold_, np.zeros(probabilities.shape, dtype=bool)
    for code, name in enumerate(model.classes_):
        own = np.sort(held[model.out_of_fold_labels_ == code, code])
        # With fewer, no image could ever be left out of the class.
        if (1 - coverage) * (len(own) + 1) < 1:
            needed = int(np.ceil(1 / (1 - coverage) - 1e-9)) - 1
            raise UsageError(
                f"coverage={coverage} needs at least {needed:,} training images of each class, and "
                f"{name} has {len(own):,}; give a lower coverage"
            )
        below = np.searchsorted(own, probabilities[:, code], side="right")
        sets[:, code] = (below + 1) / (len(own) + 1) > 1 - coverage
    return sets
