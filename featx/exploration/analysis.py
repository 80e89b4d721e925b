"""Exploration of a feature matrix: map, neighbors, label issues, duplicates."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from featx.audit.duplicates import exact_pairs, near_pairs
from featx.audit.findings import Finding, make_finding
from featx.audit.fingerprints import take_fingerprints
from featx.audit.label_issues import find_label_issues
from featx.backbones._keras import quiet_stderr
from featx.classifiers.classifier import FeatureClassifier
from featx.classifiers.decision_scores import average_views
from featx.classifiers.registry import get_classifier
from featx.datasets.conversion import as_images
from featx.datasets.dataset import ImageDataset
from featx.datasets.inventory import summarize
from featx.errors import MissingExtraError, UnreadableImageError, UsageError, find_name
from featx.explanation.heatmaps import gray_image
from featx.exploration.map_page import TILE, Duplicate, Exploration, LabelIssue
from featx.features.matrix import FeatureMatrix
from featx.runtime.parallel import map_with_progress

MAPS = ("pca", "umap")

logger = logging.getLogger(__name__)

Features = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Pairs = list[tuple[int, int]]


def explore(
    matrix: FeatureMatrix | str | Path,
    images: Any = None,
    *,
    method: str = "pca",
    classifier: str = "logistic",
    neighbors: int = 8,
    random_state: int = 0,
    n_jobs: int | None = None,
    **rules: Any,
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
    **rules
        Rules by which `images` are opened, such as ``columns`` and ``root``
        (`featx.datasets.rules.OpeningRules`).

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
    if not isinstance(matrix, FeatureMatrix):
        path, matrix = matrix, FeatureMatrix.load(matrix)
        logger.info(f"{path}: {summarize(matrix)}")
    method, classifier = find_name("map", method, MAPS), get_classifier(classifier).name
    _check(matrix, method, neighbors)
    means = average_views(np.asarray(matrix.X), matrix.image, matrix.n_images)
    features = StandardScaler().fit_transform(means)
    coordinates, explained = _map(features, method, random_state)
    count = min(neighbors, matrix.n_images - 1)
    # Called without rows, it never lists an image among its own neighbors.
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(features)
    distances, nearest = search.kneighbors()
    probabilities, issues, notes = _label_issues(matrix, classifier, random_state, n_jobs)
    given = None if images is None else as_images(images, labeled=False, **rules)
    thumbnails, duplicates, more = _see(matrix, given)
    notes += more
    findings = _leaks(matrix, duplicates)
    return Exploration(
        matrix=matrix,
        method=method,
        coordinates=coordinates,
        explained=explained,
        neighbors=nearest.astype(np.int64),
        distances=distances,
        probabilities=probabilities,
        label_issues=issues,
        duplicates=duplicates,
        thumbnails=thumbnails,
        notes=(*(finding.alarm for finding in findings), *notes),
        findings=findings,
    )


def _see(
    matrix: FeatureMatrix, images: ImageDataset | None
) -> tuple[npt.NDArray[np.uint8] | None, tuple[Duplicate, ...], list[str]]:
    """Return thumbnails, duplicates and notes, from the images as far as they are given."""
    own, thumbnails, notes = np.arange(matrix.n_images), None, []
    if images is None:
        pairs = _pairs_by_features(matrix)
        notes.append(
            "No thumbnails, and only duplicates with equal bytes or equal features: the images "
            "themselves were not given. Pass images (--images)."
        )
    else:
        own, matched = _matched(matrix, images)
        thumbnails = np.zeros((matrix.n_images, TILE, TILE), dtype=np.uint8)
        thumbnails[own] = map_with_progress(
            partial(_thumbnail, matched), range(len(matched)), "Making thumbnails"
        )
        pairs = _pairs_by_pixels(matched)
        if len(own) < matrix.n_images:
            notes.append(
                f"{matrix.n_images - len(own):,} of {matrix.n_images:,} images of the matrix are "
                "not among the images given: they have no thumbnail, and their duplicates are "
                "not searched."
            )
    # Each pair is listed once, by the first kind that it is of.
    kinds: dict[tuple[int, int], str] = {}
    for kind, found in pairs.items():
        kinds |= {pair: kind for pair in found if pair not in kinds}
    duplicates = tuple(Duplicate(int(own[i]), int(own[j]), kinds[i, j]) for i, j in kinds)
    return thumbnails, duplicates, notes


def _leaks(matrix: FeatureMatrix, duplicates: Sequence[Duplicate]) -> tuple[Finding, ...]:
    """Find duplicates and patients on both sides of the matrix's own test split."""
    names, in_test = matrix.names, matrix.splits == "test"
    found = []
    for exact, kind in ((True, "exact-duplicates-across"), (False, "near-duplicates-across")):
        across = [
            f"{names[pair.first]} = {names[pair.second]}"
            for pair in duplicates
            if in_test[pair.first] != in_test[pair.second]
            and (pair.kind != "near duplicate") == exact
        ]
        found += make_finding(kind, "leak", across, {"set": "test"})
    if matrix.patients_known:
        shared = np.intersect1d(matrix.patients[in_test], matrix.patients[~in_test])
        found += make_finding("patients-across", "leak", [f"patient {name}" for name in shared])
    return tuple(found)


