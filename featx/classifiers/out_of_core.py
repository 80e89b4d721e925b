"""Fits on matrices larger than memory, by exact block-wise PCA.

The first pass over the matrix gives the scaling and components that scikit-learn would fit in
memory, the second the reduced rows, which are searched and fitted as any other. In memory each fold
has its own components; here all folds share those of all training rows, never of test images. If
not even the reduced rows fit into memory, views are dropped first, then patients.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.linalg.blas import dsyrk
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from featx.classifiers.config import FitConfig
from featx.classifiers.parallel import n_workers
from featx.classifiers.registry import ClassifierSpec, Shape
from featx.classifiers.scaling import Blocks, share_scales
from featx.classifiers.shared_fits import SharedFits
from featx.classifiers.training_set import Indices, TrainingSet, check_varies
from featx.errors import UsageError
from featx.features.columns import columns_recipe_of
from featx.features.lazy_rows import BLOCK_BYTES, row_blocks
from featx.features.matrix import FeatureMatrix
from featx.runtime.memory import readable_size, usable_memory
from featx.runtime.progress import progress

logger = logging.getLogger(__name__)

# For classifiers without PCA in memory.
COMPONENTS = 512

# A kernel machine takes time with the square of its rows.
_MOST_KERNEL_ROWS = 20_000

# Matrices of (features, features) float64, and blocks of rows, that exist at the same time.
_SQUARES, _BLOCKS = 6, 8

# Per value of a reduced row: itself, folds, a fit's copy, and the classifier's copies in float64.
_BYTES_PER_VALUE = 28
_BYTES_PER_ROW = 250
# Allocators need the rest.
_PROPORTION_FOR_ROWS = 0.7


class CovarianceAccumulator:
    """Sufficient statistics of rows for scaling and PCA.

    The center, a typical row, is subtracted before squaring to keep precision.

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub, R. J. LeVeque (1983), "Algorithms for computing the sample
       variance", The American Statistician 37(3), 242-247, doi 10.1080/00031305.1983.10483115.

    Examples
    --------
    >>> rows = np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 1.0], [7.0, 1.0]])
    >>> accumulator = CovarianceAccumulator(rows[0])
    >>> accumulator.add(rows)
    >>> accumulator.pipeline(1)["scale"].mean_.tolist()
    [4.0, 0.5]
    """

    def __init__(self, center: npt.NDArray[np.float64]) -> None:
        self.center = center
        self.count = 0
        self.sums = np.zeros(len(center))
        # Only the upper triangle is filled.
        self.products = np.zeros((len(center), len(center)), order="F")

    def add(self, rows: npt.NDArray) -> None:
        """Add rows, an array of shape (n_rows, n_features)."""
        shifted = rows - self.center
        self.count += len(rows)
        self.sums += shifted.sum(axis=0)
        self.products = dsyrk(1.0, shifted.T, beta=1.0, c=self.products, overwrite_c=True)

    def pipeline(self, components: int, blocks: Blocks = ()) -> Pipeline:
        """Return scaling and PCA, equal to scikit-learn's up to rounding."""
        mean = self.sums / self.count
        covariance = self.products / self.count
        covariance -= np.triu(np.outer(mean, mean))
        variance = np.maximum(np.diagonal(covariance), 0)
        scaler = StandardScaler()
        scaler.n_samples_seen_, scaler.n_features_in_ = np.int64(self.count), len(mean)
        scaler.mean_, scaler.var_ = mean + self.center, variance
        # A column whose variance is only rounding is constant and stays as it is.
        epsilon = np.finfo(np.float64).eps
        rounding = self.count * epsilon * variance + (self.count * scaler.mean_ * epsilon) ** 2
        scaler.scale_ = np.where(variance <= rounding, 1.0, np.sqrt(variance))
        share_scales(scaler, blocks)
        covariance /= scaler.scale_
        covariance /= scaler.scale_[:, None]
        covariance *= self.count / (self.count - 1)
        return Pipeline([("scale", scaler), ("compress", self._pca(covariance, components))])

    def _pca(self, covariance: npt.NDArray[np.float64], components: int) -> PCA:
        features = len(covariance)
        total = float(np.trace(covariance))
        variances, vectors = eigh(
            covariance,
            lower=False,
            overwrite_a=True,
            check_finite=False,
            subset_by_index=(features - components, features - 1),
        )
        variances, directions = np.maximum(variances[::-1], 0), vectors.T[::-1]
        # scikit-learn makes the largest weight of each direction positive.
        largest = np.abs(directions).argmax(axis=1)
        directions = directions * np.sign(directions[np.arange(components), largest])[:, None]
        pca = PCA(components, svd_solver="covariance_eigh")
        pca.n_features_in_, pca.n_samples_, pca.n_components_ = features, self.count, components
        pca.mean_ = np.zeros(features, dtype=np.float32)
        pca.components_ = np.ascontiguousarray(directions, dtype=np.float32)
        pca.explained_variance_ = variances
        pca.explained_variance_ratio_ = variances / total
        pca.singular_values_ = np.sqrt(variances * (self.count - 1))
        left = min(features, self.count) - components
        pca.noise_variance_ = (total - variances.sum()) / left if left > 0 else 0.0
        return pca


