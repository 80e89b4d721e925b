"""Exploration of a feature matrix: map, neighbors, label issues, duplicates."""

from __future__ import annotations

import importlib
import importlib.util
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from featx.audit.duplicates import exact_pairs, near_pairs
from featx.audit.fingerprints import take_fingerprints
from featx.audit.label_issues import find_label_issues
from featx.backbones._keras import quiet_stderr
from featx.classifiers.classifier import FeatureClassifier
from featx.classifiers.registry import get_classifier
from featx.datasets.dataset import ImageDataset
from featx.datasets.formats import as_images
from featx.errors import MissingExtraError, UnreadableImageError, UsageError, unknown_name
from featx.exploration.page import TILE, Duplicate, Exploration, LabelIssue
from featx.features.matrix import FeatureMatrix
from featx.runtime.parallel import map_with_progress

__all__ = ["MAPS", "explore"]

MAPS = ("pca", "umap")

Features = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


def explore(
    matrix: FeatureMatrix | str | Path,
    images: Any = None,
    *,
    method: str = "pca",
    classifier: str = "logistic",
    neighbors: int = 8,
    random_state: int = 0,
    n_jobs: int | None = None,
) -> Exploration:
    """Map images by their features; find neighbors, label issues and duplicates.

    Use it before a benchmark, to learn which images look alike to the network, which labels are
    probably wrong and which images occur twice. An image's features are the mean over its views,
    standardized over the images.

    Parameters
    ----------
    matrix : FeatureMatrix or path-like
        Features that `featx.extract` returned, or their file.
    images : path-like, sequence, data frame, array or ImageDataset, optional
        The images of the matrix in any form, for thumbnails and near duplicates; matched by the
        SHA-256 of their bytes.
    method : {"pca", "umap"}, default="pca"
        Projection of the features to two dimensions; ``"umap"`` needs the extra ``featx[umap]``.
    classifier : str, default="logistic"
        Classifier whose out-of-fold probabilities the label issues come from; see `featx.fit`.
    neighbors : int, default=8
        Number of nearest images listed for each image.
    random_state : int, default=0
        Seed of cross-validation folds and of UMAP.
    n_jobs : int, optional
        Number of fits at a time; see `featx.fit`.

    Returns
    -------
    Exploration
        ``exploration.save("explore.html")`` writes the page.

    Raises
    ------
    UsageError
        If a name is unknown, there are fewer than three images, or none of `images` is in the
        matrix.
    MissingExtraError
        If UMAP is not installed.

    Examples
    --------
    >>> labels = np.arange(40) % 2
    >>> X = np.random.default_rng(0).normal(size=(40, 6)) + 4 * labels[:, None]
    >>> names = tuple(f"{i}.png" for i in range(40))
    >>> matrix = FeatureMatrix(
    ...     X=X.astype(np.float32), image=np.arange(40), view=np.zeros(40, dtype=int),
    ...     names=names, digests=names, labels=np.where(np.arange(40) == 7, 0, labels),
    ...     patients=np.array(names), splits=np.array([""] * 40),
    ...     class_names=("NORMAL", "PNEUMONIA"),
    ... )
    >>> found = explore(matrix, neighbors=3)
    >>> found
    Exploration(40 images, 1 label issue, 0 duplicates)
    >>> [found.names[issue.image] for issue in found.label_issues]
    ['7.png']
    """
    matrix = matrix if isinstance(matrix, FeatureMatrix) else FeatureMatrix.load(matrix)
    _check(matrix, method, neighbors)
    get_classifier(classifier)
    features = StandardScaler().fit_transform(_means(matrix))
    coordinates, explained = _map(features, method, random_state)
    distances, nearest = _nearest(features, min(neighbors, matrix.n_images - 1))
    probabilities, issues, notes = _label_issues(matrix, classifier, random_state, n_jobs)
    thumbnails = None
    if images is None:
        duplicates = _duplicates_by_features(matrix, distances, nearest)
        notes.append(
            "No thumbnails, and only duplicates with equal bytes or equal features: the images "
            "themselves were not given. Pass images (--images)."
        )
    else:
        dataset = as_images(images, labeled=False)
        own, there = _matched(matrix, dataset)
        matched = dataset.select(there)
        thumbnails = _thumbnails(matrix.n_images, own, matched)
        duplicates = _duplicates_by_pixels(own, matched)
        if len(own) < matrix.n_images:
            notes.append(
                f"{matrix.n_images - len(own):,} of {matrix.n_images:,} images of the matrix are "
                "not among the images given: they have no thumbnail, and their duplicates are "
                "not searched."
            )
    return Exploration(
        title=" + ".join(recipe["backbone"] for recipe in matrix.recipes) or "features",
        names=matrix.names,
        class_names=matrix.class_names,
        labels=matrix.labels,
        patients=matrix.patients,
        splits=matrix.splits,
        method=method,
        coordinates=coordinates,
        explained=explained,
        neighbors=nearest,
        distances=distances,
        probabilities=probabilities,
        label_issues=issues,
        duplicates=tuple(duplicates),
        thumbnails=thumbnails,
        notes=tuple(notes),
    )


def _check(matrix: FeatureMatrix, method: str, neighbors: int) -> None:
    if method not in MAPS:
        raise unknown_name("map", method, MAPS)
    if method == "umap" and importlib.util.find_spec("umap") is None:
        raise MissingExtraError("A map by UMAP", "featx[umap]")
    if matrix.n_images < 3:
        raise UsageError(f"{matrix!r} is too small for a map; give three images or more")
    if neighbors < 1:
        raise UsageError(f"neighbors={neighbors} is too small; give at least 1")


