"""Predictions of a fitted model on new images: recipes, features, probabilities, classes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from featx.audit.findings import LEAKS, Finding
from featx.audit.membership import quantizing_members, without_members
from featx.audit.pixels import facts_of_images, pixel_findings
from featx.audit.typicality import find_untypical
from featx.classifiers.predictions import Predictions
from featx.classifiers.units import check_units, rule_of, units_of
from featx.datasets.bands import Bands, divide, masks_of, parse_subgroups
from featx.datasets.conversion import as_images
from featx.datasets.dataset import ImageDataset
from featx.datasets.rules import PATIENT, OpeningRules
from featx.errors import UsageError, unknown_name
from featx.features.columns import (
    check_columns,
    columns_recipe_of,
    encode_columns,
    matrix_of,
    with_columns,
)
from featx.features.config import ExtractionConfig
from featx.features.engine_pool import Kept, keeping
from featx.features.extraction import extract_by_recipes
from featx.features.matrix import FeatureMatrix
from featx.metrics.scores import Scores
from featx.runtime.versions import check_known_changes, decisive_versions

if TYPE_CHECKING:
    from featx.classifiers.classifier import FeatureClassifier

logger = logging.getLogger(__name__)


def predict(
    model: FeatureClassifier | str | PathLike,
    images: Any,
    *,
    views: int | None = None,
    adapt: bool = False,
    coverage: float | None = None,
    unit: str | None = None,
    **settings: Any,
) -> Predictions:
    """Classify images with a fitted model, from pixels to classes.

    Features are extracted as those of the training images, through the same cache. Use
    `FeatureClassifier.predict_images` for a matrix that is already extracted, and `evaluate` for
    labeled images.

    Parameters
    ----------
    model : FeatureClassifier or path-like
        Model fitted to a feature matrix, or its ``.skops`` file.
    images : path-like, sequence of path-like, data frame, arrays or ImageDataset
        Images in any form; labels are not needed.
    views : int, optional
        Number of views per image whose scores are averaged; by default that of training.
    adapt : bool, default=False
        Whether to move the threshold to where the scores of these images fall into two groups.
        `featx.adapt` returns a model that keeps it.
    coverage : float, optional
        Proportion of images of each class whose `Predictions.sets` shall hold the true class, such
        as 0.95; images whose set is not one class are undecided. It holds for images like those of
        training alone (`featx.classifiers.conformal`).
    unit : str, optional
        ``"patient"``, or a column such as ``"study"``: one prediction a unit in place of one an
        image, by a model that a benchmark with this `unit` saved. The images need patients or the
        column.
    **settings
        Settings of `featx.ExtractionConfig` that do not change features: ``weights``,
        ``weights_dir``, ``cache``, ``engine``, ``strict``, ``rehash``; and rules by which images
        are opened, such as ``columns`` and ``root`` (`featx.datasets.rules.OpeningRules`).

    Returns
    -------
    Predictions
        With predicted classes, typicality, the images that could not be read, and findings where
        images are blank, tiny, unlike the training images or among them; these are logged, too.

    Raises
    ------
    UsageError
        If the model was not fitted to a feature matrix, its weights are missing, or there are too
        few images to adapt to.

    Examples
    --------
    >>> import tempfile, featx
    >>> import numpy as np
    >>> pixels = np.random.default_rng(0).integers(0, 255, (12, 32, 32), np.uint8)
    >>> images = featx.ImageDataset.from_arrays(pixels, ["NORMAL", "PNEUMONIA"] * 6)
    >>> with tempfile.TemporaryDirectory() as cache:
    ...     matrix = featx.extract(images, views=1, cache=cache)
    ...     model = featx.fit(matrix, "naive_bayes", cv=2, n_jobs=1)
    ...     predict(model, pixels[:2], cache=cache).probabilities.shape
    (2, 2)
    """
    fitted = loaded(model)
    if unit is not None and coverage is not None:
        raise UsageError(
            "sets of stated coverage are of images, not of units; leave out coverage or unit"
        )
    kept = needed_columns(fitted, unit)
    rules = OpeningRules.take(settings, labeled=False, keep_columns=kept)
    dataset = as_images(images, rules=rules)
    found = audited(fitted, dataset, views, adapt, unit=unit, **settings)
    if coverage is not None:
        from featx.classifiers.conformal import conformal_sets

        found = replace(found, sets=conformal_sets(fitted, found.probabilities, coverage))
        logger.warning(
            f"Sets hold the true class of {coverage:.0%} of the images of each class only where "
            "images are like those of training; another hospital, device or selection of patients "
            "voids this coverage."
        )
    log_findings(found.findings)
    return found


def evaluate(
    model: FeatureClassifier | str | PathLike,
    images: Any,
    *,
    patients: str | None = None,
    labels: str | None = None,
    views: int | None = None,
    adapt: bool = False,
    leaks: str = "allow",
    unit: str | None = None,
    subgroups: str | Sequence[str] = (),
    **settings: Any,
) -> Scores:
    """Evaluate a fitted model on labeled images, with 95 % intervals.

    Use it for an external validation set; `featx.benchmark` compares several models.

    Parameters
    ----------
    model : FeatureClassifier or path-like
        Model fitted to a feature matrix, or its ``.skops`` file.
    images : path-like, data frame or ImageDataset
        Images with labels among the model's classes.
    patients, labels : str, optional
        Rules for patients and labels, as in `ImageDataset.open`.
    views, adapt, unit, **settings
        As in `predict`; with `unit`, all figures are of units.
    leaks : {"allow", "drop", "error"}, default="allow"
        Whether images and patients that the model was trained on are evaluated with a warning, left
        out, or an error.
    subgroups : str or sequence of str, default=()
        Columns of the table of images, such as ``("sex", "age:5,18,65")``, by which
        `Scores.subgroups` divides the images; without cut points, numbers go into bands of ages,
        or of quartiles of these images (`featx.datasets.bands.Bands`).

    Returns
    -------
    Scores
        Metrics with intervals clustered by patient, confusion matrix, and collapse.

    Raises
    ------
    UsageError
        If an image has no label or a label of another class, with ``leaks="error"`` the model was
        trained on some of the images, or as in `predict`.
    """
    fitted = loaded(model)
    classes = [str(name) for name in fitted.classes_]
    given = {"patients": patients, "labels": labels, "class_names": classes}
    rules = OpeningRules.take(
        settings, **given, keep_columns=needed_columns(fitted, unit, subgroups)
    )
    dataset = as_images(images, rules=rules)
    bands = divide(subgroups, dataset)
    check_class_names(dataset, classes)
    if unit is not None:
        check_units(dataset, unit)
    found = audited(fitted, dataset, views, adapt, leaks, unit, **settings)
    log_findings(found.findings)
    return scored(found, bands, dataset)


def check_class_names(images: ImageDataset, classes: Sequence[str]) -> None:
    """Refuse labeled images of other classes than a model's."""
    if list(images.class_names) != [*classes]:
        raise UsageError(
            f"the images have the classes {', '.join(images.class_names)} and the model "
            f"{', '.join(classes)}; give images of the model's classes, in its order"
        )