def _check(matrix: FeatureMatrix, method: str, neighbors: int) -> None:
    if method == "umap" and importlib.util.find_spec("umap") is None:
        raise MissingExtraError("A map by UMAP", "featx[umap]")
    if matrix.n_images < 3:
        raise UsageError(f"{matrix!r} is too small for a map; give three images or more")
    if neighbors < 1:
        raise UsageError(f"neighbors={neighbors} is too small; give at least 1")


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


def _pairs_by_features(matrix: FeatureMatrix) -> dict[str, Pairs]:
    pairs = {"same file": exact_pairs(np.array(matrix.digests, dtype=np.str_))}
    # Augmented views depend on a file's bytes: only view 0 of two duplicates is equal.
    if (matrix.view == 0).all():
        rows = [hashlib.sha256(matrix.X[row]).hexdigest() for row in np.argsort(matrix.image)]
        pairs["same features"] = exact_pairs(np.array(rows, dtype=np.str_))
    return pairs


def _pairs_by_pixels(images: ImageDataset) -> dict[str, Pairs]:
    fingerprints = take_fingerprints([images], "Searching duplicates")
    return {
        "same file": exact_pairs(fingerprints.digests),
        "same pixels": exact_pairs(fingerprints.contents),
        "near duplicate": near_pairs([images], fingerprints),
    }


def _matched(matrix: FeatureMatrix, images: ImageDataset) -> tuple[Places, ImageDataset]:
    """Return which images of the matrix are given, and those images."""

    def digest(index: int) -> str:
        try:
            return images.digest(index)
        except UnreadableImageError:
            return ""

    digests = map_with_progress(digest, range(len(images)), "Matching images")
    place = {digest: index for index, digest in enumerate(digests)}
    own = [index for index, digest in enumerate(matrix.digests) if digest in place]
    if not own:
        raise UsageError(
            f"none of the {len(images):,} images given is in the matrix; give the images that it "
            "was extracted from, or leave --images out"
        )
    return np.array(own), images.select([place[matrix.digests[index]] for index in own])


def _thumbnail(images: ImageDataset, index: int) -> npt.NDArray[np.uint8]:
    """Make a small square picture of an image, its aspect ratio kept; black if unreadable."""
    tile = Image.new("L", (TILE, TILE))
    try:
        small = gray_image(images.read(index), TILE)
    except UnreadableImageError:
        return np.asarray(tile)
    tile.paste(small, ((TILE - small.width) // 2, (TILE - small.height) // 2))
    return np.asarray(tile)
