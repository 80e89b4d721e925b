"""Settings of an extraction, validated once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from platformdirs import user_cache_path

from featx.backbones.brought import AnyBackbone, Backbone
from featx.backbones.pooling import MAP_POOLINGS, check_pooling
from featx.backbones.registry import (
    REGISTERED_ENGINES,
    canonical_name,
    check_precision,
    get_backbone,
)
from featx.backbones.tuned import TUNED, is_file_name
from featx.errors import UsageError, check_names, find_name
from featx.features.recipe import SHARED_SETTINGS, Recipe
from featx.images.augmentation import POLICIES, Augmentation
from featx.images.framing import SQUASH
from featx.images.normalization import check_normalization
from featx.images.reading import Color

# Written in place of a weights file, whose path is not recorded.
_FILE = "file"
# More are no experiment but a slip of the hand.
_MOST_VIEWS = 10_000
_PATHS = ("weights_dir", "cache")
# Values of settings that registered networks allow; others have their own.
_ALLOWED = {"engine": REGISTERED_ENGINES, "pooling": MAP_POOLINGS}


def default_cache() -> Path:
    """Return ``$FEATX_CACHE``, or else ``featx`` in the user's cache folder."""
    variable = os.environ.get("FEATX_CACHE")
    return Path(variable).absolute() if variable else user_cache_path("featx")


