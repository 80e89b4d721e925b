"""Checks of a loaded model: compiled predictors read out of bounds where its arrays disagree."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.audit.membership import SKETCH_BYTES
from featx.audit.typicality import DIRECTIONS
from featx.classifiers.calibration import IsotonicCalibration, SigmoidCalibration, probabilities
from featx.classifiers.classifier import FeatureClassifier
from featx.classifiers.clinical import ColumnPlaces
from featx.classifiers.fusion import FusedClassifier
from featx.classifiers.registry import get_classifier
from featx.classifiers.scaling import BlockScaler
from featx.classifiers.ubjson import read_ubjson
from featx.classifiers.validation import own_settings
from featx.errors import UsageError
from featx.images.augmentation import Augmentation


def check_model(model: FeatureClassifier) -> None:
    """Check shapes, ranges and finiteness, then predict two rows."""
    n_features, n_classes = model.n_features_in_, len(model.classes_)
    _require(type(n_features) is int and n_features > 0, "n_features_in_")
    _require(n_classes >= 2 and len(np.unique(model.classes_)) == n_classes, "classes_")
    places = ColumnPlaces.of(model.recipes_, n_features)
    width = n_features if places is None else places.images
    _require(width >= 0, "recipes_")
    # NumPy holds numbers that are no characters.
    texts = [name for name in model.classes_.tolist() if isinstance(name, str)]
    _require(all(ord(each) <= sys.maxunicode for each in "".join(texts)), "classes_")
    _check_decision(model.threshold_, model.calibration_, n_classes)
    if model.unit_ is not None:
        _check_unit_rule(model.unit_, n_classes)
    if model.membership_ is not None:
        _check_membership(model.membership_, width)
    if model.typicality_ is not None:
        _check_typicality(model.typicality_, width)
    n_images = len(model.out_of_fold_)
    _array(model, "out_of_fold_", (n_images, n_classes), 0)
    if hasattr(model, "out_of_fold_scores_"):
        shape = (n_images,) if n_classes == 2 else (n_images, n_classes)
        _array(model, "out_of_fold_scores_", shape)
    labels = _array(model, "out_of_fold_labels_", (n_images,), 0)
    _require(bool((labels < n_classes).all()), "out_of_fold_labels_")
    if hasattr(model, "out_of_fold_patients_"):
        codes = _array(model, "out_of_fold_patients_", (n_images,), 0)
        _require(codes.dtype.kind == "i", "out_of_fold_patients_")
    for recipe in model.recipes_:
        numbers = [*recipe.get("size", ()), recipe.get("seed", 0), recipe.get("format", 1)]
        _require(all(type(number) is int and number >= 0 for number in numbers), "recipes_")
        if "augmentation" in recipe:
            try:
                Augmentation(**recipe["augmentation"])
            except UsageError as error:
                raise ValueError(f"recipes_: {error}") from error
    if model.recipes_:
        counts = [model.provenance_[name] for name in ("rows", "images")]
        _require(all(type(count) is int and count > 0 for count in counts), "provenance_")
    if isinstance(model, FusedClassifier):
        _check_fused(model)
    else:
        _check_pipeline(model, places, width)
    with own_settings():
        scores = model._scores(np.eye(2, n_features, dtype=np.float32))
    found = probabilities(model.calibration_.logits(scores))
    _require(found.shape == (2, n_classes) and bool(np.isfinite(found).all()), "a probability")


def _check_fused(model: FusedClassifier) -> None:
    members = model.members_
    _require(isinstance(members, tuple) and len(members) > 1, "members_")
    for member in members:
        _require(type(member) is FeatureClassifier, "members_")
        check_model(member)
        _require(np.array_equal(member.classes_, model.classes_), "classes_ of members_")
    widths = [member.n_features_in_ for member in members]
    _require(sum(widths) == model.n_features_in_, "n_features_in_ of members_")
    recipes = [recipe for member in members for recipe in member.recipes_]
    _require(recipes == list(model.recipes_), "recipes_ of members_")


def _check_pipeline(model: FeatureClassifier, places: ColumnPlaces | None, width: int) -> None:
    from sklearn.decomposition import PCA

    n_features, n_classes = model.n_features_in_, len(model.classes_)
    made = get_classifier(model.classifier).make((n_features + 1, width), 0)
    if places is not None:
        made = places.pipeline(made)
    names = [name for name, _ in model.pipeline_.steps]
    # Beyond memory, the rows of every classifier are scaled and compressed.
    beyond_memory = ["scale", "compress", made.steps[-1][0]]
    _require(names in ([name for name, _ in made.steps], beyond_memory), "steps")
    wanted = {"compress": PCA(), **dict(made.steps), "scale": BlockScaler()}
    _check_steps(model.pipeline_, wanted, n_features, n_classes)


def _check_steps(pipeline: Any, wanted: dict[str, Any], width: int, n_classes: int) -> int:
    """Check the steps of a pipeline, and return the number of features that they make."""
    from sklearn.decomposition import PCA

    for name, step in pipeline.steps:
        # The forest of the first version was scikit-learn's own.
        _require(isinstance(wanted[name], type(step)), f"step {name}")
        _require(getattr(step, "n_features_in_", width) == width, f"n_features_in_ of {name}")
        if name == "columns":
            width = _check_columns(step, wanted[name], n_classes)
            continue
        check = _find_check(step)
        if check is not None:
            check(step, width, n_classes)
        if isinstance(step, PCA):
            width = len(step.components_)
    return width


def _check_columns(step: Any, wanted: Any, n_classes: int) -> int:
    """Check what prepares image features, amounts and categories, each at its places."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import OneHotEncoder

    found = [(name, each, places) for name, each, places in step.transformers_]
    kinds = [(name, places) for name, _, places in found]
    _require(kinds == [(name, places) for name, _, places in wanted.transformers], "columns")
    _require(step._columns == [places for _, places in kinds], "columns")
    _require(step.transformer_weights == wanted.transformer_weights, "weights of columns")
    width = 0
    for name, each, places in found:
        start = width
        if name == "images":
            made = {"compress": PCA(), **dict(wanted.transformers[0][1].steps)}
            made |= {"scale": BlockScaler()}
            width += _check_steps(each, made, places.stop, n_classes)
        elif name == "numbers":
            width += _check_numbers(each, len(places))
        else:
            _require(isinstance(each, OneHotEncoder), "step categories")
            _require(len(each.categories_) == len(places), "categories_")
            _require(all(c.ndim == 1 and c.dtype.kind == "f" for c in each.categories_), "codes")
            width += sum(map(len, each.categories_))
        _require(step.output_indices_[name] == slice(start, width), f"places of {name}")
    return width


