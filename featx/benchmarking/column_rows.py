"""Rows of columns of a table: beside the features of images, and alone."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from featx.benchmarking.data import Features, TrainTestData
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.features.columns import (
    COLUMNS,
    columns_recipe,
    columns_recipe_of,
    encode_columns,
    matrix_of,
    parse_covariates,
    with_columns,
)
from featx.features.matrix import FeatureMatrix

logger = logging.getLogger(__name__)

JOINED = f"+{COLUMNS}"
"""End of the backbone's name in rows of images and columns."""


@dataclass(frozen=True)
class ColumnRows:
    """Columns of training, test and external images, with their recipe.

    Of external sets, those that have all columns with values like those of training.
    """

    images: TrainTestData[ImageDataset]
    recipe: Mapping[str, Any]

    @classmethod
    def of(cls, covariates: tuple[str, ...], images: TrainTestData[ImageDataset]) -> ColumnRows:
        """Read the categories of training images, and choose the external sets."""
        recipe = columns_recipe(parse_covariates(covariates), images.train.columns)
        encode_columns(recipe, images.test.columns, "the test images")
        externals = {}
        for name, each in images.externals.items():
            try:
                encode_columns(recipe, each.columns, f"the external set {name}")
                externals[name] = each
            except UsageError as error:
                logger.warning(f"Models with columns are not evaluated on {name}: {error}.")
        return cls(replace(images, externals=externals), recipe)

    def joined(self, features: Features) -> Features:
        """Put the columns beside features of the same images."""
        sets = {"": features.test, **features.externals}
        found = {
            name: with_columns(sets[name], self.recipe, images)
            for name, images in self.images.evaluated.items()
        }
        train = with_columns(features.train, self.recipe, self.images.train)
        return replace(features, train=train, test=found.pop(""), externals=found)

    def alone(self) -> Features:
        """Return the columns without images."""

        def matrix(images: ImageDataset) -> FeatureMatrix:
            return matrix_of(images, encode_columns(self.recipe, images.columns), self.recipe)

        return self.images.map(matrix)


def column_values(data: Features) -> dict[str, str]:
    """Return a digest of the columns that features hold, for keys of results; else nothing."""
    recipe = columns_recipe_of(data.train.recipes)
    if recipe is None:
        return {}
    digest, count = hashlib.sha256(), len(recipe["columns"])
    for matrix in (data.train, *data.evaluated.values()):
        digest.update(matrix.X[:, -count:].tobytes())
    return {"columns": digest.hexdigest()}
