"""The recipe: all that decides a feature's value, and its name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from featx.backbones.brought import AnyBackbone, Backbone
from featx.backbones.pooling import pooled_columns
from featx.backbones.registry import get_backbone
from featx.backbones.tuned import TUNED
from featx.errors import FeatxError
from featx.images.augmentation import Augmentation
from featx.images.framing import SQUASH, Framing, Size
from featx.images.reading import Color
from featx.runtime.serialization import digest_of_values

if TYPE_CHECKING:
    from featx.features.config import ExtractionConfig

# Settings that recipes have under the names of `ExtractionConfig`.
SHARED_SETTINGS = ("random_state", "color", "pooling", "normalization", "precision")

# Stored names that decide which augmented views exist, not the meaning of a feature.
VIEWS_ONLY = ("augmentation", "seed")

# Digits of the digest in names of features.
_DIGITS = 8

_LATER_FIELDS = {
    "normalization": "none",
    "precision": "float32",
    "network": "",
    "card": {},
    "origin": {},
}
# Stored names that decide no value: what a network is, where it comes from and under what license.
_UNDECISIVE = ("origin",)
# The digest covers these words as files have always spelled them.
_STORED_NAMES = {
    "random_state": "seed",
    "color": "colour",
    "normalization": "normalisation",
    "framing": "resize",
}
_STORED_VALUES = {"gray": "grey", "equalize": "equalise"}


def differing_settings(
    recipes: Sequence[Mapping[str, Any]],
    others: Sequence[Mapping[str, Any]],
    ignored: Collection[str] = (*VIEWS_ONLY, *_UNDECISIVE),
    places: tuple[str, str] = ("in the first", "in the second"),
) -> list[str]:
    """Describe what differs between recipes of the same blocks of columns, with both values.

    Examples
    --------
    >>> differing_settings([{"backbone": "vgg16", "seed": 0}], [{"backbone": "vgg19", "seed": 1}])
    ["backbone 'vgg16' in the first, 'vgg19' in the second"]
    """
    shown = {stored: name for name, stored in _STORED_NAMES.items()}
    defaults = {_STORED_NAMES.get(name, name): value for name, value in _LATER_FIELDS.items()}
    found = []
    for recipe, other in zip(recipes, others, strict=True):
        mine, theirs = {**defaults, **recipe}, {**defaults, **other}
        for name in sorted({*mine, *theirs} - {*ignored}):
            one, two = mine.get(name), theirs.get(name)
            if one != two:
                found.append(f"{shown.get(name, name)} {one!r} {places[0]}, {two!r} {places[1]}")
    return found


def feature_names(recipes: Sequence[Mapping[str, Any]], n_features: int) -> list[str]:
    """Return a name for each column: backbone, digest of its recipe, place or stage, number.

    The digest covers all that decides a feature of view 0: weights, size, color, normalization,
    pooling and precision. Scikit-learn then refuses a frame with another network's features.

    Examples
    --------
    >>> feature_names([{"backbone": "vgg16", "weights": "random-0"}], 2)
    ['vgg16_793615e2_0', 'vgg16_793615e2_1']
    >>> feature_names([], 2)
    ['feature_0', 'feature_1']
    """
    names = [name for recipe in recipes for name in _of_backbone(recipe)]
    if len(names) == n_features:
        return names
    # The registry does not know a backbone that was registered elsewhere.
    prefix = "+".join(map(_prefix, recipes)) or "feature"
    return [f"{prefix}_{number}" for number in range(n_features)]


def _of_backbone(recipe: Mapping[str, Any]) -> list[str]:
    if "columns" in recipe:
        return [f"column_{entry['name']}" for entry in recipe["columns"]]
    if card := recipe.get("card"):
        # Networks of other files and packages are not known everywhere.
        return [f"{_prefix(recipe)}_{number}" for number in range(card["width"])]
    try:
        backbone = get_backbone(recipe["backbone"])
    except FeatxError:
        return []
    columns = pooled_columns(backbone, recipe.get("pooling", "average"))
    prefix = _prefix(recipe)
    return [f"{prefix}_{column}" for column in columns]


def _prefix(recipe: Mapping[str, Any]) -> str:
    decisive = {
        name: value for name, value in recipe.items() if name not in (*VIEWS_ONLY, *_UNDECISIVE)
    }
    return f"{recipe.get('backbone', 'feature')}_{digest_of_values(decisive)[:_DIGITS]}"


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a feature value; the engine and the batch size do not.

    Examples
    --------
    >>> recipe = Recipe("resnet50", "random-0", (224, 224), Augmentation(), 0, "gray")
    >>> Recipe.from_dict(recipe.to_dict()) == recipe
    True
    """

    backbone: str
    # SHA-256 of the weights file, or "random-RANDOM_STATE".
    weights: str
    # Height and width of a view, in pixels.
    size: Size
    augmentation: Augmentation
    random_state: int
    color: Color
    pooling: str = "average"
    normalization: str = "none"
    precision: str = "float32"
    # SHA-256 of an int8 network of earlier versions, so that their recipes keep their digests.
    network: str = ""
    framing: Framing = SQUASH
    # Of a network that is not in the registry: `Backbone.card`, and the length of a row.
    card: Mapping[str, Any] = field(default_factory=dict, hash=False)
    # Its title, license, source and, if known, number of parameters.
    origin: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)
    dtype: str = field(default="float32", init=False)
    # To be raised whenever reading, warping or pooling gives other numbers.
    format: int = field(default=1, init=False)

    @classmethod
    def from_config(cls, config: ExtractionConfig, backbone: AnyBackbone, weights: str) -> Recipe:
        """Return the recipe of one backbone of a config."""
        brought: dict[str, Any] = {}
        if isinstance(backbone, Backbone):
            width = len(pooled_columns(backbone, config.pooling))
            origin = {name: getattr(backbone, name) for name in ("title", "license", "source")}
            if backbone.parameters:
                origin["parameters"] = backbone.parameters
            if source := backbone.quantized_from:
                origin["quantized_from"] = {n: source[n] for n in ("backbone", "weights", "size")}
            brought = {
                "framing": backbone.framing,
                "card": {**backbone.card, "width": width},
                "origin": origin,
            }
        return cls(
            **brought,
            backbone=backbone.name,
            weights=weights,
            size=backbone.size,
            augmentation=config.policy,
            **{name: getattr(config, name) for name in SHARED_SETTINGS},
        )

    @property
    def backbone_name(self) -> str:
        """Name with input size, as `featx.backbones.registry.get_backbone` takes it."""
        height, width = self.size
        # Only networks that take no other size have one that is not square.
        return f"{self.backbone}@{height}" if height == width else self.backbone

    @property
    def view_settings(self) -> tuple[Size, Augmentation, int, Framing]:
        """What decides a view besides image and number, as `make_view` takes it."""
        return self.size, self.augmentation, self.random_state, self.framing

    @property
    def tuned(self) -> bool:
        """Whether the network was tuned on other images."""
        return self.backbone.startswith(TUNED)

    @property
    def by_file(self) -> bool:
        """Whether the network is found by its own digest rather than by the registry."""
        return self.tuned or bool(self.card)

    @property
    def random_weights(self) -> bool:
        """Whether the weights are random."""
        return self.weights.startswith("random-")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values under the names that files use."""
        values = asdict(self)
        # Later fields are written only where they differ from the default: older caches stay valid.
        for name, default in _LATER_FIELDS.items():
            if values[name] == default:
                del values[name]
        values |= {
            "size": list(self.size),
            "augmentation": self.augmentation.to_dict(),
            "framing": self.framing.to_value(),
        }
        for name in {"color", "normalization"} & values.keys():
            values[name] = _STORED_VALUES.get(values[name], values[name])
        return {_STORED_NAMES.get(name, name): value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Return the recipe that `to_dict` wrote."""
        own = {}
        for name in (known.name for known in fields(cls) if known.init):
            stored = _STORED_NAMES.get(name, name)
            if stored in values or name not in (*_LATER_FIELDS, "framing"):
                own[name] = values[stored]
        own["augmentation"] = Augmentation.from_dict(own["augmentation"])
        own["size"] = tuple(own["size"])
        own["framing"] = Framing.from_value(own.get("framing", "squash"))
        shown = {stored: value for value, stored in _STORED_VALUES.items()}
        for name in {"color", "normalization"} & own.keys():
            own[name] = shown.get(own[name], own[name])
        return cls(**own)

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe, in hexadecimal: the name of its cache folder begins with it."""
        values = {n: value for n, value in self.to_dict().items() if n not in _UNDECISIVE}
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