@dataclass(frozen=True, eq=False)
class FitPlan:
    """Training set and settings with which fits stay within memory.

    Where the memory is too small, `training` has reduced rows of the images at the positions
    `images`, `steps` are the fitted scaling and PCA, and `spec` has none of its own.
    """

    spec: ClassifierSpec
    training: TrainingSet
    config: FitConfig
    images: Indices
    steps: Pipeline | None = None

    def whole(self, pipeline: Pipeline) -> Pipeline:
        """Return a fitted pipeline with the steps that reduced its rows."""
        if self.steps is None:
            return pipeline
        return Pipeline([*self.steps.steps, pipeline.steps[-1]])


def plan_fits(spec: ClassifierSpec, training: TrainingSet, config: FitConfig) -> FitPlan:
    """Plan fits within memory; reduce the rows if necessary."""
    limit = _fits_at_once(training.X.nbytes, config)
    if limit == 0 and training.places is not None:
        raise UsageError(
            f"the matrix takes {readable_size(training.X.nbytes)}, and {spec.name} with columns of "
            "a table is fitted in memory only; allow more by --memory, or give fewer views"
        )
    if limit == 0:
        return reduce_rows(spec, training, config)
    n_jobs = config.n_jobs if limit is None else limit
    images = np.arange(len(training.labels))
    return FitPlan(spec, training, replace(config, n_jobs=n_jobs), images)


def select_images(matrix: FeatureMatrix, images: Indices, config: FitConfig) -> FeatureMatrix:
    """Select images of a matrix, on disk if they exceed memory."""
    lazy = not columns_recipe_of(matrix.recipes) and _fits_at_once(matrix.X.nbytes, config) == 0
    return (matrix.lazily() if lazy else matrix).select_images(images)


def _fits_at_once(size: int, config: FitConfig) -> int | None:
    """Return the number of fits that memory allows; None if unlimited."""
    # The training rows, and for each fit a copy and the scaled rows.
    possible = max(0, (usable_memory(config.memory) // max(1, size) - 1) // 2)
    return None if possible >= min(n_workers(config.n_jobs), config.cv + 1) else possible


def reduce_rows(spec: ClassifierSpec, training: TrainingSet, config: FitConfig) -> FitPlan:
    """Reduce a training set to principal components, block by block."""
    training.folds(config.cv, config.random_state)  # fails early where patients are too few
    rows, features = training.X.shape
    wanted = spec.make((rows, features), config.random_state).named_steps.get("compress")
    components = COMPONENTS if wanted is None else wanted.n_components
    components = max(1, min(components, rows - 1, features))
    free = usable_memory(config.memory)
    kept = _rows_that_fit(spec, training, components, free, config.random_state)
    logger.info(
        f"The matrix of {rows:,} rows takes {readable_size(training.X.nbytes)} and "
        f"{readable_size(free)} of memory are free, too little to fit {spec.name} directly: it is "
        f"read block by block and reduced to {components} components by PCA on all rows; "
        f"{spec.name} is fitted to {len(kept):,} reduced rows."
    )
    block = min(BLOCK_BYTES, free // (4 * _BLOCKS))
    check_varies(training.X)
    reduced = np.empty((len(kept), components), dtype=np.float32)
    with progress("Reading the matrix", rows + len(kept), "rows") as advance:
        first = next(row_blocks(training.X, size=block))[1]
        accumulator = CovarianceAccumulator(first.mean(axis=0, dtype=np.float64))
        for _, values in row_blocks(training.X, size=block):
            accumulator.add(values)
            advance(len(values))
        steps = accumulator.pipeline(components, training.blocks)
        for place, values in row_blocks(training.X, kept, block):
            reduced[place] = steps.transform(values)
            advance(len(values))
    grid = spec.grid
    images, image = np.unique(training.image[kept], return_inverse=True)
    labels, patients = training.labels[images], training.patients[images]
    training = TrainingSet(reduced, image, labels, patients, training.classes)
    spec = replace(
        spec,
        make=partial(_last_step, spec, features, free),
        # Settings such as the width of a kernel depend on the number of scaled features.
        grid=lambda shape: grid((shape[0], features)),
        shared_fits=SharedFits(),  # kernel matrices would take memory without a limit
    )
    limit = _fits_at_once(reduced.nbytes, config)
    n_jobs = config.n_jobs if limit is None else max(1, limit)
    return FitPlan(spec, training, replace(config, n_jobs=n_jobs), images, steps)


def _last_step(
    spec: ClassifierSpec, features: int, free: int, shape: Shape, random_state: int
) -> Pipeline:
    name, classifier = spec.make((shape[0], features), random_state).steps[-1]
    if isinstance(classifier, SVC):
        classifier.cache_size = max(1, min(classifier.cache_size, free >> 23))
    return Pipeline([("reduced", "passthrough"), (name, classifier)])


def _rows_that_fit(
    spec: ClassifierSpec, training: TrainingSet, components: int, free: int, random_state: int
) -> Indices:
    rows, features = training.X.shape
    fixed = _SQUARES * 8 * features**2
    per_row = _BYTES_PER_ROW + _BYTES_PER_VALUE * components
    limit = int(_PROPORTION_FOR_ROWS * (free - fixed) / per_row)
    fewest = 100 * len(training.classes)
    if limit < min(rows, fewest):
        needed = readable_size(fixed + per_row * min(rows, fewest) / _PROPORTION_FOR_ROWS)
        raise UsageError(
            f"{readable_size(free)} of memory are too little to fit {spec.name} on {features:,} "
            f"features; allow at least {needed}, or use a backbone with fewer features"
        )
    if isinstance(spec.make((rows, features), random_state)[-1], SVC):
        limit = min(limit, _MOST_KERNEL_ROWS)
    return training.some_rows_of(np.arange(len(training.labels)), limit, random_state)
