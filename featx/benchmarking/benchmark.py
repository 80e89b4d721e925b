"""The benchmark: every backbone with every classifier, beside the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from featx.backbones.registry import check_precision, split_precision, with_precision
from featx.benchmarking.data import prepare
from featx.benchmarking.evaluation import RowMaker
from featx.benchmarking.published import is_kermany, published_figures
from featx.benchmarking.run_metadata import RunRecord
from featx.benchmarking.runner import Run
from featx.benchmarking.table import BenchmarkTable
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.images.augmentation import Augmentation

__all__ = ["benchmark"]


def benchmark(
    images: ImageDataset,
    backbones: Sequence[str] = ("efficientnet_lite0",),
    classifiers: Sequence[str] = ("svm", "logistic", "xgboost"),
    baselines: Sequence[str] = (),
    *,
    augmentation: str | Augmentation = "radiograph",
    pooling: str = "average",
    normalization: str = "none",
    precision: str = "float32",
    views: int = 4,
    test_views: int | None = None,
    test_size: float = 0.2,
    folds: int = 5,
    operating_point: str = "youden",
    calibration: str = "sigmoid",
    weights: str = "imagenet",
    weights_dir: str | Path | None = None,
    cache: str | Path | None = None,
    engine: str = "auto",
    random_state: int = 0,
    strict: bool = False,
    rehash: bool = False,
    baseline_settings: dict[str, Any] | None = None,
    controls: bool = True,
    repeats: int = 1,
    learning_curve: bool = True,
    externals: Mapping[str, ImageDataset] | None = None,
    published: bool | None = None,
    leaks: str = "error",
    adapt: bool = False,
    rank_by: str | None = None,
    command: str = "",
    out: str | Path | None = None,
) -> BenchmarkTable:
    """Compare frozen features x classifiers with fine-tuned CNNs, on one protocol.

    Before anything is trained, all images are looked at for copies and patients on both sides of
    the split. Where it is drawn here, patients who share an image stay together.

    Hyper-parameters, calibration and operating point are chosen on training images only, by
    patient-grouped cross-validation; the test images are looked at once.

    Parameters
    ----------
    images : ImageDataset
        With labels; with a split ``"test"``, or a patient-grouped share is held out.
    backbones : sequence of str, default=("efficientnet_lite0",)
        Names; ``"a+b"`` sets the features of two side by side, and ``"a@int8"`` computes in int8,
        so that one table can say what that costs.
    classifiers : sequence of str, default=("svm", "logistic", "xgboost")
        Names.
    baselines : sequence of str, default=()
        CNNs to train end to end, such as ``"finetuned:efficientnet_lite0"``.
    augmentation : str or Augmentation, default="radiograph"
        How augmented views are drawn.
    pooling, normalization : str
        How feature maps become one vector, and what is done to intensities; as in `extract`.
    precision : {"float32", "float16", "bfloat16", "int8"}, default="float32"
        What frozen networks compute with, as in `extract`, where their names do not say it; int8
        is calibrated on training images.
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
    calibration : {"sigmoid", "isotonic", "none"}, default="sigmoid"
        How scores of frozen rows become probabilities, on out-of-fold scores.
    weights, weights_dir, cache, engine, strict, rehash
        As in `extract`.
    random_state : int, default=0
        Decides the held-out patients, the folds, the views and what classifiers draw.
    baseline_settings : dict, optional
        Overrides for `featx.train`, such as ``{"epochs": 3, "size": (128, 128)}``.
    controls : bool, default=True
        Whether to add rows that know nothing of lungs: a backbone with random weights, an
        intensity histogram, and image size, file size and mode, each with logistic regression.
    repeats : int, default=1
        Cross-validations by patient of each frozen row, on as many foldings of the training images,
        for the spread of its AUC between seeds.
    learning_curve : bool, default=True
        Whether to refit the best frozen row, by out-of-fold AUC, on 10 to 100 % of the training
        patients. It takes about as long as two and a half of its fits without a search.
    externals : mapping of str to ImageDataset, optional
        Sets of the same classes, by name, that every model is shown unchanged.
    published : bool, optional
        Whether to list, apart, what others published on Kermany et al. 2018; by default where the
        files are named as theirs.
    leaks : {"error", "drop", "allow"}, default="error"
        Where test images or patients were trained on: stop, leave these training images out, or
        go on. The notes say so.
    adapt : bool, default=False
        Whether to add, for each frozen row of two classes, the same model adapted to the test
        images, which it sees without their labels; see `featx.classifiers.adaptation`.
    rank_by : str, optional
        Field by which rows are ordered at the end, highest first; else they stay as they came.
    command : str, default=""
        What was typed, to be written down.
    out : path-like, optional
        Folder for the tables, the models and the scores of every test image. Rows that an earlier
        run finished there from the same inputs are taken over.

    Returns
    -------
    BenchmarkTable

    Raises
    ------
    UsageError
        If a name is not known, the images cannot be split, an external set has other classes, or
        what is tested has been trained on.
    """
    check_names(backbones, classifiers, baselines)
    backbones = [with_precision(name, precision) for name in backbones]
    for name in backbones:
        check_precision(split_precision(name)[1] or "float32", engine)
    if repeats < 1:
        raise UsageError(f"{repeats} repeats are none; ask for 1 or more")
    material = prepare(
        images, externals or {}, test_size=test_size, random_state=random_state, leaks=leaks
    )
    both_views = (views, views if test_views is None else test_views)
    chosen = {"operating_point": operating_point, "random_state": random_state}
    fitting = {**chosen, "folds": folds, "calibration": calibration}
    own = dict(baseline_settings or {})
    settings = {
        "backbones": list(backbones),
        "classifiers": list(classifiers),
        "baselines": list(baselines),
        "baseline_settings": own,
        "views": both_views[0],
        "test_views": both_views[1],
        "augmentation": str(augmentation),
        "pooling": pooling,
        "normalization": normalization,
        "precision": precision,
        "test_size": test_size,
        **fitting,
        "weights": Path(weights).name,
        "engine": engine,
        "repeats": repeats,
    }
    show = is_kermany(images) if published is None else published
    figures = published_figures() if show else []
    folder = None if out is None else Path(out)
    run = Run(
        material=material,
        extraction={
            "augmentation": augmentation,
            "pooling": pooling,
            "normalization": normalization,
            "weights": weights,
            "weights_dir": weights_dir,
            "cache": cache,
            "engine": engine,
            "random_state": random_state,
            "strict": strict,
            "rehash": rehash,
        },
        views=both_views,
        maker=RowMaker(
            class_names=images.class_names,
            fitting=fitting,
            training={"weights_dir": weights_dir, **chosen, **own},
            out=folder,
        ),
        record=RunRecord(
            command, images.class_names, settings, **material.to_dict(), published=figures
        ),
        repeats=repeats,
        controls=controls,
        adapt=adapt,
        learning_curve=learning_curve,
        rank_by=rank_by,
        out=folder,
    )
    return run.table(backbones, classifiers, baselines)


def check_names(
    backbones: Sequence[str], classifiers: Sequence[str], baselines: Sequence[str]
) -> None:
    """Refuse unknown names before hours are spent."""
    from featx.backbones.registry import get_backbone
    from featx.baselines.registry import get_baseline
    from featx.classifiers.registry import get_classifier

    for name in backbones:
        for part in split_precision(name)[0]:
            get_backbone(part)
    for name in classifiers:
        get_classifier(name)
    for name in baselines:
        get_baseline(name)
    if not baselines and not (backbones and classifiers):
        raise UsageError(
            "there is nothing to compare; name backbones and classifiers, or baselines"
        )
