"""Images given in any form: a path, paths, a data frame, arrays or a data set."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from featx.datasets.dataset import ImageDataset
from featx.datasets.listing import Listing
from featx.datasets.locations import list_images
from featx.datasets.paths import locate_files, posix, shared_folder
from featx.datasets.rules import OpeningRules
from featx.datasets.tables.rows import list_rows
from featx.datasets.tables.table import read_frame
from featx.errors import UsageError


def as_images(
    images: Any,
    patients: str | None = None,
    *,
    rules: OpeningRules | None = None,
    **others: Any,
) -> ImageDataset:
    """Make an `ImageDataset` of images in any form, by rules that are given whole or by name.

    Images are one of these, and rules are for all but the first and the last:

    - an `ImageDataset`, returned as it is;
    - a path or URL that `ImageDataset.open` takes: a folder, archive, table or ``.npz`` file;
    - a data frame with columns as in a table, or with one column of paths;
    - a list, array or Series of image files, without labels unless `labels` is given;
    - a list of arrays of shape (height, width[, 3]), or one array of shape
      (n_images, height, width[, 3]), without labels.

    Examples
    --------
    >>> as_images(np.zeros((2, 8, 8), np.uint8))
    ImageDataset(2 images: unlabeled 2; patients unknown)
    """
    if isinstance(images, ImageDataset):
        return images
    rules = OpeningRules.of(patients=patients, **others) if rules is None else rules
    # Of polars and Arrow.
    if method := {"LazyFrame": "collect", "Table": "to_pandas"}.get(type(images).__name__):
        images = getattr(images, method)()
    if isinstance(images, str | os.PathLike):
        listing = list_images(images, rules)
    elif hasattr(images, "columns") and ("path" in images.columns or len(images.columns) > 1):
        listing = list_rows(read_frame(images), rules)
    else:
        items = _items(images)
        if items and all(isinstance(item, np.ndarray) and item.ndim >= 2 for item in items):
            return ImageDataset.from_arrays(items)
        _check_paths(images, items)
        rules.check_no_table("the list of images")
        paths, blank = [os.fspath(item) for item in items], [""] * len(items)
        where, shared = "the list of images", shared_folder([*map(posix, paths)])
        sources = locate_files(paths, where)
        listing = Listing(paths, sources, blank, blank, None, where, shared, as_given=True)
        rules = replace(rules, labeled=rules.complete and rules.labels is not None)
    return ImageDataset.from_listing(listing, rules)


def _items(images: Any) -> list[Any]:
    """List the items of a sequence, array, series or one-column frame."""
    if not isinstance(images, Iterable):
        raise UsageError(f"{images!r} holds no images; give paths, arrays or an ImageDataset")
    values: Any = images.to_numpy() if hasattr(images, "to_numpy") else images
    column = isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 1
    if column and values.dtype.kind in "OUT":
        values = values[:, 0]
    return list(values)


def _check_paths(images: Any, items: list[Any]) -> None:
    others = [item for item in items if not isinstance(item, str | os.PathLike)]
    if not others and not isinstance(images, Mapping):
        return
    other = [*others, *items][0]
    shape = f" of shape {other.shape}" if isinstance(other, np.ndarray) else ""
    raise UsageError(
        f"{type(images).__name__} of {type(other).__name__}{shape} holds no images; give a path, "
        "a list of paths, a data frame with a column `path`, arrays of shape (n_images, height, "
        "width[, 3]), or an ImageDataset"
    )
