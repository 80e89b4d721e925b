"""The benchmark: every backbone with every classifier, beside the baselines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featx.benchmarking.controls import CONTROLS, control_matrix
from featx.benchmarking.ledger import Row
from featx.benchmarking.protocol import Protocol, split_images
from featx.benchmarking.reference import compare_with_reference, pick_reference
from featx.benchmarking.rows import RowMaker
from featx.benchmarking.table import BenchmarkTable
from featx.errors import UnreadableImageError, UsageError
from featx.features.extraction import extract
from featx.features.matrix import FeatureMatrix
from featx.images.augmentation import Augmentation
from featx.images.dataset import ImageDataset
from featx.progress import say

__all__ = ["benchmark"]

# A control that gets this share of the way from chance to the best model is near it.
NEAR_SHARE = 0.8


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
    controls: bool = True,
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
    controls : bool, default=True
        Whether to add rows that know nothing of lungs: a backbone with random weights, an
        intensity histogram, and image size, file size and mode, each with logistic regression.
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
    folder = None if out is None else Path(out)
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
        maker=RowMaker(
            class_names=images.class_names,
            fitting={"folds": folds, "operating_point": operating_point, "seed": seed},
            training={
                "weights_dir": weights_dir,
                "operating_point": operating_point,
                "seed": seed,
                **(baseline_settings or {}),
            },
            out=folder,
        ),
        controls=controls,
        out=folder,
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
    maker: RowMaker
    controls: bool
    out: Path | None

    def table(
        self, backbones: Sequence[str], classifiers: Sequence[str], baselines: Sequence[str]
    ) -> BenchmarkTable:
        """Compute row after row; what is finished is on disk before the next begins."""
        self.unreadable: dict[str, str] = {}
        self.embedded = bool(backbones)
        patients = {
            name: patient
            for side in self._sides
            for name, patient in zip(side.names, side.patients.tolist(), strict=True)
        }
        table = BenchmarkTable([])
        for row in self._rows(backbones, classifiers, baselines):
            table.rows.append(row)
            compare_with_reference(table.rows, self.maker.predictions, patients)
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
                yield self.maker.frozen(backbone, classifier, train, test)
        if self.controls:
            yield from self._control_rows(backbones)
        if baselines:
            train_images, test_images = (self._readable(side) for side in self._sides)
            for name in baselines:
                yield self.maker.baseline(name, train_images, test_images)

    @property
    def _sides(self) -> tuple[ImageDataset, ImageDataset]:
        return self.protocol.train, self.protocol.test

    def _matrices(self, backbone: str) -> tuple[FeatureMatrix, FeatureMatrix]:
        names = backbone.split("+")
        train, test = (
            extract(images, names, views=views, **self.extraction)
            for images, views in zip(self._sides, self.views, strict=True)
        )
        self.unreadable.update([*train.unreadable, *test.unreadable])
        return train, test

    def _control_rows(self, backbones: Sequence[str]) -> Iterator[Row]:
        if backbones and self.extraction["weights"] != "random":
            settings = {**self.extraction, "weights": "random"}
            backbone = backbones[0].split("+")[0]
            train, test = (extract(side, backbone, views=1, **settings) for side in self._sides)
            yield self.maker.frozen("random weights", "logistic", train, test, "control")
        for name in CONTROLS:
            train, test = (control_matrix(side, name) for side in self._sides)
            yield self.maker.frozen(name, "logistic", train, test, "control")

    def _readable(self, images: ImageDataset) -> ImageDataset:
        """Leave out what no network can be shown; extraction has found it if there was one."""
        if not self.embedded:
            for index, name in enumerate(images.names):
                try:
                    images.read(index)
                except UnreadableImageError as error:
                    self.unreadable[name] = str(error)
        return images.select([name not in self.unreadable for name in images.names])

    def _notes(self, rows: Sequence[Row]) -> list[str]:
        notes = [self.protocol.description, "Intervals are at 95 %."]
        reference = pick_reference(rows)
        if reference is not None and any("auc_verdict" in row for row in rows):
            notes.append(
                f"Compared with {reference['backbone']}, the CNN that did best on validation "
                "patients: DeLong's test for AUC, McNemar's for accuracy, Holm's correction."
            )
        if self.protocol.shared_patients:
            notes.append(
                f"{self.protocol.shared_patients:,} patients stand on both sides of the data set's "
                "own split: every score is flattered by it."
            )
        if self.unreadable:
            notes.append(f"{len(self.unreadable):,} images were unreadable and left out.")
        if any(row["collapsed"] for row in rows):
            notes.append("A collapsed model gives one class to every image: it is no result.")
        notes += [f"{row['backbone']}: {text}" for row in rows for text in row.get("diagnosis", [])]
        return notes + _shortcuts(rows)


def _shortcuts(rows: Sequence[Row]) -> list[str]:
    """Name the controls that get most of the way from chance to the best model."""
    areas = [row["auc"] for row in rows if row["kind"] != "control"]
    best = max(areas, default=1.0)
    return [
        f"SHORTCUT: {row['backbone']} alone reaches AUC {row['auc']:.3f}, where the best model "
        f"reaches {best:.3f}. These images can largely be told apart without looking for disease."
        for row in rows
        if row["kind"] == "control" and row["auc"] - 0.5 >= NEAR_SHARE * (best - 0.5)
    ]
