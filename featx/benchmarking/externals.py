"""External sets: images of elsewhere, which models are shown unchanged."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError

__all__ = ["check_externals"]


def check_externals(images: ImageDataset, externals: Mapping[str, ImageDataset]) -> None:
    """Refuse external sets that a model of these images cannot be scored on.

    Examples
    --------
    >>> images = ImageDataset.from_arrays(np.zeros((2, 4, 4), np.uint8), ["a", "b"])
    >>> check_externals(images, {"x/y": images})
    Traceback (most recent call last):
        ...
    featx.errors.UsageError: the external set's name 'x/y' will stand in names of files; ...
    """
    for name, external in externals.items():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise UsageError(
                f"the external set's name {name!r} will stand in names of files; make it of "
                "letters, digits, '.', '_' and '-'"
            )
        if (external.labels < 0).any() or not len(external):
            raise UsageError(
                f"{int((external.labels < 0).sum()):,} of {len(external):,} images of the external "
                f"set {name} have no label; models can be scored on labeled images only"
            )
        present = [external.class_names[index] for index in np.unique(external.labels)]
        if external.class_names != images.class_names or present != list(images.class_names):
            raise UsageError(
                f"the external set {name} has images of class {', '.join(present)}, and the "
                f"models know {', '.join(images.class_names)}; give it the same classes, by the "
                "same names"
            )