@dataclass(frozen=True)
class ExtractionConfig:
    """Set how features are extracted, for any number of image collections.

    The first group of parameters decides the feature values and becomes the cache's recipes
    (`featx.features.recipe.Recipe`); the second decides where and how they are computed. Use it
    where several functions share one set of settings; `featx.extract` also takes each as a
    keyword argument.

    Parameters
    ----------
    backbones : str, Backbone or sequence of these, default="efficientnet_lite0"
        Names from `featx.list_backbones`, each with ``@SIZE`` for another input size in pixels,
        ``tuned:FILE`` for weights that a benchmark tuned, ``onnx:FILE``, ``openvino:FILE`` or
        ``keras:FILE`` for a network of your own, ``timm:NAME``, ``hf:ID`` or
        ``torchxrayvision:NAME`` for one of these libraries, or a `featx.Backbone`.
        Features of several backbones are concatenated; each image is decoded once for all.
    augmentation : {"radiograph", "ramirez", "none"} or Augmentation, default="radiograph"
        Policy by which the views 1, 2, ... are drawn.
    views : int, default=4
        Number of views per image, 1 to 10,000, including the image itself.
    random_state : int, default=0
        Random seed of the views, and of weights where they are random; 0 to 2**32 - 1.
    color : {"gray", "rgb"}, default="gray"
        Channels of the decoded images; gray suits radiographs.
    pooling : {"average", "max", "gem", "quadrants", "multi_depth", "class", "tokens"}, \
default="average"
        Pooling of the last feature maps into one vector; ``multi_depth`` takes mean and standard
        deviation of the maps at the end of several stages. Of a network with tokens, ``class`` is
        its class token and ``tokens`` the mean of the others; ``average`` is what its makers take.
    normalization : {"none", "percentile", "equalize", "clahe"}, default="none"
        Normalization of each image's intensities.
    precision : {"float32", "float16", "bfloat16"}, default="float32"
        Numeric type of the network; the short floats are for GPUs. `featx.quantize` makes networks
        in int8 for CPUs.
    weights : {"imagenet", "random"} or path-like, default="imagenet"
        Network weights; a file requires a single backbone.
    weights_dir : path-like, optional
        Folder of weights files, by default ``$FEATX_WEIGHTS_DIR``.
    cache : path-like, optional
        Cache folder, by default ``$FEATX_CACHE`` or ``featx`` in the user's cache folder.
    engine : {"auto", "keras", "openvino", "onnxruntime", "torch", "python"}, default="auto"
        Library that runs the network. Engines agree within 1e-4, so it is not in the recipe.
    strict : bool, default=False
        Whether an unreadable image is an error; otherwise it is reported and left out.
    rehash : bool, default=False
        Whether to read every file to identify it, on file systems whose time stamps are unreliable.

    Raises
    ------
    UsageError
        If a name is unknown, a number is out of range, or two settings exclude each other.

    Examples
    --------
    >>> config = ExtractionConfig(["densenet121", "xception@224"], views=2)
    >>> config.backbones, config.policy.rotation
    (('densenet121', 'xception@224'), 10.0)
    >>> ExtractionConfig.from_dict(config.to_dict()) == config
    True
    """

    backbones: Sequence[str] = ("efficientnet_lite0",)
    augmentation: str | Augmentation = "radiograph"
    views: int = 4
    random_state: int = 0
    color: Color = "gray"
    pooling: str = "average"
    normalization: str = "none"
    precision: str = "float32"
    weights: str | Path = "imagenet"
    weights_dir: str | Path | None = None
    cache: str | Path | None = None
    engine: str = "auto"
    strict: bool = False
    rehash: bool = False

    def __post_init__(self) -> None:
        given = self.backbones
        names = [given] if isinstance(given, str | Backbone) else list(given)
        self._set(
            backbones=tuple(
                canonical_name(name if isinstance(name, Backbone) else str(name)) for name in names
            )
        )
        for name in _PATHS:
            path = getattr(self, name)
            # Absolute, so that other processes find the same folder.
            self._set(**{name: None if path is None else Path(path).absolute()})
        if isinstance(self.augmentation, str):
            known = find_name("augmentation policy", self.augmentation, POLICIES)
            self._set(augmentation=known)
        self._set(
            color=find_name("color", self.color, get_args(Color)),
            pooling=check_pooling(self.pooling),
            normalization=check_normalization(self.normalization),
        )
        if str(self.weights).lower() in ("imagenet", "random"):
            self._set(weights=str(self.weights).lower())
        precision, engine = check_precision(self.precision, self.engine)
        self._set(precision=precision, engine=engine)
        self._check_backbones()
        self._check_views()

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check_backbones(self) -> None:
        if not self.backbones:
            raise UsageError("no backbone is named; name at least one")
        found = [(record.name, record.size) for record in self.records]
        if len(set(found)) < len(found):
            raise UsageError(f"the backbones repeat: {', '.join(self.backbones)}")
        brought = [record for record in self.records if isinstance(record, Backbone)]
        own = [name for name, _ in found if name.startswith(TUNED)] + [b.name for b in brought]
        if self.weights != "imagenet" and own:
            raise UsageError(
                f"the weights of {own[0]} are those of its file, not {self.weights}; leave them out"
            )
        for record in self.records:
            allowed = record.allowed if isinstance(record, Backbone) else _ALLOWED
            for name, known in allowed.items():
                if getattr(self, name) not in known:
                    raise UsageError(
                        f"{record.name} does not allow {name} {getattr(self, name)!r}; choose "
                        f"{' or '.join(known)}"
                    )
        if len(found) > 1 and str(self.weights) not in ("imagenet", "random"):
            raise UsageError(f"the weights file {self.weights} cannot serve {len(found)} backbones")

    def _check_views(self) -> None:
        policy = self.policy
        if not 1 <= self.views <= _MOST_VIEWS:
            raise UsageError(
                f"views={self.views}: 1, the image itself, to {_MOST_VIEWS:,} are possible"
            )
        if self.views > 1 and policy == POLICIES["none"]:
            raise UsageError(
                f"the policy 'none' draws no augmented views, so views={self.views} would repeat "
                "the same one; ask for views=1, or for another policy"
            )
        if not 0 <= self.random_state < 2**32:
            raise UsageError(f"random_state={self.random_state}: give a number from 0 to 2**32 - 1")

    @classmethod
    def build(cls, config: ExtractionConfig | None = None, **settings: Any) -> ExtractionConfig:
        """Return a config with some settings replaced; an unknown name is a usage error."""
        if {"quantization", "networks"} & settings.keys():
            # Settings of earlier versions.
            check_precision("int8")
        check_names("extraction setting", settings, [field.name for field in fields(cls)])
        return cls(**settings) if config is None else replace(config, **settings)

    @cached_property
    def records(self) -> tuple[AnyBackbone, ...]:
        """Registry record of each backbone."""
        return tuple(get_backbone(name) for name in self.backbones)

    @cached_property
    def policy(self) -> Augmentation:
        """Augmentation as a record, also where it was given by name."""
        if isinstance(self.augmentation, Augmentation):
            return self.augmentation
        return Augmentation.named(self.augmentation)

    @property
    def cache_folder(self) -> Path:
        """Cache folder in use; see `default_cache`."""
        return default_cache() if self.cache is None else Path(self.cache)

    @property
    def weights_folder(self) -> Path | None:
        """Folder of weights files as a path."""
        return None if self.weights_dir is None else Path(self.weights_dir)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON or YAML, without paths."""
        values = {name: value for name, value in asdict(self).items() if name not in _PATHS}
        names = zip(self.backbones, self.records, strict=True)
        # As of weights, no path is recorded.
        values["backbones"] = [r.name if is_file_name(n) else n for n, r in names]
        if isinstance(self.augmentation, Augmentation):
            values["augmentation"] = self.augmentation.to_dict()
        if self.weights not in ("imagenet", "random"):
            values["weights"] = _FILE
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **overrides: Any) -> ExtractionConfig:
        """Return the config that `to_dict` wrote, with some settings replaced.

        Raises
        ------
        UsageError
            If a setting is unknown, or a weights file is needed whose path was not recorded.
        """
        values = {**values, **overrides}
        # Of earlier versions; empty but for int8, which is refused.
        values.pop("networks", None)
        if values.get("weights") == _FILE:
            raise UsageError("the weights were a file, whose path is not recorded; give --weights")
        if isinstance(values.get("augmentation"), Mapping):
            values["augmentation"] = Augmentation.from_dict(values["augmentation"])
        return cls.build(**values)

    @classmethod
    def from_recipes(
        cls,
        recipes: Sequence[Mapping[str, Any]],
        views: int,
        files: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> tuple[ExtractionConfig, ...]:
        """Return configs that give new images the features of a model's recipes.

        Neighboring recipes that differ in their backbones alone share one config, so that each
        image is decoded once for them. The matrices of several configs are joined in their order.

        Parameters
        ----------
        recipes : sequence of dict
            Recipes as a matrix or a model stores them.
        views : int
            Number of views per image.
        files : mapping of str to str, optional
            Names of networks that were found by their files, by digest of weights.
        **settings
            Settings that recipes do not decide: ``weights``, ``cache``, ``engine``, ...
        """
        files = files or {}
        groups: list[list[Recipe]] = []
        for recipe in map(Recipe.from_dict, recipes):
            last = groups[-1] if groups else []
            if (
                last
                and _without_backbone(last[0]) == _without_backbone(recipe)
                and recipe.backbone_name not in [other.backbone_name for other in last]
            ):
                last.append(recipe)
            else:
                groups.append([recipe])
        return tuple(
            cls(
                backbones=[
                    replace(each, backbone=files.get(each.weights) or each.backbone).backbone_name
                    for each in group
                ],
                augmentation=group[0].augmentation,
                views=views,
                **settings
                | ({"weights": "random"} if group[0].random_weights else {})
                | {name: getattr(group[0], name) for name in SHARED_SETTINGS},
            )
            for group in groups
        )


def _without_backbone(recipe: Recipe) -> tuple[Recipe, bool]:
    same = replace(recipe, backbone="", weights="", size=(0, 0), framing=SQUASH, card={})
    return same, recipe.random_weights
