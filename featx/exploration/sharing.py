"""Re-identification of patients from features, and its price in AUC where they are reduced."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from featx.classifiers.classifier import FeatureClassifier
from featx.classifiers.compatibility import check_finite
from featx.classifiers.decision_scores import average_views
from featx.errors import UsageError
from featx.features.matrix import FeatureMatrix
from featx.metrics.intervals import Interval, proportion_interval
from featx.metrics.ranking import macro_auc_interval
from featx.metrics.scores import flatten
from featx.runtime.files import put_bytes
from featx.runtime.serialization import plain_json

_COMPONENTS, _BITS = (None, 64, 16, 4), (None, 4, 1)
# Levels lie within so many standard deviations around the mean.
_SPAN = 3.0
_AT_ONCE = 1024


@dataclass(frozen=True)
class Variant:
    """One way of writing features: AUC out of fold, and rank-1 proportion of re-identification."""

    components: int | None
    bits: int | None
    features: int
    auc: Interval
    rank1: Interval
    exported: bool


@dataclass(frozen=True)
class Sharing:
    """How well features identify patients: as they are, the first variant, and in others.

    `queries` images are of the `patients` with several images; `chance` is the rank-1 proportion of
    a neighbor drawn at random. `views` is the greatest number of views of an image.
    """

    images: int
    queries: int
    patients: int
    views: int
    chance: float
    variants: tuple[Variant, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        rows = [
            {
                **{name: getattr(v, name) for name in ("components", "bits", "features")},
                **flatten({"auc": v.auc, "rank1": v.rank1}),
                "exported": v.exported,
            }
            for v in self.variants
        ]
        return {**vars(self), "variants": rows}

    def to_markdown(self) -> str:
        """Return the table and its explanation; it is aligned for a terminal, too."""
        lines = [("PCA", "Bits", "Features", "AUC", "Rank-1", "Times chance", "Written")]
        for v in self.variants:
            sizes = (f"{v.components or '-'}", f"{v.bits or '-'}", f"{v.features:,}")
            times = f"{v.rank1.value / self.chance:,.0f}"
            lines.append((*sizes, f"{v.auc}", f"{v.rank1:.1%}", times, "x" if v.exported else ""))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rule = [f"{'-' * (width - 1)}:" for width in widths]
        cells = [[c.rjust(w) for c, w in zip(line, widths, strict=True)] for line in lines]
        table = "".join(f"| {' | '.join(line)} |\n" for line in [cells[0], rule, *cells[1:]])
        views = f"the mean of its {self.views} views" if self.views > 1 else "its one view"
        return (
            f"{table}\nFeatures are personal data in every row: none of them is anonymous.\n\n"
            "Rank-1: proportion of images whose nearest other image (cosine distance of "
            f"standardized features) is of the same patient. {self.queries:,} images of "
            f"{self.patients:,} patients with several images were searched among all "
            f"{self.images:,}; chance is {self.chance:.3%}. The features of an image are those of "
            f"{views}. A trained attack can find more.\n\n"
            "AUC: logistic regression, out of fold by patient, on the features that would be "
            "written. 95 % intervals are clustered by patient.\n"
        )

    def save(self, out: Path) -> list[Path]:
        """Write ``NAME.share.md`` and ``NAME.share.json`` beside an export."""
        texts = {".share.md": self.to_markdown(), ".share.json": plain_json(self.to_dict()) + "\n"}
        files = [out.with_suffix(suffix) for suffix in texts]
        for path, text in zip(files, texts.values(), strict=True):
            put_bytes(path, text.encode())
        return files


def protect(
    matrix: FeatureMatrix, components: int | None = None, bits: int | None = None
) -> FeatureMatrix:
    """Reduce features to principal components, and round them, as `featx.export` says."""
    most = min(matrix.X.shape)
    if components is not None and not 1 <= components <= most:
        raise UsageError(f"{components} components of {matrix!r}; give a number from 1 to {most}")
    if bits is not None and not 1 <= bits <= 16:
        raise UsageError(f"rounding to {bits} bits; give a number from 1 to 16")
    if components is None and bits is None:
        return matrix
    check_finite(matrix)
    return _written(matrix, _reduced(matrix, components), components, bits)


def _reduced(matrix: FeatureMatrix, components: int | None) -> npt.NDArray[np.float64]:
    X = matrix.to_numpy().astype(np.float64)
    if components is None:
        return X
    pca = PCA(components, random_state=0)
    return np.asarray(pca.fit_transform(StandardScaler().fit_transform(X)))


def _written(
    matrix: FeatureMatrix, X: npt.NDArray[np.float64], components: int | None, bits: int | None
) -> FeatureMatrix:
    """Return the matrix with reduced features, rounded."""
    if bits is not None:
        mean, half = X.mean(axis=0), _SPAN * X.std(axis=0)
        steps = 2**bits - 1
        places = np.clip((X - mean) / np.where(half > 0, half, 1.0), -1, 1)
        X = mean + half * (2 * np.rint((places + 1) / 2 * steps) / steps - 1)
    own = {"components": components, "bits": bits, "of": [dict(r) for r in matrix.recipes]}
    recipe = {"backbone": "protected", **own}
    return replace(matrix, X=X.astype(np.float32), recipes=(recipe,))


def measure_sharing(
    matrix: FeatureMatrix, components: int | None = None, bits: int | None = None
) -> Sharing:
    """Measure re-identification and AUC of features as they are, in variants and as written."""
    if not matrix.patients_known:
        raise UsageError(
            f"the patients of {matrix!r} are unknown, so re-identification cannot be measured; "
            "extract it again with --patients (the cache is reused)"
        )
    numbers, counts = np.unique(matrix.patients, return_inverse=True, return_counts=True)[1:]
    several = counts[numbers] > 1
    if not several.any():
        raise UsageError(
            f"no patient of {matrix!r} has several images, so re-identification cannot be "
            "measured; give images of patients with several"
        )
    check_finite(matrix)
    others = (counts[numbers] - 1)[several]
    wanted = (components, bits)
    reduced = cache(partial(_reduced, matrix))

    def written(k: int | None, b: int | None) -> FeatureMatrix:
        return matrix if k is b is None else _written(matrix, reduced(k), k, b)

    grid = [(k, b) for k in _COMPONENTS if k is None or k < min(matrix.X.shape) for b in _BITS]
    return Sharing(
        images=matrix.n_images,
        queries=int(several.sum()),
        patients=int((counts > 1).sum()),
        views=int(np.bincount(matrix.image).max()),
        chance=float(others.mean() / (matrix.n_images - 1)),
        variants=tuple(
            _measure(written(*variant), numbers, several, variant, variant == wanted)
            for variant in dict.fromkeys([*grid, wanted])
        ),
    )


def _measure(
    written: FeatureMatrix,
    numbers: npt.NDArray[np.int64],
    several: npt.NDArray[np.bool_],
    variant: tuple[int | None, int | None],
    exported: bool,
) -> Variant:
    X = average_views(written.to_numpy().astype(np.float64), written.image, written.n_images)
    # Rounded features can tie; the order of files must not decide.
    order = np.random.default_rng(0).permutation(len(X))
    of_image, asked = numbers[order], several[order]
    same = of_image[nearest_other(StandardScaler().fit_transform(X[order]))] == of_image
    rank1 = proportion_interval(same[asked], of_image[asked])
    return Variant(*variant, X.shape[1], _auc(written, X), rank1, exported)


def nearest_other(X: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the nearest other row of each row by cosine distance.

    Examples
    --------
    >>> nearest_other(np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]])).tolist()
    [2, 2, 0]
    """
    # A row of zeros has no direction.
    X = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), np.finfo(float).tiny)
    nearest = np.empty(len(X), dtype=np.int64)
    for start in range(0, len(X), _AT_ONCE):
        # Equal rows tie in spite of rounding errors.
        similar = (X[start : start + _AT_ONCE] @ X.T).round(12)
        rows = np.arange(len(similar))
        similar[rows, start + rows] = -np.inf
        nearest[start + rows] = similar.argmax(axis=1)
    return nearest


def _auc(matrix: FeatureMatrix, X: npt.NDArray[np.float64]) -> Interval:
    """Cross-validate a logistic regression by patient on all labeled images."""
    if len(np.unique(matrix.labels[matrix.labels >= 0])) < 2:
        return Interval.undefined()
    n = matrix.n_images
    images = replace(
        matrix,
        X=X.astype(np.float32),
        image=np.arange(n),
        view=np.zeros(n, dtype=np.int64),
        splits=np.full(n, ""),
    )
    model = FeatureClassifier("logistic").fit_matrix(images)
    of = dict(zip(matrix.digests, matrix.patients.tolist(), strict=True))
    patients = [of[digest] for digest in model.out_of_fold_images_.tolist()]
    return macro_auc_interval(
        model.out_of_fold_labels_, model.out_of_fold_scores_, patients=patients
    )