def _check_numbers(pipeline: Any, width: int) -> int:
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.preprocessing import StandardScaler

    imputer, scaler = (step for _, step in pipeline.steps)
    _require(isinstance(imputer, SimpleImputer) and isinstance(scaler, StandardScaler), "numbers")
    _array(imputer, "statistics_", (width,))
    indicator = imputer.indicator_
    _require(isinstance(indicator, MissingIndicator), "indicator_")
    marked = _array(indicator, "features_", (len(indicator.features_),), 0)
    _require(len(np.unique(marked)) == len(marked) and bool((marked < width).all()), "features_")
    _check_scaler(scaler, width + len(marked), 0)
    return width + len(marked)


def _find_check(step: Any) -> Callable[[Any, int, int], None] | None:
    """Return the check of a step; of a type that a user added to the registry there is none."""
    boosting = sys.modules.get("featx.classifiers.boosting")
    # A model without boosted trees needs no XGBoost.
    if boosting is not None and isinstance(step, boosting.BoostedTrees):
        return _check_boosted
    bases = [kind for kind in type(step).__mro__ if kind.__module__.startswith("sklearn.")]
    return next((_CHECKS[kind.__name__] for kind in bases if kind.__name__ in _CHECKS), None)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(f"{what} is not that of a fitted model")


def _array(
    owner: Any, name: str, shape: tuple[int, ...], least: float | None = None
) -> npt.NDArray:
    """Return an attribute that must be a finite array of a shape."""
    values = getattr(owner, name)
    where = f"{name} of {type(owner).__name__}"
    _require(isinstance(values, np.ndarray) and values.shape == shape, where)
    _require(values.dtype.kind in "iufb" and bool(np.isfinite(values).all()), where)
    _require(least is None or not values.size or values.min() >= least, where)
    return values


def _check_unit_rule(rule: Any, n_classes: int) -> None:
    from featx.classifiers.units import COMBINATIONS, UnitRule

    _require(isinstance(rule, UnitRule) and isinstance(rule.unit, str), "unit_")
    _require(rule.combined in COMBINATIONS, "unit_")
    _check_decision(rule.threshold, rule.calibration, n_classes)
    scores = np.zeros(2) if n_classes == 2 else np.zeros((2, n_classes))
    found = probabilities(rule.calibration.logits(scores))
    _require(found.shape == (2, n_classes) and bool(np.isfinite(found).all()), "unit_")


