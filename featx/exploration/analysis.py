"""Exploration of a feature matrix: a map, neighbors, doubtful labels, copies."""

from __future__ import annotations

import importlib
import importlib.util
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

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
from featx.errors import MissingExtraError, UnreadableImageError, UsageError, unknown_name
from featx.exploration.page import TILE, Copies, Exploration, Suspect
from featx.features.matrix import FeatureMatrix
from featx.runtime.parallel import jobs_at_a_time
from featx.runtime.progress import progress

__all__ = ["MAPS", "explore"]

MAPS = ("pca", "umap")

Features = npt.NDArray[np.float64]


def explore(
    matrix: FeatureMatrix,
    images: ImageDataset | None = None,
    *,
    method: str = "pca",
    classifier: str = "logistic",
    neighbors: int = 8,
    random_state: int = 0,
    n_jobs: int | None = None,
) -> Exploration:
    """Look at a feature matrix as a whole: what lies together, and what does not fit its label.

    Each image stands at the mean of its views' features, standardized over the images.

    Parameters
    ----------
    matrix : FeatureMatrix
        What `featx.extract` gave.
    images : ImageDataset, optional
        The images themselves, for thumbnails and for copies that are nearly the same; matched by
        the SHA-256 of their bytes.
    method : {"pca", "umap"}, default="pca"
        How features become a map; ``"umap"`` needs the extra ``featx[umap]``.
    classifier : str, default="logistic"
        Whose out-of-fold probabilities doubt labels; see `featx.fit`.
    neighbors : int, default=8
        How many nearest images to list of each.
    random_state : int, default=0
        Of folds and of UMAP.
    n_jobs : int, optional
        Fits at a time; see `featx.fit`.

    Returns
    -------
    Exploration
        ``exploration.save("explore.html")`` writes the page.

    Raises
    ------
    UsageError
        If a name is not known, there are fewer than three images, or none of `images` is in the
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
    >>> [found.names[suspect.image] for suspect in found.suspects]
    ['7.png']
    """
    _check(matrix, method, neighbors)
    get_classifier(classifier)
    features = StandardScaler().fit_transform(_means(matrix))
    coordinates, explained = _map(features, method, random_state)
    distances, nearest = _nearest(features, min(neighbors, matrix.n_images - 1))
    probabilities, suspects, notes = _doubts(matrix, classifier, random_state, n_jobs)
    thumbnails = None
    if images is None:
        copies = _copies_by_features(matrix, distances, nearest)
        notes.append(
            "There are no thumbnails, and only copies with the same bytes or the same features "
            "are found, since the images themselves were not given (--images)."
        )
    else:
        own, there = _matched(matrix, images)
        thumbnails = _thumbnails(matrix.n_images, own, images.select(there))
        copies = _copies_by_pixels(own, images.select(there))
        if len(own) < matrix.n_images:
            notes.append(
                f"{matrix.n_images - len(own):,} of {matrix.n_images:,} images of the matrix are "
                "not among the images given: they have no thumbnail, and are compared with none."
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
        suspects=suspects,
        copies=tuple(copies),
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
        raise UsageError(f"neighbors={neighbors}: at least 1 is needed")


def _means(matrix: FeatureMatrix) -> Features:
    """Average the rows of each image's views."""
    rows = np.arange(len(matrix))
    share = 1.0 / np.bincount(matrix.image, minlength=matrix.n_images)
    shape = (matrix.n_images, len(matrix))
    averaging = csr_array((share[matrix.image], (matrix.image, rows)), shape=shape)
    return np.asarray(averaging @ matrix.X, dtype=np.float64)


def _map(features: Features, method: str, random_state: int) -> tuple[Features, tuple[float, ...]]:
    if method == "pca":
        pca = PCA(2, svd_solver="randomized", random_state=random_state)
        places = pca.fit_transform(features)
        return places, tuple(pca.explained_variance_ratio_.tolist())
    # It imports TensorFlow, if that is there, which talks.
    with quiet_stderr():
        umap = importlib.import_module("umap")
    # With a seed UMAP uses one thread; said here, it does not warn.
    reducer = umap.UMAP(random_state=random_state, n_jobs=1)
    return np.asarray(reducer.fit_transform(features), dtype=np.float64), ()


def _nearest(features: Features, count: int) -> tuple[Features, npt.NDArray[np.int64]]:
    """Return the distances and places of each image's nearest others."""
    found = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(features)
    # Asked without rows, it leaves each out of its own neighbors, also where copies are as near.
    distances, nearest = found.kneighbors()
    return distances, nearest.astype(np.int64)


def _doubts(
    matrix: FeatureMatrix, classifier: str, random_state: int, n_jobs: int | None
) -> tuple[Features, tuple[Suspect, ...], list[str]]:
    """Cross-validate by patient on all labeled images, those of a test split among them."""
    everything = replace(matrix, splits=np.full(matrix.n_images, ""))
    nothing = np.full((matrix.n_images, len(matrix.class_names)), np.nan)
    labeled = np.flatnonzero(matrix.labels >= 0)
    if len(np.unique(matrix.labels[labeled])) < 2:
        return nothing, (), ["Labels are not doubted, since there are none of two classes."]
    try:
        model = FeatureClassifier(classifier, random_state=random_state, n_jobs=n_jobs).fit_matrix(
            everything
        )
    except UsageError as error:
        return nothing, (), [f"Labels are not doubted: {error}."]
    probabilities = nothing
    probabilities[labeled] = model.out_of_fold_
    suspects = [
        Suspect(
            image=int(labeled[place]),
            labeled=matrix.class_names[matrix.labels[labeled[place]]],
            called=matrix.class_names[called],
            probability=float(model.out_of_fold_[place, matrix.labels[labeled[place]]]),
        )
        for place, called in find_label_issues(model.out_of_fold_, matrix.labels[labeled])
    ]
    return probabilities, tuple(suspects), []


def _copies_by_features(
    matrix: FeatureMatrix, distances: Features, nearest: npt.NDArray[np.int64]
) -> list[Copies]:
    same = exact_pairs(np.array(matrix.digests, dtype=np.str_))
    copies = [Copies(first, second, "same file") for first, second in same]
    # Augmented views depend on a file's bytes, so only view 0 of two copies is equal.
    unaugmented = bool((matrix.view == 0).all())
    if unaugmented:
        place = np.argsort(matrix.image)
        # Distances by inner products are not exactly zero; the features of equal pixels are equal.
        alike = {
            (min(pair), max(pair))
            for row, column in np.argwhere(distances < 1e-2).tolist()
            for pair in [(row, int(nearest[row, column]))]
            if np.array_equal(matrix.X[place[pair[0]]], matrix.X[place[pair[1]]])
        }
        copies += [Copies(*pair, "same features") for pair in sorted(alike - set(same))]
    return copies


def _copies_by_pixels(own: npt.NDArray[np.int64], images: ImageDataset) -> list[Copies]:
    fingerprints = take_fingerprints(images, "Looking for copies")
    files = exact_pairs(fingerprints.digests)
    pixels = [pair for pair in exact_pairs(fingerprints.contents) if pair not in set(files)]
    near = near_pairs([images], fingerprints)
    kinds = {"same file": files, "same pixels": pixels, "nearly the same picture": near}
    return [
        Copies(int(own[first]), int(own[second]), kind)
        for kind, pairs in kinds.items()
        for first, second in pairs
    ]


def _matched(
    matrix: FeatureMatrix, images: ImageDataset
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return which images of the matrix are there, and where."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, digest in enumerate(_digests(images)):
        places[digest].append(place)
    pairs = []
    for own, digest in enumerate(matrix.digests):
        there = places.get(digest)
        if there:
            # Two entries of one file get a file each, as long as there are several.
            pairs.append((own, there.pop(0) if len(there) > 1 else there[0]))
    if not pairs:
        raise UsageError(
            f"none of the {len(images):,} images given is in the matrix; give the images that it "
            "was extracted from, or leave --images out"
        )
    own_places, there_places = np.array(pairs, dtype=np.int64).T
    return own_places, there_places


def _digests(images: ImageDataset) -> Iterable[str]:
    def digest(index: int) -> str:
        try:
            return images.digest(index)
        except UnreadableImageError:
            return ""

    with (
        progress("Matching images", len(images), "images") as advance,
        ThreadPoolExecutor(jobs_at_a_time()) as workers,
    ):
        for found in workers.map(digest, range(len(images))):
            advance()
            yield found


def _thumbnails(
    count: int, own: npt.NDArray[np.int64], images: ImageDataset
) -> npt.NDArray[np.uint8]:
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

    with (
        progress("Making thumbnails", len(images), "images") as advance,
        ThreadPoolExecutor(jobs_at_a_time()) as workers,
    ):
        for _ in workers.map(make, range(len(images))):
            advance()
    return thumbnails
