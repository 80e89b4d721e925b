"""Scikit-learn transformer from images to features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin

from featx.backbones.pooling import pooled_columns
from featx.datasets.conversion import as_images
from featx.datasets.dataset import ImageDataset
from featx.errors import find_name
from featx.features.config import ExtractionConfig
from featx.features.extraction import extract
from featx.features.pipeline import embedders_of
from featx.features.recipe import feature_names
from featx.images.augmentation import Augmentation
from featx.images.reading import Color

_COMBINATIONS = ("average", "concatenate")


class FeatureExtractor(TransformerMixin, BaseEstimator):
    """Transform images into features of frozen backbones, one row per image.

    The scikit-learn form of `featx.extract`, for pipelines and searches. Nothing is learned from
    data and no weights are kept, so clones and pickles are small. Features come from the cache
    where it has them: a grid search costs one extraction per setting. With several jobs, call
    `transform` on all images first. An unreadable image is an error, since a row cannot be left
    out.

    Parameters
    ----------
    backbones : str or sequence of str, default="efficientnet_lite0"
        Names from `featx.list_backbones`; features of several are concatenated.
    augmentation : str or Augmentation, default="none"
        Policy by which the views 1, 2, ... are drawn.
    views : int, default=1
        Number of views per image.
    combine : {"average", "concatenate"}, default="average"
        Combination of an image's views: the mean of their features, or all in one long row, which
        `featx.ViewAveraging` splits again.
    weights, weights_dir, cache, engine, random_state, color, pooling, normalization, precision, \
    rehash
        Settings of `featx.ExtractionConfig`.

    Attributes
    ----------
    n_features_out_ : int
        Number of features per row.

    Examples
    --------
    >>> extractor = FeatureExtractor(["efficientnet_lite0", "mobilenetv2"], weights="random")
    >>> extractor.get_feature_names_out()[[0, 1, 1280]]
    array(['efficientnet_lite0_6bf1ead9_0', 'efficientnet_lite0_6bf1ead9_1',
           'mobilenetv2_a0be74da_0'], dtype=object)

    Backbone and classifier chosen together, with patients kept apart:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
    >>> from sklearn.pipeline import Pipeline
    >>> pipeline = Pipeline([("extract", FeatureExtractor()), ("classify", LogisticRegression())])
    >>> grid = {"extract__backbones": ["efficientnet_lite0", "densenet169"],
    ...         "classify__C": [0.01, 0.1]}
    >>> search = GridSearchCV(pipeline, grid, cv=StratifiedGroupKFold(), scoring="roc_auc")

    ``search.fit(images, images.labels, groups=images.patients)`` then takes an `ImageDataset`.
    """

    def __init__(
        self,
        backbones: str | Sequence[str] = "efficientnet_lite0",
        *,
        augmentation: str | Augmentation = "none",
        views: int = 1,
        combine: str = "average",
        weights: str | Path = "imagenet",
        weights_dir: str | Path | None = None,
        cache: str | Path | None = None,
        engine: str = "auto",
        random_state: int = 0,
        color: Color = "gray",
        pooling: str = "average",
        normalization: str = "none",
        precision: str = "float32",
        rehash: bool = False,
    ) -> None:
        self.backbones = backbones
        self.augmentation = augmentation
        self.views = views
        self.combine = combine
        self.weights = weights
        self.weights_dir = weights_dir
        self.cache = cache
        self.engine = engine
        self.random_state = random_state
        self.color = color
        self.pooling = pooling
        self.normalization = normalization
        self.precision = precision
        self.rehash = rehash

    def fit(self, X: Any, y: Any = None) -> FeatureExtractor:  # noqa: ARG002
        """Check the parameters, without opening an image.

        Raises
        ------
        UsageError
            If a parameter is invalid, or two exclude each other.
        """
        _ = self._config(), self._combination
        return self

    def transform(self, X: ImageDataset | Iterable[Any]) -> npt.NDArray[np.float32]:
        """Extract the features of images; `fit` is not needed before.

        Parameters
        ----------
        X : ImageDataset, or sequence, array, Series or one-column frame of path or ndarray
            Images. Arrays have shape (height, width) or (height, width, 3); one array holds images
            of one size along its first axis.

        Returns
        -------
        ndarray of float32, shape (n_images, n_features_out)
            A data frame with feature names where `set_output` asks for one.

        Raises
        ------
        UsageError
            If X is none of these, or a parameter is invalid.
        FeatxError
            If an image does not exist or is unreadable.
        """
        config, combination = self._config(), self._combination
        images = as_images(X, labeled=False)
        matrix = extract(images, config=config)
        if combination == "concatenate":
            return matrix.X.reshape(len(images), -1)
        return matrix.X.reshape(len(images), self.views, -1).mean(axis=1)

    @property
    def n_features_out_(self) -> int:
        """Number of features per row."""
        config = self._config()
        columns = sum(len(pooled_columns(record, config.pooling)) for record in config.records)
        return columns * (self.views if self._combination == "concatenate" else 1)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray:  # noqa: ARG002
        """Return the feature names.

        Returns
        -------
        ndarray of str, shape (n_features_out,)
            ``densenet169_1f0a93c2_7``: backbone, digest of weights and recipe, number; with other
            pooling ``densenet169_1f0a93c2_upper_left_7`` or ``densenet169_1f0a93c2_relu_std_7``;
            with the prefix ``view1_`` where views are concatenated. `FeatureMatrix.to_frame` has
            the same names.

        Raises
        ------
        FeatxError
            If weights are missing.
        """
        embedders = embedders_of(self._config())
        recipes = [embedder.recipe.to_dict() for embedder in embedders]
        names = feature_names(recipes, sum(embedder.width for embedder in embedders))
        if self._combination == "concatenate" and self.views > 1:
            names = [f"view{view}_{name}" for view in range(self.views) for name in names]
        return np.array(names, dtype=object)

    def _config(self) -> ExtractionConfig:
        settings = self.get_params(deep=False)
        del settings["combine"]
        return ExtractionConfig(**settings, strict=True)

    @property
    def _combination(self) -> str:
        return find_name("combination of views", self.combine, _COMBINATIONS)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags
