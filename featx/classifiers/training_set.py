"""Training rows with images and patients, folds by patient, and weights by class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from sklearn.utils.class_weight import compute_class_weight

from featx.classifiers.clinical import ColumnPlaces
from featx.classifiers.scaling import Blocks, BlockScaler, tuned_blocks
from featx.datasets.splitting import patient_folds
from featx.errors import UsageError
from featx.features.lazy_rows import row_blocks
from featx.features.matrix import FeatureMatrix

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from featx.classifiers.registry import ClassifierSpec

Indices = npt.NDArray[np.int64]
Fold = tuple[Indices, Indices]


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Labeled images with their rows of features, one an (image, view)."""

    X: npt.NDArray
    # Index of each row's image; an image's rows are in the order of views.
    image: Indices
    labels: Indices
    patients: npt.NDArray
    classes: npt.NDArray
    # Blocks of columns that share one scale.
    blocks: Blocks = ()
    # Of columns of a table, which are beside the image features.
    places: ColumnPlaces | None = None

    @classmethod
    def of(cls, matrix: FeatureMatrix) -> TrainingSet:
        """Return the images of a matrix, all of them labeled."""
        classes = np.array(matrix.class_names, dtype=np.str_)
        blocks = tuned_blocks(matrix.feature_names)
        places = ColumnPlaces.of(matrix.recipes, matrix.X.shape[1])
        return cls(matrix.X, matrix.image, matrix.labels, matrix.patients, classes, blocks, places)

    def pipeline(self, spec: ClassifierSpec, rows: int, random_state: int) -> Pipeline:
        """Return an unfitted pipeline of a classifier for some rows of these features."""
        width = self.X.shape[1] if self.places is None else self.places.images
        pipeline = spec.make((rows, width), random_state)
        if self.blocks and "scale" in pipeline.named_steps:
            pipeline.set_params(scale=BlockScaler(self.blocks))
        return pipeline if self.places is None else self.places.pipeline(pipeline)

    def fit_arguments(
        self, rows: Indices, *, weighted: bool
    ) -> tuple[npt.NDArray, Indices, npt.NDArray[np.float64] | None]:
        """Return features, labels and weights of some rows, the last where a fit takes them."""
        image = self.image[rows]
        X, labels = self.X[rows], self.labels[image]
        check_varies(X)
        return X, labels, row_weights(labels, image) if weighted else None

    @cached_property
    def order_of_view(self) -> Indices:
        """Number of earlier rows of the same image, shape (n_rows,)."""
        order = np.argsort(self.image, kind="stable")
        first = np.searchsorted(self.image[order], self.image[order])
        position = np.empty(len(order), dtype=np.int64)
        position[order] = np.arange(len(order)) - first
        return position

    def rows_of(self, images: Indices, views: int | None = None) -> Indices:
        """Return the rows of some images, ascending."""
        wanted = np.zeros(len(self.labels), dtype=bool)
        wanted[images] = True
        kept = wanted[self.image]
        if views is not None:
            kept &= self.order_of_view < views
        return np.flatnonzero(kept)

    def some_rows_of(self, images: Indices, limit: int, random_state: int) -> Indices:
        """Return about `limit` rows: drop views first, then patients."""
        if len(images) > limit:
            images = self._some_patients(images, limit / len(images), random_state)
        return self.rows_of(images, views=max(1, limit // len(images)))

    def _some_patients(self, images: Indices, proportion: float, random_state: int) -> Indices:
        """Take whole patients until each class has its proportion of images."""
        _, patient = np.unique(self.patients[images], return_inverse=True)
        labels = self.labels[images]
        priority = np.random.default_rng(random_state).permutation(patient.max() + 1)[patient]
        taken = np.zeros(len(images), dtype=bool)
        classes, counts = np.unique(labels, return_counts=True)
        for label in classes[np.argsort(counts, kind="stable")]:
            of_class = labels == label
            missing = proportion * of_class.sum() - taken[of_class].sum()
            candidates = np.flatnonzero(of_class & ~taken)
            candidates = candidates[np.argsort(priority[candidates], kind="stable")]
            chosen = candidates[: max(0, int(np.ceil(missing)))]
            taken |= np.isin(patient, patient[chosen])
        return images[taken]

    def folds(self, n_splits: int, random_state: int) -> list[Fold]:
        """Split the images into folds by patient."""
        k = len(self.classes)
        if k < 2:
            raise UsageError(
                f"all training images are of one class ({', '.join(map(str, self.classes))}); "
                "a classifier needs images of at least two classes"
            )
        for label, name in enumerate(self.classes):
            n_patients = len(np.unique(self.patients[self.labels == label]))
            if n_patients < 2:
                raise UsageError(
                    f"class {str(name)!r} has training images of {n_patients or 'no'} patient, "
                    "and cross-validation by patient needs at least 2 in each class; add images "
                    "of more patients, or drop the class"
                )
        return patient_folds(
            self.labels, self.patients, n_splits=n_splits, random_state=random_state
        )


def check_varies(X: npt.NDArray) -> None:
    """Refuse training rows that are all equal."""
    first = X[:1]
    if all((first == rows).all() for _, rows in row_blocks(X)):
        raise UsageError(
            f"the features of all {len(X):,} training rows (of all folds or of one) are equal, so "
            "that nothing can be learned from them; look for blank images"
        )


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
