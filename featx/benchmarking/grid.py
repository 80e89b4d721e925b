"""The benchmark: every backbone with every classifier, beside the baselines."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from featx.benchmarking.application import verdict_of
from featx.benchmarking.ledger import Ledger, Row, key_of
from featx.benchmarking.protocol import Protocol, split_images
from featx.benchmarking.table import BenchmarkTable
from featx.errors import UsageError
from featx.features.extraction import extract
from featx.features.files import library_versions, put_bytes
from featx.features.matrix import FeatureMatrix
from featx.images.augmentation import Augmentation
from featx.images.dataset import ImageDataset
from featx.metrics.scores import evaluate
from featx.progress import say

if TYPE_CHECKING:
    from featx.classifiers.model import FeatureClassifier

__all__ = ["benchmark"]


def benchmark(
    images: ImageDataset,
    backbones: Sequence[str] = ("efficientnet_lite0",),
    classifiers: Sequence[str] = ("svm", "logistic", "xgboost"),
    baselines: Sequence[str] = (),
    *,
    augmentation: str | Augmentation = "radiograph",
    views: int = 4,
    test_views: int | None = None,
    test_size: float = 0.2,
    folds: int = 5,
    operating_point: str = "youden",
    weights: str = "imagenet",
    weights_dir: str | Path | None = None,
    cache: str | Path | None = None,
    engine: str = "auto",
    seed: int = 0,
    strict: bool = False,
    baseline_settings: dict[str, Any] | None = None,
    out: str | Path | None = None,
) -> BenchmarkTable:
    """Compare frozen features x classifiers with fine-tuned CNNs, on one protocol.

    Hyper-parameters, calibration and operating point are chosen on training images only, by
    patient-grouped cross-validation; the test images are looked at once.

    Parameters
    ----------
    images : ImageDataset
        With labels; with a split ``"test"``, or a patient-grouped share is held out.
    backbones : sequence of str, default=("efficientnet_lite0",)
        Names; ``"a+b"`` sets the features of two side by side.
    classifiers : sequence of str, default=("svm", "logistic", "xgboost")
        Names.
    baselines : sequence of str, default=()
        CNNs to train end to end, such as ``"finetuned:efficientnet_lite0"``.
    augmentation : str or Augmentation, default="radiograph"
        How augmented views are drawn.
    views : int, default=4
        Views of each training image, the image itself included.
    test_views : int, optional
        Views of each test image, whose scores are averaged; as many as `views` by default.
    test_size : float, default=0.2
        Share of each class to hold out where there is no test split.
    folds : int, default=5
        Cross-validation folds.
    operating_point : str, default="youden"
        How the threshold is chosen, on training images.
    weights, weights_dir, cache, engine, strict
        As in `extract`.
    seed : int, default=0
        Decides the held-out patients, the folds, the views and what classifiers draw.
    baseline_settings : dict, optional
        Overrides for `train_baseline`, such as ``{"epochs": 3, "size": (128, 128)}``.
    out : path-like, optional
        Folder for the tables, the models and the scores of every test image. Rows that an earlier
        run finished there from the same inputs are taken over.

    Returns
    -------
    BenchmarkTable

    Raises
    ------
    UsageError
        If a name is not known, or the images cannot be split.
    """
    check_names(backbones, classifiers, baselines)
    protocol = split_images(images, test_size=test_size, seed=seed)
    if protocol.shared_patients:
        say(
            f"{protocol.shared_patients:,} patients stand on both sides of the data set's own "
            "split; the table says so."
        )
    run = _Run(
        protocol=protocol,
        extraction={
            "augmentation": augmentation,
            "weights": weights,
            "weights_dir": weights_dir,
            "cache": cache,
            "engine": engine,
            "seed": seed,
            "strict": strict,
        },
        views=(views, views if test_views is None else test_views),
        fitting={"folds": folds, "operating_point": operating_point, "seed": seed},
        training={
            "weights_dir": weights_dir,
            "operating_point": operating_point,
            "seed": seed,
            **(baseline_settings or {}),
        },
        out=None if out is None else Path(out),
    )
    return run.table(backbones, classifiers, baselines)


def check_names(
    backbones: Sequence[str], classifiers: Sequence[str], baselines: Sequence[str]
) -> None:
    """Refuse unknown names before hours are spent.

    Raises
    ------
    UsageError
        If a name is not known, or there is none.
    """
    from featx.backbones.registry import get_backbone
    from featx.baselines.recipes import get_baseline
    from featx.classifiers.zoo import get_classifier

    for name in backbones:
        for part in name.split("+"):
            get_backbone(part)
    for name in classifiers:
        get_classifier(name)
    for name in baselines:
        get_baseline(name)
    if not baselines and not (backbones and classifiers):
        raise UsageError(
            "there is nothing to compare; name backbones and classifiers, or baselines"
        )


@dataclass
class _Run:
    """One benchmark: its settings and what it has so far."""

    protocol: Protocol
    extraction: dict[str, Any]
    views: tuple[int, int]
    fitting: dict[str, Any]
    training: dict[str, Any]
    out: Path | None

    def table(
        self, backbones: Sequence[str], classifiers: Sequence[str], baselines: Sequence[str]
    ) -> BenchmarkTable:
        """Compute row after row; what is finished is on disk before the next begins."""
        self.ledger = Ledger(self.out)
        self.unreadable: dict[str, str] = {}
        table = BenchmarkTable([])
        for row in self._rows(backbones, classifiers, baselines):
            table.rows.append(row)
            table.notes = self._notes(table.rows)
            if self.out is not None:
                table.save(self.out)
        return table

    def _rows(
        self, backbones: Sequence[str], classifiers: Sequence[str], baselines: Sequence[str]
    ) -> Iterator[Row]:
        for backbone in backbones:
            train, test = self._matrices(backbone)
            for classifier in classifiers:
                yield self._frozen_row(backbone, classifier, train, test)
        for name in baselines:
            yield self._baseline_row(name)

    def _matrices(self, backbone: str) -> tuple[FeatureMatrix, FeatureMatrix]:
        names = backbone.split("+")
        train = extract(self.protocol.train, names, views=self.views[0], **self.extraction)
        test = extract(self.protocol.test, names, views=self.views[1], **self.extraction)
        self.unreadable.update([*train.unreadable, *test.unreadable])
        return train, test

    def _frozen_row(
        self, backbone: str, classifier: str, train: FeatureMatrix, test: FeatureMatrix
    ) -> Row:
        key = key_of(
            kind="frozen",
            classifier=classifier,
            fitting=self.fitting,
            views=self.views,
            recipes=train.recipes,
            train=[train.digests, train.labels.tolist(), train.patients.tolist()],
            test=[test.digests, test.labels.tolist(), test.patients.tolist()],
            classes=train.class_names,
            versions=library_versions("scikit-learn", "xgboost", "xgboost-cpu"),
        )
        row = self.ledger.find(key)
        if row is None:
            row = self._fit_and_score(backbone, classifier, train, test)
            self.ledger.keep(key, row)
        return row

    def _fit_and_score(
        self, backbone: str, classifier: str, train: FeatureMatrix, test: FeatureMatrix
    ) -> Row:
        from featx.classifiers.fitting import fit
        from featx.classifiers.persistence import save_model

        started = time.perf_counter()
        model: FeatureClassifier = fit(train, classifier, **self.fitting)
        seconds_fit = time.perf_counter() - started
        probabilities = model.predict_images(test)
        name = f"{backbone}-{classifier}"
        if self.out is not None:
            save_model(model, self.out / "models" / f"{name}.skops")
        self._save_scores(name, test.names, test.labels, test.class_names, probabilities)
        return {
            "backbone": backbone,
            "classifier": classifier,
            "kind": "frozen",
            "n_train": train.n_images,
            "n_test": test.n_images,
            **self._scores(test.labels, test.patients, probabilities, model.threshold_),
            "seconds_extract": train.seconds + test.seconds,
            "seconds_fit": seconds_fit,
            "views": self.views[0],
            "test_views": self.views[1],
            "n_features": train.X.shape[1],
            "recipes": [dict(recipe) for recipe in train.recipes],
            "settings": {**self.fitting, "chosen": model.best_parameters_},
        }

    def _baseline_row(self, name: str) -> Row:
        train, test = self.protocol.train, self.protocol.test
        train, test = self._readable(train), self._readable(test)
        key = key_of(
            kind="baseline",
            name=name,
            training={**self.training, "weights_dir": str(self.training["weights_dir"])},
            train=[_digests(train), train.labels.tolist(), train.patients.tolist()],
            test=[_digests(test), test.labels.tolist(), test.patients.tolist()],
            classes=train.class_names,
            versions=library_versions("scikit-learn", "xgboost", "xgboost-cpu"),
        )
        row = self.ledger.find(key)
        if row is None:
            row = self._train_and_score(name, train, test)
            self.ledger.keep(key, row)
        return row

    def _train_and_score(self, name: str, train: ImageDataset, test: ImageDataset) -> Row:
        from featx.baselines.training import train_baseline

        folder = None if self.out is None else self.out / "baselines" / name.replace(":", "-")
        trained = train_baseline(train, name, out=folder, **self.training)
        probabilities = trained.predict_proba(test)
        self._save_scores(name, test.names, test.labels, test.class_names, probabilities)
        return {
            "backbone": name,
            "classifier": "trained end to end",
            "kind": "baseline",
            "n_train": len(train),
            "n_test": len(test),
            **self._scores(test.labels, test.patients, probabilities, trained.threshold),
            "seconds_extract": 0.0,
            "seconds_fit": trained.seconds,
            "views": None,
            "test_views": 1,
            "n_features": None,
            "recipes": [],
            "settings": {"diagnosis": list(trained.diagnosis)},
        }

    def _readable(self, images: ImageDataset) -> ImageDataset:
        """Leave out what no network can be shown."""
        from featx.errors import UnreadableImageError

        if self.unreadable:
            return images.select([name not in self.unreadable for name in images.names])
        kept = []
        for index, name in enumerate(images.names):
            try:
                images.read(index)
                kept.append(index)
            except UnreadableImageError as error:
                self.unreadable[name] = str(error)
        return images.select(kept)

    def _scores(
        self,
        labels: npt.NDArray[np.int64],
        patients: npt.NDArray[np.str_],
        probabilities: npt.NDArray[np.float64],
        threshold: float | None,
    ) -> Row:
        scores = evaluate(
            labels,
            probabilities,
            threshold=threshold,
            class_names=self.protocol.train.class_names,
            patients=patients,
            seed=self.fitting["seed"],
        )
        return verdict_of(scores)

    def _save_scores(
        self,
        name: str,
        images: Sequence[str],
        labels: npt.NDArray[np.int64],
        class_names: Sequence[str],
        probabilities: npt.NDArray[np.float64],
    ) -> None:
        if self.out is None:
            return
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["path", "label", *(f"probability_{name}" for name in class_names)])
        for image, label, row in zip(images, labels, probabilities, strict=True):
            writer.writerow([image, class_names[label], *row.tolist()])
        content = buffer.getvalue().encode("utf-8", "surrogateescape")
        put_bytes(self.out / "scores" / f"{name.replace(':', '-')}.csv", content)

    def _notes(self, rows: Sequence[Row]) -> list[str]:
        notes = [self.protocol.description, "Intervals are at 95 %."]
        if self.protocol.shared_patients:
            notes.append(
                f"{self.protocol.shared_patients:,} patients stand on both sides of the data set's "
                "own split: every score is flattered by it."
            )
        if self.unreadable:
            notes.append(f"{len(self.unreadable):,} images were unreadable and left out.")
        if any(row["collapsed"] for row in rows):
            notes.append("A collapsed model gives one class to every image: it is no result.")
        return notes


def _digests(images: ImageDataset) -> list[str]:
    return [images.digest(index) for index in range(len(images))]
