"""Search of a classifier's settings by grouped cross-validation, and refits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from featx.classifiers.config import FitConfig
from featx.classifiers.decision_scores import (
    Scores,
    average_views,
    one_vs_rest_auc,
    pipeline_scores,
)
from featx.classifiers.parallel import n_workers, run_all
from featx.classifiers.registry import ClassifierSpec
from featx.classifiers.shared_fits import PreparedFold, SharedFits
from featx.classifiers.training_set import Fold, Indices, TrainingSet
from featx.runtime.progress import progress

# Memory of all shared fits together; beyond it fewer run at once, or nothing is shared.
SHARED_BYTES = 2 * 2**30

# With fewer rows LIBSVM itself takes about a second.
_FEWEST_ROWS_FOR_ONEDAL = 5000


@dataclass(frozen=True, eq=False)
class Candidate:
    """Settings with their out-of-fold scores and AUC."""

    parameters: dict[str, Any]
    auc: float
    out_of_fold: Scores


@dataclass(frozen=True, eq=False)
class Search:
    """A search of one classifier's settings on folds of a training set."""

    spec: ClassifierSpec
    training: TrainingSet
    config: FitConfig

    @cached_property
    def folds(self) -> list[Fold]:
        """Training and held-out images of each fold."""
        return self.training.folds(self.config.cv, self.config.random_state)

    @cached_property
    def candidates(self) -> list[dict[str, Any]]:
        """Settings to try; they fit the smallest fold."""
        smallest = min(len(np.unique(image)) for image in self._training_images)
        return self.spec.candidates((smallest, self.training.X.shape[1]))

    @cached_property
    def _training_rows(self) -> list[Indices]:
        limit, random_state = self.config.search_rows, self.config.random_state
        return [self.training.some_rows_of(images, limit, random_state) for images, _ in self.folds]

    @property
    def _training_images(self) -> list[Indices]:
        return [self.training.image[rows] for rows in self._training_rows]

    def fit_best(self) -> tuple[list[Candidate], Candidate, Pipeline, Scores]:
        """Search and refit; return candidates, the best, pipeline and scores."""
        total = len(self.candidates) * len(self.folds) + len(self.folds) + 1
        with progress(f"Fitting {self.spec.name}", total=total, unit="fits") as advance:
            candidates = self.run(advance)
            best = max(candidates, key=lambda candidate: candidate.auc)
            return candidates, best, *self.refit(best, advance)

    def run(self, advance: Callable[..., None]) -> list[Candidate]:
        """Try all settings in all folds."""
        tasks = [
            (self.spec, self.training, rows, validation, self.config.random_state)
            for rows, (_, validation) in zip(self._training_rows, self.folds, strict=True)
        ]
        prepared = run_all(_prepare, tasks, n_jobs=self.config.n_jobs)
        shared, workers = self.spec.shared_fits, n_workers(self.config.n_jobs)
        affordable = SHARED_BYTES // max(1, *map(shared.memory, prepared))
        if not affordable:
            shared, affordable = SharedFits(), workers
        groups = shared.groups(self.candidates)
        found = run_all(
            shared.scores,
            [
                (fold, [self.spec.of_rows(self.candidates[i], image) for i in group])
                for fold, image in zip(prepared, self._training_images, strict=True)
                for group in groups
            ],
            n_jobs=min(workers, affordable),
            done=lambda scores: advance(len(scores)),
        )
        of_fold: list[dict[int, Scores]] = [{} for _ in prepared]
        for task, scores in enumerate(found):
            fold, group = divmod(task, len(groups))
            of_fold[fold].update(zip(groups[group], scores, strict=True))
        candidates = []
        for index, parameters in enumerate(self.candidates):
            pooled = self._pooled([of_images[index] for of_images in of_fold])
            auc = one_vs_rest_auc(self.training.labels, pooled)
            candidates.append(Candidate(parameters, auc, pooled))
        return candidates

    def _pooled(self, fold_scores: Sequence[Scores]) -> Scores:
        """Put the scores of held-out images in the order of images."""
        validated = np.concatenate([validation for _, validation in self.folds])
        return np.concatenate(fold_scores)[np.argsort(validated)]

    def refit(self, chosen: Candidate, advance: Callable[..., None]) -> tuple[Pipeline, Scores]:
        """Fit chosen settings on all rows, and in each fold not yet fitted completely."""
        complete = all(
            len(rows) == len(self.training.rows_of(images))
            for rows, (images, _) in zip(self._training_rows, self.folds, strict=True)
        )
        sides = [] if complete else self.folds
        pipeline, *fold_scores = self._fits(chosen.parameters, [self._everything, *sides], advance)
        if not complete:
            return pipeline, self._pooled(fold_scores)
        advance(len(self.folds))
        return pipeline, chosen.out_of_fold

    @property
    def _everything(self) -> tuple[Indices, None]:
        return np.arange(len(self.training.labels)), None

    def fit(self, parameters: dict[str, Any]) -> Pipeline:
        """Fit chosen settings on all rows."""
        return self._fits(parameters, [self._everything])[0]

    def out_of_fold(self, parameters: dict[str, Any]) -> Scores:
        """Fit chosen settings in each fold, for out-of-fold scores; see `refit`."""
        return self._pooled(self._fits(parameters, self.folds))

    def _fits(
        self,
        parameters: dict[str, Any],
        sides: Sequence[tuple[Indices, Indices | None]],
        advance: Callable[..., None] | None = None,
    ) -> list[Any]:
        tasks = [
            (self.spec, parameters, self.training, *side, self.config.random_state)
            for side in sides
        ]
        done = None if advance is None else lambda _: advance()
        return run_all(_refit, tasks, n_jobs=self.config.n_jobs, done=done)


def _prepare(
    spec: ClassifierSpec,
    training: TrainingSet,
    rows: Indices,
    validation: Indices,
    random_state: int,
) -> PreparedFold:
    pipeline = training.pipeline(spec, len(rows), random_state)
    shared = Pipeline(pipeline.steps[:-1])
    held_out, position = _rows_and_positions(training, validation)
    X, labels, weights = training.fit_arguments(rows, weighted=spec.weighted)
    return PreparedFold(
        classifier=pipeline.steps[-1][1],
        training=shared.fit_transform(X),
        training_labels=labels,
        weights=weights,
        validation=shared.transform(training.X[held_out]),
        validation_image=position,
    )


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
    pipeline = training.pipeline(spec, len(rows), random_state)
    pipeline[-1].set_params(**spec.of_rows(parameters, training.image[rows]))
    fit_pipeline(pipeline, *training.fit_arguments(rows, weighted=spec.weighted))
    if validation is None:
        return pipeline
    held_out, position = _rows_and_positions(training, validation)
    return average_views(pipeline_scores(pipeline, training.X[held_out]), position, len(validation))


def fit_pipeline(
    pipeline: Pipeline,
    X: npt.NDArray,
    labels: Indices,
    weights: npt.NDArray[np.float64] | None,
    fewest_rows: int = _FEWEST_ROWS_FOR_ONEDAL,
) -> None:
    """Fit a pipeline; find a large SVM's support vectors by scikit-learn-intelex."""
    name, classifier = pipeline.steps[-1]
    machine = None
    if isinstance(classifier, SVC) and len(X) >= fewest_rows:
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
    """Return the rows of images, and each row's index of its image."""
    rows = training.rows_of(images)
    place = np.empty(len(training.labels), dtype=np.int64)
    place[images] = np.arange(len(images))
    return rows, place[training.image[rows]]
