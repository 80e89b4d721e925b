"""Registry of classifiers: pipeline, settings to search and reference of each.

scikit-learn is imported when a pipeline is made, so that names are checked at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from featx.classifiers.shared_fits import PrecomputedKernels, SharedFits, WarmPath
from featx.errors import find_name

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# Frozen features are strongly correlated: this many components suffice, and kernels and trees
# become several times faster.
COMPONENTS = 192

# Up to here an eigendecomposition of the covariance is faster than a randomized one.
_EXACT_UP_TO_FEATURES = 2500

_CACHE_MEGABYTES = 400

# Views of an image are similar: trees on this many drawn rows differ more and cost less.
_ROWS_PER_TREE = 2000

Shape = tuple[int, int]
Grid = dict[str, list[Any]]


@dataclass(frozen=True, repr=False)
class ClassifierSpec:
    """Describe a classifier: how to build it, and which settings to search.

    Add one by putting its record into `CLASSIFIERS`; its pipeline ends in a scikit-learn
    classifier that `featx.classifiers.model_file` can store.

    Parameters
    ----------
    name : str
        Name in the registry and on the command line.
    title : str
        Name for tables and model cards.
    make : callable
        Returns the unfitted pipeline for training rows of shape (n_rows, n_features) and a random
        state.
    grid : callable
        Returns the settings of the last step to search, as lists of
        `sklearn.model_selection.ParameterGrid`, for training images of shape (n_images,
        n_features).
    reference : str
        Publication of the method.
    weighted : bool, default=True
        Whether its ``fit`` takes sample weights.
    counts_images : str, optional
        Setting of the last step that counts images; it is multiplied by the number of views per
        image, since the classifier sees rows.
    shared_fits : SharedFits, optional
        Faster fits of many settings in one fold; by default one by one.
    revision : int, default=0
        Raised whenever the same training data give another model, so that a benchmark does not
        mix rows of both.

    Examples
    --------
    >>> spec = get_classifier("logistic")
    >>> [name for name, _ in spec.make((100, 50), 0).steps]
    ['scale', 'classify']
    >>> spec.candidates((100, 50))[0]
    {'C': 0.0001}
    """

    name: str
    title: str
    make: Callable[[Shape, int], Pipeline]
    grid: Callable[[Shape], list[Grid]]
    reference: str
    weighted: bool = True
    counts_images: str | None = None
    shared_fits: SharedFits = field(default_factory=SharedFits)
    revision: int = 0

    def __repr__(self) -> str:
        return f"<ClassifierSpec {self.name}: {self.title}>"

    def candidates(self, shape: Shape) -> list[dict[str, Any]]:
        """List the settings to search for training images of shape (n_images, n_features)."""
        from sklearn.model_selection import ParameterGrid

        return list(ParameterGrid(self.grid(shape)))

    def of_rows(self, parameters: dict[str, Any], image: npt.NDArray[np.int64]) -> dict[str, Any]:
        """Return settings for training rows; `image` is the image of each.

        Examples
        --------
        >>> get_classifier("knn").of_rows({"n_neighbors": 5}, np.array([0, 0, 1, 1]))
        {'n_neighbors': 4}
        """
        name = self.counts_images
        if name is None:
            return parameters
        rows, images = len(image), len(np.unique(image))
        return {**parameters, name: round(min(parameters[name], images) * rows / images)}


def _compressed(classifier: Any, shape: Shape, random_state: int) -> Pipeline:
    from sklearn.decomposition import PCA
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    rows, features = shape
    components = max(1, min(COMPONENTS, rows - 1, features))
    exact = features <= min(rows, _EXACT_UP_TO_FEATURES)
    pca = PCA(
        components, svd_solver="covariance_eigh" if exact else "auto", random_state=random_state
    )
    return Pipeline([("scale", StandardScaler()), ("compress", pca), ("classify", classifier)])


def _make_svm(shape: Shape, random_state: int) -> Pipeline:
    from sklearn.svm import SVC

    return _compressed(SVC(cache_size=_CACHE_MEGABYTES), shape, random_state)


def _make_logistic(_shape: Shape, _random_state: int) -> Pipeline:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = LogisticRegression(max_iter=5000)
    return Pipeline([("scale", StandardScaler()), ("classify", classifier)])


def _make_xgboost(shape: Shape, random_state: int) -> Pipeline:
    from featx.classifiers.boosting import BoostedTrees
    from featx.classifiers.smooth_trees import SMOOTHING

    trees = BoostedTrees(
        n_estimators=300,
        subsample=0.8,
        colsample=0.5,
        random_state=random_state,
        smoothing=SMOOTHING,
    )
    return _compressed(trees, shape, random_state)


def _make_random_forest(shape: Shape, random_state: int) -> Pipeline:
    from featx.classifiers.smooth_trees import SmoothForest

    rows = None if shape[0] <= _ROWS_PER_TREE else _ROWS_PER_TREE
    forest = SmoothForest(200, max_samples=rows, random_state=random_state)
    return _compressed(forest, shape, random_state)


def _make_knn(shape: Shape, random_state: int) -> Pipeline:
    from sklearn.neighbors import KNeighborsClassifier

    return _compressed(KNeighborsClassifier(algorithm="brute"), shape, random_state)


def _make_naive_bayes(shape: Shape, random_state: int) -> Pipeline:
    from sklearn.naive_bayes import GaussianNB

    return _compressed(GaussianNB(), shape, random_state)


def _svm_grid(shape: Shape) -> list[Grid]:
    # Scaled features have a total variance of about their number, which sets the width.
    widths = [multiple / shape[1] for multiple in (0.1, 0.3, 1.0)]
    return [
        {"kernel": ["linear"], "C": [0.0003, 0.001, 0.01]},
        {"kernel": ["rbf"], "C": [1.0, 3.0, 10.0, 30.0], "gamma": widths},
    ]


def _knn_grid(shape: Shape) -> list[Grid]:
    neighbors = [count for count in (45, 15, 5) if count <= shape[0]] or [1]
    return [{"n_neighbors": neighbors, "weights": ["uniform", "distance"]}]


CLASSIFIERS: dict[str, ClassifierSpec] = {
    spec.name: spec
    for spec in (
        ClassifierSpec(
            "svm",
            "Support vector machine (linear or RBF)",
            _make_svm,
            _svm_grid,
            "C. Cortes, V. Vapnik (1995), Support-vector networks, doi 10.1007/BF00994018",
            shared_fits=PrecomputedKernels(),
        ),
        ClassifierSpec(
            "logistic",
            "Logistic regression (L2)",
            _make_logistic,
            lambda _: [{"C": [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1]}],
            "D. R. Cox (1958), The regression analysis of binary sequences, "
            "doi 10.1111/j.2517-6161.1958.tb00292.x",
            shared_fits=WarmPath(),
        ),
        ClassifierSpec(
            "xgboost",
            "XGBoost",
            _make_xgboost,
            lambda _: [{"max_depth": [2, 4], "learning_rate": [0.05, 0.15]}],
            "T. Chen, C. Guestrin (2016), XGBoost: a scalable tree boosting system, "
            "doi 10.1145/2939672.2939785",
            revision=1,
        ),
        ClassifierSpec(
            "random_forest",
            "Random forest",
            _make_random_forest,
            lambda _: [{"min_samples_leaf": [8, 3]}],
            "L. Breiman (2001), Random forests, doi 10.1023/A:1010933404324",
            revision=1,
        ),
        # Votes cannot be weighted; the operating point, chosen out of fold, balances the classes.
        ClassifierSpec(
            "knn",
            "k nearest neighbors",
            _make_knn,
            _knn_grid,
            "T. Cover, P. Hart (1967), Nearest neighbor pattern classification, "
            "doi 10.1109/TIT.1967.1053964",
            weighted=False,
            counts_images="n_neighbors",
            revision=1,
        ),
        # Balanced weights make its prior uniform.
        ClassifierSpec(
            "naive_bayes",
            "Gaussian naive Bayes",
            _make_naive_bayes,
            lambda _: [{"var_smoothing": [0.1, 0.01, 0.001, 1e-9]}],
            "D. J. Hand, K. Yu (2001), Idiot's Bayes: not so stupid after all?, "
            "doi 10.2307/1403452",
        ),
    )
}


def list_classifiers() -> list[ClassifierSpec]:
    """List the available classifiers.

    Examples
    --------
    >>> [spec.name for spec in list_classifiers()]
    ['svm', 'logistic', 'xgboost', 'random_forest', 'knn', 'naive_bayes']
    """
    return list(CLASSIFIERS.values())


def get_classifier(name: str) -> ClassifierSpec:
    """Return the record of a classifier, whatever the name's capitals, hyphens and underscores."""
    return CLASSIFIERS[find_name("classifier", name, CLASSIFIERS)]
