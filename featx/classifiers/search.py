"""Search of a classifier's settings by cross-validation grouped by patient, and the refits."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from featx.classifiers.decision_scores import (
    Scores,
    average_views,
    classifier_scores,
    one_vs_rest_auc,
    pipeline_scores,
)
from featx.classifiers.parallel import n_workers, run_all
from featx.classifiers.registry import ClassifierSpec
from featx.classifiers.sample_weight import row_weights
from featx.classifiers.shared_fits import PreparedFold, SharedFits
from featx.classifiers.training_set import Fold, Indices, TrainingSet
from featx.runtime.progress import progress

__all__ = ["Candidate", "Search"]

# Memory of all shared fits together; beyond it fewer run at once, or nothing is shared.
_SHARED_BYTES = 2 * 2**30

# With fewer rows LIBSVM itself takes about a second.
_FEWEST_ROWS_FOR_ONEDAL = 5000


@dataclass(frozen=True, eq=False)
class Candidate:
    """Settings with their out-of-fold scores of all images and the AUC of these."""

    parameters: dict[str, Any]
    auc: float
    out_of_fold: Scores


@dataclass(frozen=True)
class Search:
    """A search of one classifier's settings on given folds of a training set.

    Parameters
    ----------
    folds : list of (ndarray of int64, ndarray of int64)
        Training and held-out images of each fold.
    rows : int
        Approximate number of training rows per fold during the search.
    n_jobs : int or None
        Number of fits at once; see `featx.classifiers.parallel.run_all`.
    """

    spec: ClassifierSpec
    training: TrainingSet
    folds: list[Fold]
    random_state: int
    rows: int
    n_jobs: int | None

    def candidates(self) -> list[dict[str, Any]]:
        """List the settings to try; they fit the smallest fold."""
        smallest = min(len(rows) for rows in self._training_rows())
        return self.spec.candidates((smallest, self.training.X.shape[1]))

    def _training_rows(self) -> list[Indices]:
        return [
            self.training.some_rows_of(images, self.rows, self.random_state)
            for images, _ in self.folds
        ]

    def run(self, advance: Callable[..., None]) -> list[Candidate]:
        """Try all settings in all folds."""
        tasks = [
            (self.spec, self.training, rows, validation, self.random_state)
            for rows, (_, validation) in zip(self._training_rows(), self.folds, strict=True)
        ]
        prepared = run_all(_prepare, tasks, n_jobs=self.n_jobs)
        candidates = self.candidates()
        pooled = [
            self._pooled(list(scores))
            for scores in zip(*self._scores(prepared, candidates, advance), strict=True)
        ]
        return [
            Candidate(parameters, one_vs_rest_auc(self.training.labels, scores), scores)
            for parameters, scores in zip(candidates, pooled, strict=True)
        ]

    def _scores(
        self,
        prepared: list[PreparedFold],
        candidates: list[dict[str, Any]],
        advance: Callable[..., None],
    ) -> list[list[Scores]]:
        """Return the scores of held-out images, of each fold in the order of candidates."""
        shared = self.spec.shared_fits
        if shared is not None:
            workers = n_workers(self.n_jobs)
            largest = max(shared.memory(fold) for fold in prepared)
            workers = min(workers, _SHARED_BYTES // largest) if largest else workers
            if workers:
                return _shared_scores(shared, prepared, candidates, workers, advance)
        pairs = [(fold, parameters) for fold in prepared for parameters in candidates]
        scores = run_all(_held_out_scores, pairs, n_jobs=self.n_jobs, advance=advance)
        k = len(candidates)
        return [scores[k * i : k * (i + 1)] for i in range(len(prepared))]

    def _pooled(self, fold_scores: list[Scores]) -> Scores:
        """Put the scores of held-out images in the order of images."""
        validated = np.concatenate([validation for _, validation in self.folds])
        return np.concatenate(fold_scores)[np.argsort(validated)]

    def fit_best(self) -> tuple[list[Candidate], Candidate, Pipeline, Scores]:
        """Search and refit; return all candidates, the best, its pipeline and its scores."""
        total = len(self.candidates()) * len(self.folds) + len(self.folds) + 1
        with progress(f"Fitting {self.spec.name}", total=total, unit="fits") as advance:
            candidates = self.run(advance)
            best = max(candidates, key=lambda candidate: candidate.auc)
            return candidates, best, *self.refit(best, advance)

    def refit(self, chosen: Candidate, advance: Callable[..., None]) -> tuple[Pipeline, Scores]:
        """Fit chosen settings on all rows, and in each fold for out-of-fold scores.

        Folds whose search was on all of their rows are not fitted again.

        Returns
        -------
        out_of_fold : ndarray of float64, shape (n_images,) or (n_images, n_classes)
            Each image's score by the fit that had not seen its patient.
        """
        everything = np.arange(len(self.training.labels))
        sides: list[tuple[Indices, Indices | None]] = [(everything, None)]
        if self._searched_on_all_rows():
            advance(len(self.folds))
            (pipeline,) = self._fits(chosen.parameters, sides, advance)
            return pipeline, chosen.out_of_fold
        pipeline, *fold_scores = self._fits(chosen.parameters, [*sides, *self.folds], advance)
        return pipeline, self._pooled(fold_scores)

    def _searched_on_all_rows(self) -> bool:
        return all(
            len(rows) == len(self.training.rows_of(images))
            for rows, (images, _) in zip(self._training_rows(), self.folds, strict=True)
        )

    def fit(self, parameters: dict[str, Any], images: Indices | None = None) -> Pipeline:
        """Fit chosen settings on all rows of all images, or of some."""
        chosen = np.arange(len(self.training.labels)) if images is None else images
        (pipeline,) = self._fits(parameters, [(chosen, None)])
        return pipeline

    def out_of_fold(
        self, parameters: dict[str, Any], advance: Callable[..., None] | None = None
    ) -> Scores:
        """Fit chosen settings in each fold, for out-of-fold scores; see `refit`."""
        return self._pooled(self._fits(parameters, self.folds, advance))

    def _fits(
        self,
        parameters: dict[str, Any],
        sides: Sequence[tuple[Indices, Indices | None]],
        advance: Callable[..., None] | None = None,
    ) -> list[Any]:
        tasks = [
            (self.spec, parameters, self.training, training, validation, self.random_state)
            for training, validation in sides
        ]
        return run_all(_refit, tasks, n_jobs=self.n_jobs, advance=advance)


def _pieces(folds: int, groups: int, workers: int) -> list[int]:
    """Return the number of tasks to cut each fold into, so that no worker waits for long.

    Folds stay whole, because tasks share nothing with each other, except the last ones where they
    would leave workers idle.

    Examples
    --------
    >>> _pieces(5, groups=4, workers=2)
    [1, 1, 1, 1, 2]
    >>> _pieces(5, groups=4, workers=16)
    [3, 3, 3, 3, 3]
    """
    left_over = folds % workers
    pieces = min(groups, workers // left_over) if left_over else 1
    return [1] * (folds - left_over) + [pieces] * left_over


def _prepare(
    spec: ClassifierSpec,
    training: TrainingSet,
    rows: Indices,
    validation: Indices,
    random_state: int,
) -> PreparedFold:
    pipeline = spec.make((len(rows), training.X.shape[1]), random_state)
    shared = Pipeline(pipeline.steps[:-1])
    image = training.image[rows]
    labels = training.labels[image]
    held_out, position = _rows_and_positions(training, validation)
    return PreparedFold(
        classifier=pipeline.steps[-1][1],
        training=shared.fit_transform(training.X[rows]),
        training_labels=labels,
        weights=row_weights(labels, image) if spec.weighted else None,
        validation=shared.transform(training.X[held_out]),
        validation_image=position,
        validation_images=len(validation),
    )


def _held_out_scores(fold: PreparedFold, parameters: dict[str, Any]) -> Scores:
    classifier = fold.fit(fold.training, **parameters)
    return fold.image_scores(classifier_scores(classifier, fold.validation))


def _shared_scores(
    shared: SharedFits,
    prepared: list[PreparedFold],
    candidates: list[dict[str, Any]],
    workers: int,
    advance: Callable[..., None],
) -> list[list[Scores]]:
    """Return the scores of held-out images, of each fold in the order of candidates."""
    groups = shared.groups(candidates)
    tasks: list[tuple[int, list[list[int]]]] = []
    for fold, pieces in enumerate(_pieces(len(prepared), len(groups), workers)):
        ends = [len(groups) * piece // pieces for piece in range(pieces + 1)]
        tasks += [(fold, groups[start:end]) for start, end in itertools.pairwise(ends)]
    found = run_all(
        shared.scores,
        [
            (prepared[fold], [[candidates[i] for i in group] for group in piece])
            for fold, piece in tasks
        ],
        n_jobs=workers,
        advance=advance,
        steps=[sum(map(len, piece)) for _, piece in tasks],
    )
    of_fold: list[dict[int, Scores]] = [{} for _ in prepared]
    for (fold, piece), scores in zip(tasks, found, strict=True):
        for group, group_scores in zip(piece, scores, strict=True):
            of_fold[fold].update(zip(group, group_scores, strict=True))
    return [[scores[i] for i in range(len(candidates))] for scores in of_fold]


def _refit(
    spec: ClassifierSpec,
    parameters: dict[str, Any],
    training: TrainingSet,
    images: Indices,
    validation: Indices | None,
    random_state: int,
) -> Pipeline | Scores:
    """Return the pipeline, or where images are held out, their scores."""
    rows = training.rows_of(images)
    image = training.image[rows]
    labels = training.labels[image]
    pipeline = spec.make((len(rows), training.X.shape[1]), random_state)
    pipeline[-1].set_params(**parameters)
    weights = row_weights(labels, image) if spec.weighted else None
    _fit_pipeline(pipeline, training.X[rows], labels, weights)
    if validation is None:
        return pipeline
    held_out, position = _rows_and_positions(training, validation)
    return average_views(pipeline_scores(pipeline, training.X[held_out]), position, len(validation))


def _fit_pipeline(
    pipeline: Pipeline,
    X: npt.NDArray,
    labels: Indices,
    weights: npt.NDArray[np.float64] | None,
) -> None:
    """Fit a pipeline; a large SVM on the support vectors that scikit-learn-intelex finds."""
    name, classifier = pipeline.steps[-1]
    machine = None
    if isinstance(classifier, SVC) and len(X) >= _FEWEST_ROWS_FOR_ONEDAL:
        with contextlib.suppress(ImportError):
            from sklearnex import svm

            machine = svm.SVC(**classifier.get_params(), n_jobs=1)
    if machine is None:
        settings = {} if weights is None else {f"{name}__sample_weight": weights}
        pipeline.fit(X, labels, **settings)
        return
    prepared = pipeline[:-1].fit_transform(X) if len(pipeline) > 1 else X
    kept = np.sort(machine.fit(prepared, labels, weights).support_)
    classifier.fit(prepared[kept], labels[kept], None if weights is None else weights[kept])


def _rows_and_positions(training: TrainingSet, images: Indices) -> tuple[Indices, Indices]:
    """Return the rows of some images, and for each row its image's place among them."""
    rows = training.rows_of(images)
    place = np.empty(len(training.labels), dtype=np.int64)
    place[images] = np.arange(len(images))
    return rows, place[training.image[rows]]
