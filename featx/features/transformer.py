"""A scikit-learn transformer from images to features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from featx.backbones.pooling import POOLINGS, check_pooling
from featx.backbones.registry import get_backbone
from featx.errors import FeatxError, UsageError
from featx.features.extraction import extract
from featx.images.dataset import ImageDataset
from featx.images.normalisation import check_normalisation
from featx.images.reading import Colour

__all__ = ["FeatureExtractor"]


class FeatureExtractor(TransformerMixin, BaseEstimator):
    """Turn images into features of a frozen backbone, one row an image, through the cache.

    The rows of an image's views are averaged. Nothing is learnt from data; `fit` checks the
    parameters. An unreadable image is an error, since a row cannot be left out.

    Parameters
    ----------
    backbone : str, default="efficientnet_lite0"
        A name from `featx.list_backbones`.
    augmentation : {"none", "seed", "radiograph"}, default="none"
        How views 1, 2, ... are drawn.
    views : int, default=1
        Views of an image.
    weights, weights_dir, cache, engine, seed, colour, pooling, normalisation
        As in `featx.extract`.

    Attributes
    ----------
    n_features_out_ : int
        Number of features.

    Examples
    --------
    >>> extractor = FeatureExtractor().fit(None)
    >>> extractor.get_feature_names_out()[:2]
    array(['efficientnet_lite0_0', 'efficientnet_lite0_1'], dtype=object)
    """

    def __init__(
        self,
        backbone: str = "efficientnet_lite0",
        *,
        augmentation: str = "none",
        views: int = 1,
        weights: str | Path = "imagenet",
        weights_dir: str | Path | None = None,
        cache: str | Path | None = None,
        engine: str = "auto",
        seed: int = 0,
        colour: Colour = "grey",
        pooling: str = "average",
        normalisation: str = "none",
    ) -> None:
        self.backbone = backbone
        self.augmentation = augmentation
        self.views = views
        self.weights = weights
        self.weights_dir = weights_dir
        self.cache = cache
        self.engine = engine
        self.seed = seed
        self.colour = colour
        self.pooling = pooling
        self.normalisation = normalisation

    def fit(self, X: Any, y: Any = None) -> FeatureExtractor:  # noqa: ARG002
        """Check the parameters.

        Parameters
        ----------
        X, y : ignored

        Returns
        -------
        FeatureExtractor
            Itself.
        """
        check_pooling(self.pooling)
        check_normalisation(self.normalisation)
        self.n_features_out_ = get_backbone(self.backbone).features * POOLINGS[self.pooling]
        return self

    def transform(self, X: ImageDataset | Sequence[Any] | npt.NDArray) -> npt.NDArray[np.float32]:
        """Embed images.

        Parameters
        ----------
        X : ImageDataset, sequence of path, or sequence of ndarray
            The images.

        Returns
        -------
        ndarray of float32, shape (n_images, n_features_out_)

        Raises
        ------
        UsageError
            If X is none of these.
        FeatxError
            If an image is unreadable.
        """
        check_is_fitted(self, "n_features_out_")
        images = _as_images(X)
        matrix = extract(images, strict=True, **self.get_params())
        return matrix.X.reshape(len(images), self.views, -1).mean(axis=1)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray:  # noqa: ARG002
        """Name the features after the backbone.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of str, shape (n_features_out_,)
        """
        check_is_fitted(self, "n_features_out_")
        names = [f"{self.backbone}_{number}" for number in range(self.n_features_out_)]
        return np.array(names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.no_validation = True
        return tags


def _as_images(X: ImageDataset | Sequence[Any] | npt.NDArray) -> ImageDataset:
    if isinstance(X, ImageDataset):
        return X
    items = list(np.ravel(X)) if _holds_paths(X) else list(X)
    if items and all(isinstance(item, str | Path) for item in items):
        paths = [Path(item) for item in items]
        missing = [path for path in paths if not path.exists()]
        if missing:
            raise FeatxError(f"{len(missing):,} images do not exist, {missing[0]} for one")
        return ImageDataset.from_files(paths)
    if items and all(isinstance(item, np.ndarray) and item.ndim >= 2 for item in items):
        return ImageDataset.from_arrays(items)
    raise UsageError(
        "give an ImageDataset, paths of images, or arrays of shape (n_images, height, width[, 3])"
    )


def _holds_paths(X: Any) -> bool:
    return isinstance(X, np.ndarray) and X.dtype.kind in "OU"
