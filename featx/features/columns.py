"""Columns of a table beside image features: encoded as numbers, and again by a model's recipe.

A matrix holds amounts as they are and categories as codes, NaN where a value is missing; nothing is
scaled or imputed here, so that all of it is fitted inside the folds.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError, check_names, listed
from featx.features.matrix import FeatureMatrix

logger = logging.getLogger(__name__)

Recipe = Mapping[str, Any]

COLUMNS = "columns"
"""Name of these features among the backbones of a row."""

KINDS = ("number", "category")

# Whole numbers of at most so many values may be codes.
_MOST_CODES = 10
# More texts than these are names, dates or remarks.
_MOST_CATEGORIES = 30


def parse_covariates(given: str | Sequence[str]) -> dict[str, str]:
    """Read ``age,site=category``; return the kind of each column, ``""`` where none is given.

    Examples
    --------
    >>> parse_covariates("age, site=category")
    {'age': '', 'site': 'category'}
    """
    items = given.split(",") if isinstance(given, str) else given
    pairs = [[part.strip() for part in item.rpartition("=")[::2]] for item in items if item.strip()]
    found = {name or kind: kind if name else "" for name, kind in pairs}
    check_names("kind of a column (COLUMN=KIND)", filter(None, found.values()), KINDS)
    return found


def columns_recipe(
    covariates: Mapping[str, str], columns: Mapping[str, Iterable[str]]
) -> dict[str, Any]:
    """Describe columns by the values of training images: amounts, or the categories there are.

    Raises
    ------
    UsageError
        If a column is missing or empty, or may hold amounts as well as codes.
    """
    check_columns(covariates, columns)
    entries = [_entry(name, kind, columns[name]) for name, kind in covariates.items()]
    return {"backbone": COLUMNS, "format": 1, "columns": entries}


def check_columns(names: Iterable[str], columns: Mapping[str, Any]) -> None:
    """Refuse images without some of the columns, naming them."""
    missing = [name for name in names if name not in columns]
    if missing:
        raise UsageError(
            f"the images have no column {', '.join(map(repr, missing))}, which the model needs "
            "beside them; list the images in a table that has it (or name another by --columns "
            f"{missing[0]}=COLUMN)"
        )


def _entry(name: str, kind: str, cells: Iterable[str]) -> dict[str, Any]:
    values = sorted({*map(str, cells)} - {""})
    texts = [value for value in values if not math.isfinite(_number(value))]
    some = listed(map(repr, values), 5)
    if not values:
        raise UsageError(f"the column {name!r} is empty for all training images; leave it out")
    if not kind and texts and len(texts) < len(values):
        raise UsageError(
            f"the column {name!r} holds numbers and texts ({listed(map(repr, texts), 5)}); correct "
            f"or empty these cells, or let each value be a category: {name}=category"
        )
    whole = all(float(value).is_integer() for value in values) if not texts else False
    if not kind and whole and 2 < len(values) <= _MOST_CODES:
        raise UsageError(
            f"the column {name!r} holds {len(values)} different whole numbers ({some}), which may "
            f"be amounts or codes; say which: {name}=number or {name}=category"
        )
    if kind == "number" and texts:
        raise UsageError(
            f"the column {name!r} holds {listed(map(repr, texts), 5)}, not numbers (decimals have "
            f"a point); correct or empty these cells, or use {name}=category"
        )
    if kind == "number" or (not kind and not texts):
        return {"name": name}
    if len(values) > _MOST_CATEGORIES:
        raise UsageError(
            f"the column {name!r} holds {len(values):,} different texts ({some}), too many for "
            f"categories (at most {_MOST_CATEGORIES}); group them, or leave it out"
        )
    return {"name": name, "categories": values}


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def encode_columns(
    recipe: Recipe, columns: Mapping[str, npt.NDArray[np.str_]], where: str = "the images"
) -> npt.NDArray[np.float32]:
    """Encode columns as numbers, one row an image; unknown categories have a code of their own.

    Raises
    ------
    UsageError
        If a column is missing, holds a text for a number, or no category of training images.
    """
    check_columns([entry["name"] for entry in recipe["columns"]], columns)
    found = [_codes(entry, columns[entry["name"]], where) for entry in recipe["columns"]]
    return np.array(found, dtype=np.float32).reshape(len(found), -1).T


def _codes(entry: Mapping[str, Any], cells: npt.NDArray[np.str_], where: str) -> list[float]:
    name, known = entry["name"], entry.get("categories")
    codes = {value: float(code) for code, value in enumerate(known or ())}
    if known is None:
        codes = {cell: _number(cell) for cell in cells.tolist()}
    values = [codes.get(cell, math.nan) for cell in cells.tolist()]
    pairs = zip(cells.tolist(), values, strict=True)
    strange = [cell for cell, value in pairs if cell and not math.isfinite(value)]
    if not strange:
        return values
    shown = listed(map(repr, dict.fromkeys(strange)), 5)
    if known is None:
        raise UsageError(f"{where}: the column {name!r} holds {shown}, not numbers; correct them")
    problem = f"{where}: the column {name!r} holds {shown}, and training images {', '.join(known)}"
    if all(math.isnan(value) for value in values):
        raise UsageError(f"{problem}; give it the same categories under the same names")
    logger.warning(f"{problem}: these count as none of them ({len(strange):,} images).")
    codes |= dict.fromkeys(strange, float(len(known)))
    return [codes.get(cell, math.nan) for cell in cells.tolist()]


def with_columns(
    matrix: FeatureMatrix, recipe: Recipe, images: ImageDataset, where: str = "the images"
) -> FeatureMatrix:
    """Put encoded columns of the images beside their features, the same for all views."""
    values = encode_columns(recipe, images.columns_of(matrix.names), where)
    X = np.concatenate([matrix.to_numpy(), values[matrix.image]], axis=1)
    return replace(matrix, X=X, recipes=(*matrix.recipes, dict(recipe)))


def matrix_of(images: ImageDataset, X: npt.ArrayLike, recipe: Recipe) -> FeatureMatrix:
    """Return a matrix of one row per image, whose features come from no network."""
    return FeatureMatrix(
        X=np.asarray(X, dtype=np.float32),
        image=np.arange(len(images)),
        view=np.zeros(len(images), dtype=np.int64),
        names=images.names,
        digests=tuple(images.digest(index) for index in range(len(images))),
        labels=images.labels,
        patients=images.patients,
        patients_known=images.patients_known,
        splits=images.splits,
        class_names=images.class_names,
        recipes=(dict(recipe),),
    )


def columns_recipe_of(recipes: Sequence[Recipe]) -> Recipe | None:
    """Return the recipe of the columns among those of a matrix or model: it is the last."""
    return recipes[-1] if recipes and recipes[-1].get("backbone") == COLUMNS else None


def image_part(matrix: FeatureMatrix) -> FeatureMatrix:
    """Return a matrix without its columns of a table."""
    recipe = columns_recipe_of(matrix.recipes)
    if recipe is None:
        return matrix
    return replace(
        matrix, X=matrix.X[:, : -len(recipe["columns"])], recipes=tuple(matrix.recipes[:-1])
    )
