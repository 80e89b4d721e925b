"""A scikit-learn transformer from images to features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin

from featx.backbones.pooling import POOLINGS, QUADRANTS
from featx.backbones.registry import get_backbone
from featx.datasets.dataset import ImageDataset
from featx.datasets.formats import as_images
from featx.errors import UsageError, unknown_name
from featx.features.extraction import check_settings, extract
from featx.images.augmentation import Augmentation
from featx.images.reading import Color

__all__ = ["FeatureExtractor"]

_COMBINATIONS = ("average", "concatenate")


class FeatureExtractor(TransformerMixin, BaseEstimator):
    """Turn images into features of a frozen backbone, one row an image, through the cache.

    Nothing is learned from data and no weights are kept: a clone or a pickle is a few names. What
    was computed once, by any process, comes from the cache; so a grid search costs one extraction
    a setting, and with several jobs it is quickest after one `transform` of all images. An
    unreadable image is an error, since a row cannot be left out.

    Parameters
    ----------
    backbone : str or sequence of str, default="efficientnet_lite0"
        Names from `featx.list_backbones`; the features of several stand side by side.
    augmentation : str or Augmentation, default="none"
        How views 1, 2, ... are drawn: ``"none"``, ``"ramirez"``, ``"radiograph"`` or a policy.
    views : int, default=1
        Views of an image.
    combine : {"average", "concatenate"}, default="average"
        What becomes of an image's views: the mean of their features, or one view after the other
        in a long row, which `featx.ViewAveraging` takes apart again.
    weights, weights_dir, cache, engine, random_state, color, pooling, normalization, precision, \
    rehash
        As in `featx.extract`.
    calibration : ImageDataset or sequence of str, optional
        What ``precision="int8"`` is calibrated on, and needed for it: images at hand at one
        `transform` would give another network than those of the next.

    Attributes
    ----------
    n_features_out_ : int
        Number of features of a row.

    Examples
    --------
    >>> extractor = FeatureExtractor(["efficientnet_lite0", "mobilenetv2"])
    >>> extractor.get_feature_names_out()[[0, 1, 1280]]
    array(['efficientnet_lite0_0', 'efficientnet_lite0_1', 'mobilenetv2_0'], dtype=object)

    Chosen by patient, backbone and classifier together:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
    >>> from sklearn.pipeline import Pipeline
    >>> pipeline = Pipeline([("extract", FeatureExtractor()), ("classify", LogisticRegression())])
    >>> grid = {"extract__backbone": ["efficientnet_lite0", "densenet169"],
    ...         "classify__C": [0.01, 0.1]}
    >>> search = GridSearchCV(pipeline, grid, cv=StratifiedGroupKFold(), scoring="roc_auc")

    ``search.fit(images, images.labels, groups=images.patients)`` then takes an `ImageDataset`.
    """

    def __init__(
        self,
        backbone: str | Sequence[str] = "efficientnet_lite0",
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
        calibration: ImageDataset | Sequence[str] | None = None,
        rehash: bool = False,
    ) -> None:
        self.backbone = backbone
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
        self.calibration = calibration
        self.rehash = rehash

    def fit(self, X: Any, y: Any = None) -> FeatureExtractor:  # noqa: ARG002
        """Check the parameters; no image is opened.

        Parameters
        ----------
        X, y : ignored

        Returns
        -------
        FeatureExtractor
            Itself.

        Raises
        ------
        UsageError
            If a parameter names nothing, or two do not go together.
        """
        self._checked_backbones()
        return self

    def transform(self, X: ImageDataset | Iterable[Any]) -> npt.NDArray[np.float32]:
        """Embed images. `fit` need not come first.

        Parameters
        ----------
        X : ImageDataset, or sequence, array, Series or one-column frame of path, or of ndarray
            The images. Arrays are of shape (height, width) or (height, width, 3); one array holds
            images of one size along its first axis.

        Returns
        -------
        ndarray of float32, shape (n_images, n_features_out)
            A data frame with names where `set_output` asks for one.

        Raises
        ------
        UsageError
            If X is none of these, or a parameter is wrong.
        FeatxError
            If an image does not exist or is unreadable.
        """
        self._checked_backbones()
        images = as_images(X, labeled=False)
        settings = self.get_params(deep=False)
        combine = settings.pop("combine")
        matrix = extract(images, strict=True, **settings)
        if combine == "concatenate":
            return matrix.X.reshape(len(images), -1)
        return matrix.X.reshape(len(images), self.views, -1).mean(axis=1)

    @property
    def n_features_out_(self) -> int:
        """Number of features of a row."""
        maps = sum(get_backbone(name).features for name in self._checked_backbones())
        views = self.views if self.combine == "concatenate" else 1
        return maps * POOLINGS[self.pooling] * views

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray:  # noqa: ARG002
        """Name the features after the backbone.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of str, shape (n_features_out,)
            ``densenet169_7``; ``densenet169_upper_left_7`` with pooling by quadrants; with
            ``view1_`` before it where views are concatenated.
        """
        places = [f"{name}_" for name in QUADRANTS] if self.pooling == "quadrants" else [""]
        names = [
            f"{backbone}_{place}{number}"
            for backbone in self._checked_backbones()
            for place in places
            for number in range(get_backbone(backbone).features)
        ]
        if self.combine == "concatenate" and self.views > 1:
            names = [f"view{view}_{name}" for view in range(self.views) for name in names]
        return np.array(names, dtype=object)

    def _checked_backbones(self) -> list[str]:
        if self.combine not in _COMBINATIONS:
            raise unknown_name("way to combine views", self.combine, _COMBINATIONS)
        names, _ = check_settings(
            self.backbone,
            self.augmentation,
            self.views,
            weights=self.weights,
            color=self.color,
            pooling=self.pooling,
            normalization=self.normalization,
            precision=self.precision,
            engine=self.engine,
        )
        if self.precision == "int8" and self.calibration is None:
            raise UsageError(
                "precision='int8' needs calibration, the images to quantize the network on; give "
                "some training images, the same for all that is to be compared"
            )
        return names

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags
