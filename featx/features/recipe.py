"""The recipe: everything that decides a feature's value, and nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from featx.images.augmentation import Augmentation
from featx.images.reading import Color

__all__ = ["Recipe"]

_LATER_FIELDS = {"normalization": "none", "precision": "float32", "network": ""}
# The digest covers these words as files have always spelled them.
_STORED_NAMES = {"random_state": "seed", "color": "colour", "normalization": "normalisation"}
_STORED_VALUES = {"gray": "grey", "equalize": "equalise"}


@dataclass(frozen=True)
class Recipe:
    """What decides a feature value. The engine and the batch size are not in it.

    Parameters
    ----------
    backbone : str
        Name in the registry; with it go input size and preprocessing.
    weights : str
        Digest of the weights: SHA-256 of their file, or ``"random-SEED"``.
    size : (int, int)
        Height and width of a view, in pixels.
    augmentation : Augmentation
        How views 1, 2, ... are drawn.
    random_state : int
        Which of them.
    color : {"gray", "rgb"}
        How images are read.
    pooling : str, default="average"
        How feature maps become one vector; see `featx.backbones.pooling`.
    normalization : str, default="none"
        What is done to an image's intensities; see `featx.images.normalization`.
    precision : str, default="float32"
        What the network computes with; see `featx.backbones.precision`.
    network : str, default=""
        Digest of the quantized network, in int8: what it was calibrated on decides its values.

    Examples
    --------
    >>> recipe = Recipe("resnet50", "random-0", (224, 224), Augmentation(), 0, "gray")
    >>> Recipe.from_dict(recipe.to_dict()) == recipe
    True
    """

    backbone: str
    weights: str
    size: tuple[int, int]
    augmentation: Augmentation
    random_state: int
    color: Color
    pooling: str = "average"
    normalization: str = "none"
    precision: str = "float32"
    network: str = ""
    resize: str = field(default="squash", init=False)
    dtype: str = field(default="float32", init=False)
    # To be raised whenever reading, warping or pooling comes to give other numbers.
    format: int = field(default=1, init=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they stand in files."""
        values = asdict(self)
        # A later field stands there only where it is not its default: older caches stay valid.
        for name, default in _LATER_FIELDS.items():
            if values[name] == default:
                del values[name]
        values |= {"size": list(self.size), "augmentation": self.augmentation.to_dict()}
        for name in ("color", "normalization"):
            if name in values:
                values[name] = _STORED_VALUES.get(values[name], values[name])
        return {_STORED_NAMES.get(name, name): value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """Return the recipe that `to_dict` wrote down.

        Parameters
        ----------
        values : dict
            As `to_dict` returns.
        """
        policy: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values["augmentation"].items()
        }
        shown = {stored: value for value, stored in _STORED_VALUES.items()}
        later = {
            name: values.get(_STORED_NAMES.get(name, name), default)
            for name, default in _LATER_FIELDS.items()
        }
        later["normalization"] = shown.get(later["normalization"], later["normalization"])
        return cls(
            backbone=values["backbone"],
            weights=values["weights"],
            size=(values["size"][0], values["size"][1]),
            augmentation=Augmentation(**policy),
            random_state=values["seed"],
            color=shown.get(values["colour"], values["colour"]),
            pooling=values["pooling"],
            **later,
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the recipe, in hexadecimal: the name of its cache folder begins with it."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
