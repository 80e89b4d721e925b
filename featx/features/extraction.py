"""Extraction: from images to a matrix of features, through the cache; anew by a model's recipes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.backbones.registry import get_backbone
from featx.backbones.tuned import read_tuned
from featx.backbones.weights import Weights, find_weights, find_weights_again
from featx.datasets.conversion import as_images
from featx.datasets.dataset import ImageDataset
from featx.datasets.rules import OpeningRules
from featx.errors import FeatxError, UsageError
from featx.features.cache.file_hashes import Hashed, hash_images
from featx.features.cache.store import RowTarget
from featx.features.config import ExtractionConfig
from featx.features.joining import check_same_rows, join_columns
from featx.features.matrix import FeatureMatrix
from featx.features.matrix_file import map_features
from featx.features.pipeline import Embedder, embedders_of, fill_cache, find_missing
from featx.features.recipe import Recipe
from featx.images.augmentation import Augmentation
from featx.runtime.files import check_output
from featx.runtime.versions import decisive_versions

if TYPE_CHECKING:
    from distributed import Client


def extract(
    images: Any,
    backbones: str | Sequence[str] | None = None,
    augmentation: str | Augmentation | None = None,
    views: int | None = None,
    *,
    patients: str | None = None,
    config: ExtractionConfig | None = None,
    out: str | Path | None = None,
    client: Client | None = None,
    resources: Mapping[str, float] | None = None,
    **settings: Any,
) -> FeatureMatrix:
    """Extract features of images with frozen backbones.

    Rows in the cache are reused; missing rows are computed and written shard by shard, so that an
    interrupted run continues where it stopped. Use `featx.FeatureExtractor` instead inside a
    scikit-learn pipeline.

    Parameters
    ----------
    images : ImageDataset, path-like, data frame, list of path-like, or ndarray
        Images in any form that `featx.datasets.conversion.as_images` takes.
    backbones : str or sequence of str, default="efficientnet_lite0"
        Names from `featx.list_backbones`; features of several are concatenated.
    augmentation : str or Augmentation, default="radiograph"
        Policy by which the views 1, 2, ... are drawn.
    views : int, default=4
        Number of views per image, including the image itself.
    patients : str, optional
        Rule that finds the patient of an image, as in `featx.ImageDataset.open`.
    config : ExtractionConfig, optional
        Settings to start from; the other arguments replace single ones.
    out : path-like, optional
        Matrix file to write. Rows are streamed to it and read from it when needed, so that memory
        use does not grow with the number of images.
    client : distributed.Client, optional
        Dask cluster whose workers compute the missing rows. They must see images, weights and
        cache under the same paths or URLs.
    resources : mapping of str to float, optional
        Dask worker resources that each chunk of images needs, such as ``{"GPU": 1}``.
    **settings
        Further settings of `featx.ExtractionConfig`: ``weights``, ``weights_dir``, ``cache``,
        ``engine``, ``random_state``, ``color``, ``pooling``, ``normalization``, ``precision``,
        ``strict``, ``rehash``; and rules by which images are opened, such as ``columns`` and
        ``root`` (`featx.datasets.rules.OpeningRules`).

    Returns
    -------
    FeatureMatrix
        One row per (image, view), independent of order, cache, batch size and number of workers.

    Raises
    ------
    UsageError
        If a setting is invalid or there are no images.
    FeatxError
        If weights are missing, the cache cannot be written, or no image is readable.

    Examples
    --------
    >>> import featx, tempfile
    >>> images = featx.ImageDataset.from_arrays(np.zeros((2, 32, 32), np.uint8), ["a", "b"],
    ...                                         patients=["p", "q"])
    >>> with tempfile.TemporaryDirectory() as cache:
    ...     featx.extract(images, views=2, cache=cache)
    FeatureMatrix(efficientnet_lite0: 2 images, 4 rows, 1,280 features)
    """
    named = {"backbones": backbones, "augmentation": augmentation, "views": views}
    given = {name: value for name, value in named.items() if value is not None}
    rules = OpeningRules.take(settings, patients=patients, labeled=None)
    config = ExtractionConfig.build(config, **given, **settings)
    # The program may change the working directory in the meantime.
    config = replace(config, cache=config.cache_folder.absolute())
    out = None if out is None else Path(out).absolute()
    if out is not None:
        check_output(out, "file")
    images = as_images(images, rules=rules)
    if len(images) == 0:
        raise UsageError("there are no images to extract features of")
    if out is not None and (twice := len(images) - len({*images.names})):
        raise UsageError(
            f"{twice:,} of the images repeat the path of another, and {out} would name two images "
            "alike; give each image once"
        )
    embedders = embedders_of(config)
    hashed = hash_images(images, config.cache_folder, strict=config.strict, rehash=config.rehash)
    missing = find_missing(embedders, hashed.keys, config.views)
    if client is None or not missing:
        undecodable = fill_cache(missing, hashed, strict=config.strict)
    else:
        from featx.features.cluster import fill_cache_on

        undecodable = fill_cache_on(
            client, missing, hashed, strict=config.strict, resources=resources
        )
    if undecodable:
        hashed = hashed.without(undecodable)
    return _gather(images, hashed, embedders, out)


def _gather(
    images: ImageDataset, hashed: Hashed, embedders: Sequence[Embedder], out: str | Path | None
) -> FeatureMatrix:
    """Copy the rows of all readable images from the cache into one matrix."""
    unreadable = tuple(
        (images.names[index], str(hashed.unreadable[index])) for index in sorted(hashed.unreadable)
    )
    if not hashed.digests:
        name, reason = unreadable[0]
        raise FeatxError(
            f"none of the {len(images):,} images can be read; {name}, for example: {reason}"
        )
    readable, views = hashed.images, embedders[0].config.views
    tuned = [each.weights.path for each in embedders if each.recipe.tuned]
    shape = len(readable) * views, sum(embedder.width for embedder in embedders)
    matrix = FeatureMatrix(
        X=np.empty((0, shape[1]), dtype=np.float32),
        image=np.repeat(np.arange(len(readable)), views),
        view=np.tile(np.arange(views), len(readable)),
        names=readable.names,
        digests=hashed.digests,
        labels=readable.labels,
        patients=readable.patients,
        splits=readable.splits,
        class_names=readable.class_names,
        recipes=tuple(embedder.recipe.to_dict() for embedder in embedders),
        unreadable=unreadable,
        versions=decisive_versions(),
        patients_known=readable.patients_known,
        tuned_on=tuple(dict(read_tuned(path).members) for path in tuned if path is not None),
    )
    seconds = 0.0

    def copy(into: RowTarget) -> None:
        nonlocal seconds
        column = 0
        for embedder in embedders:
            seconds += _collect(embedder, hashed, into, column)
            column += embedder.width

    if out is not None:
        matrix.save_rows(out, shape, copy)
        return replace(matrix, X=map_features(Path(out)), seconds=seconds)
    features = np.empty(shape, dtype=np.float32)
    copy(features)
    return replace(matrix, X=features, seconds=seconds)


def _collect(embedder: Embedder, hashed: Hashed, into: RowTarget, column: int) -> float:
    """Copy the rows of one backbone, computing those of damaged shards again."""
    views = embedder.config.views
    found, seconds = embedder.store.collect(hashed.keys, views, into, column)
    if not found.all():
        fill_cache({embedder: ~found}, hashed)
        found, more = embedder.store.collect(hashed.keys, views, into, column, found)
        seconds += more
    if not found.all():
        raise FeatxError(
            f"{np.count_nonzero(~found):,} rows of {embedder.backbone.name} have gone from the "
            f"cache {embedder.config.cache_folder} while they were in use (was it pruned?). Run "
            "again"
        )
    embedder.store.save_index()
    return seconds


def extract_by_recipes(
    images: ImageDataset,
    recipes: Sequence[Mapping[str, Any]],
    views: int,
    beside: Iterable[Path] = (),
    **settings: Any,
) -> FeatureMatrix:
    """Extract features exactly as those were that a model was trained on.

    Settings are those of `ExtractionConfig` that recipes do not decide. Files of networks are
    searched `beside` the model, too.
    """
    if not recipes:
        raise UsageError("the model was not trained on extracted features; it has no recipe")
    found = find_model_weights(
        recipes, settings.get("weights", "imagenet"), settings.get("weights_dir"), beside
    )
    files = {weights.digest: name for name, weights in found if name}
    if files:
        settings["weights"] = "imagenet"
    configs = ExtractionConfig.from_recipes(recipes, views, files, **settings)
    first, *others = [extract(images, config=config) for config in configs]
    # A model's own blocks may differ in settings, which `FeatureMatrix.join` refuses.
    for other in others:
        check_same_rows(first, other)
    return join_columns([first, *others])


def find_model_weights(
    recipes: Sequence[Mapping[str, Any]],
    weights: str | Path = "imagenet",
    weights_dir: str | Path | None = None,
    beside: Iterable[Path] = (),
) -> list[tuple[str, Weights]]:
    """Find the very weights that the recipes of a model name, and the names of their files."""
    every = [Recipe.from_dict(recipe) for recipe in recipes]
    places = list(beside)
    if str(weights) not in ("imagenet", "random") and any(recipe.by_file for recipe in every):
        places, weights = [Path(weights), *places], "imagenet"
    return [
        find_weights_again(recipe.backbone, recipe.weights, weights_dir, places)
        if recipe.by_file
        else ("", _find_recipe_weights(recipe, weights, weights_dir))
        for recipe in every
    ]


def _find_recipe_weights(
    recipe: Recipe, weights: str | Path, weights_dir: str | Path | None
) -> Weights:
    random_state = recipe.random_state
    if recipe.random_weights:
        weights, random_state = "random", int(recipe.weights.removeprefix("random-"))
    backbone = get_backbone(recipe.backbone_name)
    found = find_weights(backbone, weights, weights_dir, random_state=random_state)
    if found.digest != recipe.weights:
        raise UsageError(
            f"the model was trained on features of {recipe.backbone} with weights "
            f"{recipe.weights[:16]}, and the weights found ({found.description}) are "
            f"{found.digest[:16]}. Give --weights or --weights-dir the model's own"
        )
    return found