def _means(matrix: FeatureMatrix) -> Features:
    """Average the rows of each image's views."""
    rows = np.arange(len(matrix))
    weights = 1.0 / np.bincount(matrix.image, minlength=matrix.n_images)
    shape = (matrix.n_images, len(matrix))
    averaging = csr_array((weights[matrix.image], (matrix.image, rows)), shape=shape)
    return np.asarray(averaging @ matrix.X, dtype=np.float64)


def _map(features: Features, method: str, random_state: int) -> tuple[Features, tuple[float, ...]]:
    if method == "pca":
        pca = PCA(2, svd_solver="randomized", random_state=random_state)
        places = pca.fit_transform(features)
        return places, tuple(pca.explained_variance_ratio_.tolist())
    # UMAP imports TensorFlow where it is installed, which writes to standard error.
    with quiet_stderr():
        umap = importlib.import_module("umap")
    # With a seed UMAP uses one thread, and warns unless that is asked for.
    reducer = umap.UMAP(random_state=random_state, n_jobs=1)
    return np.asarray(reducer.fit_transform(features), dtype=np.float64), ()


def _nearest(features: Features, count: int) -> tuple[Features, Places]:
    """Return distances and places of each image's nearest other images."""
    found = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(features)
    # Called without rows, it never lists an image among its own neighbors.
    distances, nearest = found.kneighbors()
    return distances, nearest.astype(np.int64)


def _label_issues(
    matrix: FeatureMatrix, classifier: str, random_state: int, n_jobs: int | None
) -> tuple[Features, tuple[LabelIssue, ...], list[str]]:
    """Cross-validate by patient on all labeled images, also on those of the test split."""
    everything = replace(matrix, splits=np.full(matrix.n_images, ""))
    probabilities = np.full((matrix.n_images, len(matrix.class_names)), np.nan)
    labeled = np.flatnonzero(matrix.labels >= 0)
    if len(np.unique(matrix.labels[labeled])) < 2:
        return probabilities, (), ["Label issues need labels of two classes; there are none."]
    model = FeatureClassifier(classifier, random_state=random_state, n_jobs=n_jobs)
    try:
        model.fit_matrix(everything)
    except UsageError as error:
        return probabilities, (), [f"Label issues could not be searched: {error}."]
    probabilities[labeled] = model.out_of_fold_
    labels = matrix.labels[labeled]
    issues = [
        LabelIssue(
            image=int(labeled[place]),
            label=matrix.class_names[labels[place]],
            predicted=matrix.class_names[predicted],
            probability=float(model.out_of_fold_[place, labels[place]]),
        )
        for place, predicted in find_label_issues(model.out_of_fold_, labels)
    ]
    return probabilities, tuple(issues), []


def _duplicates_by_features(
    matrix: FeatureMatrix, distances: Features, nearest: Places
) -> list[Duplicate]:
    same = exact_pairs(np.array(matrix.digests, dtype=np.str_))
    duplicates = [Duplicate(first, second, "same file") for first, second in same]
    # Augmented views depend on a file's bytes: only view 0 of two duplicates is equal.
    if (matrix.view == 0).all():
        row_of = np.argsort(matrix.image)
        # Equal features have distances that are only nearly 0.
        candidates = {
            tuple(sorted((image, int(nearest[image, column]))))
            for image, column in np.argwhere(distances < 1e-2).tolist()
        }
        equal = {
            (first, second)
            for first, second in candidates
            if np.array_equal(matrix.X[row_of[first]], matrix.X[row_of[second]])
        }
        duplicates += [Duplicate(*pair, "same features") for pair in sorted(equal - set(same))]
    return duplicates


def _duplicates_by_pixels(own: Places, images: ImageDataset) -> list[Duplicate]:
    fingerprints = take_fingerprints([images], "Searching duplicates")
    files = exact_pairs(fingerprints.digests)
    pixels = [pair for pair in exact_pairs(fingerprints.contents) if pair not in set(files)]
    near = near_pairs([images], fingerprints)
    kinds = {"same file": files, "same pixels": pixels, "near duplicate": near}
    return [
        Duplicate(int(own[first]), int(own[second]), kind)
        for kind, pairs in kinds.items()
        for first, second in pairs
    ]


def _matched(matrix: FeatureMatrix, images: ImageDataset) -> tuple[Places, Places]:
    """Return which images of the matrix are given, and their places among those given."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, digest in enumerate(_digests(images)):
        places[digest].append(place)
    pairs = []
    for own, digest in enumerate(matrix.digests):
        there = places.get(digest)
        if there:
            # Entries with equal bytes each get their own file, as long as there are several.
            pairs.append((own, there.pop(0) if len(there) > 1 else there[0]))
    if not pairs:
        raise UsageError(
            f"none of the {len(images):,} images given is in the matrix; give the images that it "
            "was extracted from, or leave --images out"
        )
    own_places, there_places = np.array(pairs, dtype=np.int64).T
    return own_places, there_places


def _digests(images: ImageDataset) -> Sequence[str]:
    def digest(index: int) -> str:
        try:
            return images.digest(index)
        except UnreadableImageError:
            return ""

    return map_with_progress(digest, range(len(images)), "Matching images")


def _thumbnails(count: int, own: Places, images: ImageDataset) -> npt.NDArray[np.uint8]:
    """Make a small square picture of each image, its aspect ratio kept."""
    thumbnails = np.zeros((count, TILE, TILE), dtype=np.uint8)

    def make(index: int) -> None:
        try:
            pixels = images.read(index)
        except UnreadableImageError:
            return
        scale = TILE / max(pixels.shape)
        height, width = (max(1, round(side * scale)) for side in pixels.shape)
        small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        top, left = (TILE - height) // 2, (TILE - width) // 2
        thumbnails[own[index], top : top + height, left : left + width] = np.rint(small)

    map_with_progress(make, range(len(images)), "Making thumbnails")
    return thumbnails