def _check_decision(threshold: Any, calibration: Any, n_classes: int) -> None:
    _require(threshold is not None or n_classes > 2, "threshold_")
    if threshold is not None:
        cutoffs = np.array(threshold, dtype=np.float64)
        _require(cutoffs.shape == (() if n_classes == 2 else (n_classes,)), "threshold_")
        _require(bool(((cutoffs >= 0) & (cutoffs <= 1)).all()), "threshold_")
    n_scores = 1 if n_classes == 2 else n_classes
    if isinstance(calibration, SigmoidCalibration):
        for name in ("slope", "intercept"):
            _array(calibration, name, (n_scores,))
    elif isinstance(calibration, IsotonicCalibration):
        _require(len(calibration.scores) == len(calibration.values) == n_scores, "calibration_")
        for scores, values in zip(calibration.scores, calibration.values, strict=True):
            _require(scores.shape == values.shape == (len(scores),) and len(scores) > 0, "knots")
            _require(bool(np.isfinite(scores).all() and (np.diff(scores) >= 0).all()), "knots")
            _require(bool(((values >= 0) & (values <= 1)).all()), "knots")


def _check_membership(record: dict[str, Any], n_features: int) -> None:
    one_row = [
        record[name].ndim == 1 for name in ("images", "patients", "adapted") if name in record
    ]
    _require(all(one_row), "membership_")
    if "sketches" in record:
        moments = [record[name] for name in ("mean", "deviation")]
        _require(all(each.shape == (n_features,) for each in moments), "membership_")
        _require(all(bool(np.isfinite(each).all()) for each in moments), "membership_")
        sketches = record["sketches"]
        shape = len(sketches), SKETCH_BYTES
        _require(sketches.dtype == np.uint8 and sketches.shape == shape, "membership_")


def _check_typicality(record: dict[str, Any], n_features: int) -> None:
    mean, directions, distances = (record[n] for n in ("mean", "directions", "distances"))
    _require(mean.shape == (n_features,), "typicality_")
    _require(len(directions) <= DIRECTIONS, "typicality_")
    _require(directions.shape[1:] == (n_features,), "typicality_")
    _require(distances.ndim == 1 and len(distances) > 0, "typicality_")
    arrays = (mean, directions, distances)
    _require(all(each.dtype.kind == "f" for each in arrays), "typicality_")
    _require(all(bool(np.isfinite(each).all()) for each in arrays), "typicality_")
    _require(bool((np.diff(distances) >= 0).all()), "typicality_")


def _check_scaler(step: Any, width: int, _: int) -> None:
    _array(step, "mean_", (width,))
    _require(bool((_array(step, "scale_", (width,)) > 0).all()), "scale_")


def _check_pca(step: Any, width: int, _: int) -> None:
    _array(step, "components_", (len(step.components_), width))
    _array(step, "mean_", (width,))


def _check_logistic(step: Any, width: int, n_classes: int) -> None:
    n_scores = 1 if n_classes == 2 else n_classes
    _check_labels(step, n_classes)
    _array(step, "coef_", (n_scores, width))
    _array(step, "intercept_", (n_scores,))


def _check_naive_bayes(step: Any, width: int, n_classes: int) -> None:
    _check_labels(step, n_classes)
    _array(step, "theta_", (n_classes, width))
    _require(bool((_array(step, "var_", (n_classes, width)) > 0).all()), "var_")
    _array(step, "class_prior_", (n_classes,), 0)


def _check_neighbors(step: Any, width: int, n_classes: int) -> None:
    _check_labels(step, n_classes)
    n_rows = len(step._fit_X)
    _array(step, "_fit_X", (n_rows, width))
    labels = _array(step, "_y", (n_rows,), 0)
    _require(labels.dtype.kind == "i" and labels.max() < n_classes, "_y")
    _require(0 < step.n_neighbors <= n_rows == step.n_samples_fit_, "n_neighbors")


def _check_svm(step: Any, width: int, n_classes: int) -> None:
    _check_labels(step, n_classes)
    _require(step.kernel in ("linear", "rbf") and step._sparse is False, "kernel")
    _require(bool(np.isfinite(step._gamma)) and step._gamma >= 0, "_gamma")
    n_vectors, n_pairs = len(step.support_vectors_), n_classes * (n_classes - 1) // 2
    _array(step, "support_vectors_", (n_vectors, width))
    rows = _array(step, "support_", (n_vectors,), 0)
    _require(len(np.unique(rows)) == n_vectors and rows.max() < step.shape_fit_[0], "support_")
    counts = _array(step, "_n_support", (n_classes,), 0)
    _require(counts.sum() == n_vectors, "_n_support")
    for name in ("dual_coef_", "_dual_coef_"):
        _array(step, name, (n_classes - 1, n_vectors))
    for name in ("intercept_", "_intercept_"):
        _array(step, name, (n_pairs,))


