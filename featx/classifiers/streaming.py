"""Search and refits on a matrix that is larger than the memory, read block by block."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from featx.classifiers.boosting import BoostedTrees, LabeledRows
from featx.classifiers.cluster import active_client
from featx.classifiers.compressed_rows import fit_in_place, temporary_rows
from featx.classifiers.moments import Moments
from featx.classifiers.parallel import run_all
from featx.classifiers.sample_weight import row_weights
from featx.classifiers.scores import Scores, average_views, classifier_scores, one_vs_rest_auc
from featx.classifiers.search import Candidate, Search, pipeline_scores
from featx.classifiers.shared import PreparedFold
from featx.classifiers.training import Indices
from featx.errors import UsageError
from featx.features.lazy_rows import BLOCK_BYTES, row_blocks
from featx.runtime.memory import readable_size
from featx.runtime.progress import progress

__all__ = ["StreamedSearch"]

logger = logging.getLogger(__name__)

# Of a classifier that takes features as they are. With all components its penalty would mean the
# same as without PCA; the directions left out vary least.
COMPONENTS = 512

# What classifiers make of a value of their rows, which lie in a temporary file: copies in float64,
# or of neighbors a model that must be held twice to be saved.
_BYTES_A_VALUE = 12

# These read rows where they lie: products, sums, bins in a file, trees on a few drawn rows.
_IN_PLACE = ("logistic", "naive_bayes", "xgboost", "random_forest")

# Numbers, places and orders of images and of rows while some of them are chosen.
_BYTES_AN_IMAGE = 150
_BYTES_A_ROW = 64
_BYTES_A_FITTED_ROW = 200

# What the rows of a fit may take of the memory that is left; allocators need the rest.
_SHARE_OF_ROWS = 0.7

# Blocks that live at once: as read, in float64, less the center, scaled.
_BLOCKS = 8

# A kernel machine takes time with the square of its rows, and scores with their number.
_MOST_KERNEL_ROWS = 20_000

# Matrices of (features, features) float64 that live at once while directions are found.
_SQUARES = 6


@dataclass(frozen=True)
class StreamedSearch(Search):
    """A search whose matrix stays on disk."""

    memory: int = 0

    def read(self) -> None:
        """Read the matrix once, and say what is done."""
        shape = self.training.X.shape
        _ = self._rows_that_fit, self._compressions
        learned = "all of them"
        if self._rows_that_fit < shape[0]:
            learned = (
                f"{self._rows_that_fit:,} of them at most, which costs some accuracy "
                f"({', '.join(_IN_PLACE)} would learn from all)"
                if self.record.name not in _IN_PLACE
                else f"{self._rows_that_fit:,} of them at most"
            )
        logger.info(
            f"The matrix of {shape[0]:,} rows is {readable_size(4 * shape[0] * shape[1])} and "
            f"{readable_size(self.memory)} of memory are free, too little to fit "
            f"{self.record.name} as a whole: it is read block by block, scaled and compressed to "
            f"{self._components} components by PCA on all rows, and {self.record.name} learns "
            f"from {learned}."
        )

    def describe(self) -> dict[str, Any]:
        """Return what a reader of the model should know of how it was fitted."""
        rows = min(self._rows_that_fit, len(self.training.X))
        return {"streamed": {"components": self._components, "rows_at_most": rows}}

    @cached_property
    def _components(self) -> int:
        rows, features = self._smallest, self.training.X.shape[1]
        compress = self.record.make((rows, features), self.random_state).named_steps.get("compress")
        wanted = COMPONENTS if compress is None else compress.n_components
        return max(1, min(wanted, rows - 1, features))

    @property
    def _block(self) -> int:
        return min(BLOCK_BYTES, self.memory // (4 * _BLOCKS))

    def _blocks(self, rows: Indices) -> Iterator[tuple[slice, npt.NDArray]]:
        return row_blocks(self.training.X, rows, self._block)

    @cached_property
    def _smallest(self) -> int:
        return min(len(self.training.rows_of(images)) for images, _ in self.folds)

    @cached_property
    def _fixed(self) -> int:
        """What is taken whatever number of rows is learned from, in bytes."""
        features = self.training.X.shape[1]
        tables = _BYTES_AN_IMAGE * len(self.training.labels) + _BYTES_A_ROW * len(self.training.X)
        return _SQUARES * 8 * features**2 + _BLOCKS * self._block + tables

    def _room(self, copied: bool) -> int:
        """Return how many rows there is memory for."""
        per_row = _BYTES_A_FITTED_ROW + copied * _BYTES_A_VALUE * self._components
        rows = int(_SHARE_OF_ROWS * (self.memory - self._fixed) / per_row)
        if rows < len(self.training.classes) * 100:
            raise UsageError(
                f"{readable_size(self.memory)} of memory are too little to fit on "
                f"{self.training.X.shape[1]:,} features, which takes "
                f"{readable_size(self._fixed + per_row * self.rows)} or more; "
                "give it more, or use a backbone with fewer features"
            )
        return rows

    @property
    def _in_place(self) -> bool:
        return self.record.name in _IN_PLACE and active_client() is None

    @cached_property
    def _rows_that_fit(self) -> int:
        rows = self._room(copied=not self._in_place)
        kernel = isinstance(self._classifier(1), SVC)
        return min(rows, _MOST_KERNEL_ROWS) if kernel else rows

    def _classifier(self, rows: int, parameters: dict[str, Any] | None = None) -> Any:
        shape = (rows, self.training.X.shape[1])
        classifier = self.record.make(shape, self.random_state).steps[-1][1]
        classifier.set_params(**(parameters or {}))
        if isinstance(classifier, SVC):
            classifier.cache_size = max(1, min(classifier.cache_size, self.memory >> 23))
        return classifier

    @cached_property
    def _center(self) -> npt.NDArray[np.float64]:
        _, block = next(row_blocks(self.training.X, size=self._block))
        return block.mean(axis=0, dtype=np.float64)

    def _moments(self, images: Indices, advance: Callable[..., None]) -> Moments:
        moments = Moments(self._center)
        for _, block in self._blocks(self.training.rows_of(images)):
            moments.add(block)
            advance(len(block))
        return moments

    @cached_property
    def _compressions(self) -> list[Pipeline]:
        """Scaling and PCA fitted to everything, then to each fold's training images."""
        rows, features = self.training.X.shape
        at_once = self.memory // 2 > (len(self.folds) + _SQUARES) * 8 * features**2
        everything = np.arange(len(self.training.labels))
        with progress("Reading the matrix", rows * (1 if at_once else 2), "rows") as advance:
            if at_once:
                parts = [self._moments(held_out, advance) for _, held_out in self.folds]
                whole = Moments.total(parts)
                rests = (whole.without(part) for part in parts)
            else:
                # A second reading costs time; the sums of all folds together too much memory.
                whole = self._moments(everything, advance)
                rests = (
                    whole.without(self._moments(held_out, advance)) for _, held_out in self.folds
                )
            return [moments.compression(self._components) for moments in (whole, *rests)]

    def _compressed(self, compression: Pipeline, rows: Indices) -> npt.NDArray[np.float32]:
        values = temporary_rows((len(rows), self._components))
        for place, block in self._blocks(rows):
            values[place] = compression.transform(block)
        return values

    def _training_rows(self) -> list[Indices]:
        limit = min(self.rows, self._rows_that_fit // (2 * len(self.folds)))
        return [
            self.training.some_rows_of(images, limit, self.random_state) for images, _ in self.folds
        ]

    def run(self, advance: Callable[..., None]) -> list[Candidate]:
        """Try all settings in all folds, on samples of their rows; see `Search.run`."""
        sampled: list[Indices] = []
        prepared = []
        for fold, rows in enumerate(self._training_rows()):
            held_out = self.training.some_rows_of(self.folds[fold][1], len(rows), self.random_state)
            images, position = np.unique(self.training.image[held_out], return_inverse=True)
            sampled.append(images)
            compression = self._compressions[1 + fold]
            prepared.append(
                PreparedFold(
                    self._classifier(len(rows)),
                    self._compressed(compression, rows),
                    *self._labels_and_weights(rows),
                    self._compressed(compression, held_out),
                    position,
                    len(images),
                )
            )
        candidates = self.candidates()
        scores = zip(*self._scores(prepared, candidates, advance), strict=True)
        images = np.concatenate(sampled)
        return [
            self._candidate(parameters, images, np.concatenate(fold_scores))
            for parameters, fold_scores in zip(candidates, scores, strict=True)
        ]

    def _scores(
        self,
        prepared: list[PreparedFold],
        candidates: list[dict[str, Any]],
        advance: Callable[..., None],
    ) -> list[list[Scores]]:
        tasks = [(fold, parameters, self._block) for fold in prepared for parameters in candidates]
        scores = iter(run_all(_held_out_scores, tasks, n_jobs=self.n_jobs, advance=advance))
        return [[next(scores) for _ in candidates] for _ in prepared]

    def _candidate(self, parameters: dict[str, Any], images: Indices, scores: Scores) -> Candidate:
        """Put the scores of sampled images in their places; of the others there is none."""
        out_of_fold = np.full((len(self.training.labels), *scores.shape[1:]), np.nan)
        out_of_fold[images] = scores
        auc = one_vs_rest_auc(self.training.labels[images], scores)
        return Candidate(parameters, auc, out_of_fold)

    def _searched_on_all_rows(self) -> bool:
        return False

    def _labels_and_weights(self, rows: Indices) -> tuple[Indices, npt.NDArray[np.float64] | None]:
        image = self.training.image[rows]
        labels = self.training.labels[image]
        return labels, row_weights(labels, image) if self.record.weighted else None

    def _fits(
        self,
        parameters: dict[str, Any],
        sides: Sequence[tuple[Indices, Indices | None]],
        advance: Callable[..., None] | None = None,
    ) -> list[Any]:
        results: list[Any] = []
        for images, held_out in sides:
            compression = self._compression_of(images)
            fitted = self._fitted(parameters, images, compression)
            pipeline = Pipeline([*compression.steps, ("classify", fitted)])
            results.append(pipeline if held_out is None else self._image_scores(pipeline, held_out))
            if advance is not None:
                advance()
        return results

    def _fitted(self, parameters: dict[str, Any], images: Indices, compression: Pipeline) -> Any:
        """Fit the last step to compressed rows of some images."""
        everything = self.training.rows_of(images)
        client = active_client()
        if client is not None and len(everything) > self._rows_that_fit:
            trees = self._classifier(len(everything), parameters)
            if isinstance(trees, BoostedTrees):
                blocks = self._labeled_blocks(everything, compression)
                return trees.fit_on_cluster(client, blocks)
        rows = self.training.some_rows_of(images, self._rows_that_fit, self.random_state)
        classifier = self._classifier(len(rows), parameters)
        values = self._compressed(compression, rows)
        task = (classifier, values, *self._labels_and_weights(rows), self._block)
        return run_all(fit_in_place, [task], n_jobs=self.n_jobs)[0]

    def _labeled_blocks(self, rows: Indices, compression: Pipeline) -> Iterator[LabeledRows]:
        """Yield compressed rows with their labels and weights, block by block."""
        labels, weights = self._labels_and_weights(rows)
        for place, block in self._blocks(rows):
            values = compression.transform(block)
            yield values, labels[place], np.ones(len(values)) if weights is None else weights[place]

    def _compression_of(self, images: Indices) -> Pipeline:
        for fold, (training, _) in enumerate(self.folds):
            if training is images:
                return self._compressions[1 + fold]
        return self._compressions[0]

    def _image_scores(self, pipeline: Pipeline, images: Indices) -> Scores:
        rows = self.training.rows_of(images)
        scores = [pipeline_scores(pipeline, X) for _, X in self._blocks(rows)]
        place = np.empty(len(self.training.labels), dtype=np.int64)
        place[images] = np.arange(len(images))
        position = place[self.training.image[rows]]
        return average_views(np.concatenate(scores), position, len(images))


def _held_out_scores(fold: PreparedFold, parameters: dict[str, Any], size: int) -> Scores:
    classifier = clone(fold.classifier).set_params(**parameters)
    fit_in_place(classifier, fold.training, fold.training_labels, fold.weights, size)
    blocks = row_blocks(fold.validation, size=size)
    scores = [classifier_scores(classifier, rows) for _, rows in blocks]
    return fold.image_scores(np.concatenate(scores))