def scored(found: Predictions, bands: Sequence[Bands], images: ImageDataset) -> Scores:
    """Score predictions of images, with the groups that they are divided in."""
    if not bands:
        return found.score()
    groups = masks_of(bands, images, found.names)
    return replace(found.score(), subgroups=found.score_subgroups(groups))


def audited(
    model: FeatureClassifier,
    images: ImageDataset,
    views: int | None = None,
    adapt: bool = False,
    leaks: str = "allow",
    unit: str | None = None,
    **settings: Any,
) -> Predictions:
    """Classify images, or units of them; find those trained on, and those unlike them."""
    rule, units = None, {}
    if unit is not None:
        rule = rule_of(model, unit)
        units = dict(zip(images.names, units_of(images, rule.unit), strict=True))
    if rule is not None and adapt:
        raise UsageError("the threshold of images is adapted, not of units; leave out adapt")
    if leaks not in LEAKS:
        raise unknown_name("way to treat leaks", leaks, LEAKS)
    kept = _kept_by(model)
    matrix = extract_for(model, images, views, kept, **settings)
    matrix, findings = without_members(model.membership_, matrix, leaks)
    probabilities = model.predict_images(matrix)
    readable = images.select(np.isin(images.names, matrix.names))
    cache = ExtractionConfig(cache=settings.get("cache")).cache_folder
    digests = dict(zip(matrix.names, matrix.digests, strict=True))
    facts = facts_of_images(readable, [digests[n] for n in readable.names], kept.pixels, cache)
    findings += pixel_findings(readable.names, facts)
    typical = model.typicality(matrix)
    findings += quantizing_members(matrix)
    findings += find_untypical(model.typicality_, matrix.names, typical)
    threshold = model.threshold_
    if adapt:
        from featx.classifiers.adaptation import with_adapted_threshold

        threshold = with_adapted_threshold(model, probabilities).threshold_
    found = Predictions(
        names=matrix.names,
        class_names=[str(name) for name in model.classes_],
        probabilities=probabilities,
        labels=_labels_for(model, matrix),
        patients=matrix.patients if matrix.patients_known else None,
        unreadable=matrix.unreadable,
        findings=findings,
        typicality=typical,
    )
    if rule is not None:
        return rule.apply(found, [units[name] for name in found.names])
    return found.decide(threshold)