def _check_forest(step: Any, width: int, n_classes: int) -> None:
    _check_labels(step, n_classes)
    _require(len(step.estimators_) > 0 and step.n_outputs_ == 1, "estimators_")
    if hasattr(step, "half_widths_"):
        _array(step, "half_widths_", (width,), 0)
    for each in step.estimators_:
        tree = each.tree_
        _require(tree.n_features == width and tree.n_outputs == 1, "tree_")
        # The arrays below are as long as the first, and reach beyond the second.
        _require(tree.node_count == tree.capacity and tree.max_n_classes == n_classes, "tree_")
        children = tree.children_left, tree.children_right
        _check_tree(*children, tree.feature, tree.threshold, width)
        values = tree.value
        _require(bool(np.isfinite(values).all() and (values >= 0).all()), "values of a tree")
        _require(bool((values.sum(axis=2) > 0).all()), "values of a tree")


def _check_boosted(step: Any, width: int, n_classes: int) -> None:
    _check_labels(step, n_classes)
    if step.smoothing > 0:
        _array(step, "spread_", (width,), 0)
    learner = read_ubjson(step.booster_.tobytes())["learner"]
    facts = learner["learner_model_param"]
    n_outputs = 1 if n_classes == 2 else n_classes
    _require(int(facts["num_feature"]) == width and int(facts["num_target"]) == 1, "num_feature")
    _require(int(facts["num_class"]) == (0 if n_classes == 2 else n_classes), "num_class")
    objective = "binary:logistic" if n_classes == 2 else "multi:softprob"
    _require(learner["objective"]["name"] == objective, "objective")
    booster = learner["gradient_booster"]
    trees, groups = booster["model"]["trees"], booster["model"]["tree_info"]
    _require(booster["name"] == "gbtree", "gradient_booster")
    _require(len(trees) == int(booster["model"]["gbtree_model_param"]["num_trees"]) > 0, "trees")
    _require(np.array_equal(groups, np.arange(len(trees)) % n_outputs), "tree_info")
    rounds = np.arange(0, len(trees) + 1, n_outputs)
    _require(np.array_equal(booster["model"]["iteration_indptr"], rounds), "iteration_indptr")
    for number, tree in enumerate(trees):
        size = len(tree["left_children"])
        _require(tree["id"] == number, "id of a tree")
        _require(int(tree["tree_param"]["num_nodes"]) == size, "num_nodes")
        _require(int(tree["tree_param"]["num_feature"]) == width, "num_feature of a tree")
        _require(len(tree["categories"]) == 0 and not np.any(tree["split_type"]), "split_type")
        lengths = {len(tree[name]) for name in _NODE_ARRAYS}
        _require(lengths == {size}, "number of nodes")
        children = tree["left_children"], tree["right_children"]
        _check_tree(*children, tree["split_indices"], tree["split_conditions"], width)


_NODE_ARRAYS = (
    "base_weights",
    "default_left",
    "loss_changes",
    "parents",
    "split_conditions",
    "split_indices",
    "split_type",
    "sum_hessian",
)


def _check_tree(
    left: npt.NDArray, right: npt.NDArray, feature: npt.NDArray, cut: npt.NDArray, width: int
) -> None:
    """Require that each walk from the root ends at a leaf, and reads existing features."""
    size, inner = len(left), left >= 0
    _require(size > 0 and np.array_equal(inner, right >= 0), "children of a tree")
    children = np.concatenate([left[inner], right[inner]])
    # No node has two parents, and the root none.
    _require(len(np.unique(children)) == len(children), "children of a tree")
    _require(not len(children) or (children.min() > 0 and children.max() < size), "children")
    split = feature[inner]
    _require(not len(split) or (split.min() >= 0 and split.max() < width), "feature of a tree")
    _require(bool(np.isfinite(cut).all()), "split of a tree")


def _check_labels(step: Any, n_classes: int) -> None:
    _require(np.array_equal(step.classes_, np.arange(n_classes)), "classes_ of the classifier")


# By name, so that only the modules of a model's own steps are imported.
_CHECKS: dict[str, Callable[[Any, int, int], None]] = {
    "StandardScaler": _check_scaler,
    "PCA": _check_pca,
    "LogisticRegression": _check_logistic,
    "GaussianNB": _check_naive_bayes,
    "KNeighborsClassifier": _check_neighbors,
    "SVC": _check_svm,
    "RandomForestClassifier": _check_forest,
}