def extract_for(
    model: FeatureClassifier,
    images: ImageDataset,
    views: int | None = None,
    kept: Kept | None = None,
    **settings: Any,
) -> FeatureMatrix:
    """Extract features of images as those of the model's training images were."""
    if not model.recipes_:
        raise UsageError(
            "the model was fitted to an array, so images cannot be turned into its features; fit "
            "it to a feature matrix with featx.fit"
        )
    facts = model.provenance_
    check_known_changes(facts["versions"], decisive_versions(), "the model", "the features")
    if views is None:
        views = training_views(model)
    beside = model._weights_places
    with keeping(kept or _kept_by(model)):
        columns = columns_recipe_of(model.recipes_)
        if columns is None:
            return extract_by_recipes(images, model.recipes_, views, beside=beside, **settings)
        if len(model.recipes_) == 1:
            return matrix_of(images, encode_columns(columns, images.columns), columns)
        check_columns(needed_columns(model), images.columns)
        matrix = extract_by_recipes(images, model.recipes_[:-1], views, beside=beside, **settings)
        return with_columns(matrix, columns, images)


def _kept_by(model: FeatureClassifier) -> Kept:
    """Return a record whose networks live as long as the model; they are not saved with it."""
    return Kept(model.__dict__.setdefault("_networks", {}))


def needed_columns(
    model: FeatureClassifier, unit: str | None = None, subgroups: str | Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the columns of a table that a model needs, and those of a unit and of subgroups."""
    divided = parse_subgroups(subgroups)
    if divided and unit is not None:
        raise UsageError(
            "figures by subgroup are of images, not of decisions by unit; give --subgroups or "
            "--unit, not both"
        )
    recipe = columns_recipe_of(model.recipes_)
    own = [] if recipe is None else [entry["name"] for entry in recipe["columns"]]
    of_unit = [] if unit in (None, PATIENT) else [str(unit)]
    return tuple(dict.fromkeys([*own, *of_unit, *divided]))


def training_views(model: FeatureClassifier) -> int:
    """Return the views per training image; the threshold was chosen on means over so many."""
    return int(model.provenance_["rows"] // model.provenance_["images"])


def _labels_for(model: FeatureClassifier, matrix: FeatureMatrix) -> npt.NDArray[np.int64]:
    """Return the labels as indices of the model's classes, -1 for other classes."""
    code = {str(name): number for number, name in enumerate(model.classes_)}
    codes = [code.get(name, -1) for name in (*matrix.class_names, "")]
    return np.array(codes, dtype=np.int64)[matrix.labels]


def log_findings(findings: Sequence[Finding]) -> None:
    """Log findings on images given to a model."""
    for finding in findings:
        level = logging.INFO if finding.severity == "information" else logging.WARNING
        logger.log(level, finding.named)


def loaded(model: FeatureClassifier | str | PathLike) -> FeatureClassifier:
    """Return a model, read from its file where a path is given."""
    if not isinstance(model, str | PathLike):
        return model
    from featx.classifiers.model_file import load_model

    return load_model(str(model))
