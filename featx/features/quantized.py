"""Int8 networks: quantized once on training images, kept in the cache, named by recipes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from featx.backbones.kept import QUANTIZED, NetworkFolder
from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError, UnreadableImageError, UsageError
from featx.features.cache.file_hashes import Hashed, hash_images
from featx.features.config import ExtractionConfig
from featx.features.matrix import FeatureMatrix
from featx.features.recipe import Recipe, differing_settings
from featx.images.augmentation import make_view
from featx.images.normalization import normalize
from featx.runtime.progress import progress
from featx.runtime.versions import library_versions

if TYPE_CHECKING:
    from featx.features.pipeline import Embedder

logger = logging.getLogger(__name__)

# NNCF's own default; more do not change the ranges much.
QUANTIZATION_IMAGES = 300

_SUFFIX = ".int8.zip"


def quantize_on(
    images: ImageDataset | FeatureMatrix, embedders: Sequence[Embedder]
) -> ExtractionConfig:
    """Return the config with the int8 network of each backbone, quantized on these images."""
    config = embedders[0].config
    if isinstance(images, FeatureMatrix):
        return replace(config, networks=_networks_of(images, embedders))
    training = images.select(images.splits != "test")
    if not len(training):
        raise UsageError(
            "int8 networks are quantized on training images, and these are all test images. Give "
            "quantization= (--quantization) the training images or their matrix"
        )
    hashed = hash_images(training, config.cache_folder, rehash=config.rehash)
    return replace(config, networks=[_network_for(embedder, hashed) for embedder in embedders])


def _networks_of(matrix: FeatureMatrix, embedders: Sequence[Embedder]) -> list[str]:
    """Return the int8 networks of a matrix, whose recipes are those asked for."""
    networks = [str(recipe.get("network", "")) for recipe in matrix.recipes]
    if len(networks) != len(embedders) or not all(networks):
        raise UsageError(
            f"{matrix!r} is not an int8 matrix of {len(embedders)} backbone(s). Give "
            "quantization= (--quantization) the matrix of the training images in int8"
        )
    wanted = [
        replace(embedder.recipe, network=network).to_dict()
        for embedder, network in zip(embedders, networks, strict=True)
    ]
    places = "asked for", "in the matrix"
    differences = differing_settings(wanted, matrix.recipes, places=places)
    if differences:
        raise UsageError(
            f"the networks of {matrix!r} were quantized for other features: "
            f"{'; '.join(differences)}. Give the same settings"
        )
    return networks


def read_network(recipe: Recipe, cache: Path, weights_dir: Path | None = None) -> bytes:
    """Read the quantized network that a recipe names."""
    folders = [cache / QUANTIZED, *([] if weights_dir is None else [weights_dir])]
    for folder in folders:
        content = NetworkFolder(folder, _SUFFIX).read(recipe.backbone, recipe.network)
        if content is not None:
            return content
    name = NetworkFolder(cache, _SUFFIX).path(recipe.backbone, recipe.network).name
    raise FeatxError(
        f"the int8 network of {recipe.backbone} is not in {' or '.join(map(str, folders))}, and "
        f"no other gives these features. Copy {name} from the folder {QUANTIZED} of the cache in "
        f"which it was quantized into {folders[0]} or --weights-dir, or quantize and fit again"
    )


def _network_for(embedder: Embedder, hashed: Hashed) -> str:
    """Return the digest of the network quantized on these images, quantizing it once."""
    recipe = embedder.recipe
    kept = NetworkFolder(embedder.config.cache_folder / QUANTIZED, _SUFFIX)
    sample = sorted(set(hashed.digests))[:QUANTIZATION_IMAGES]
    # Everything that decides a quantized network.
    decisive = replace(recipe, network="").to_dict()
    for name in ("augmentation", "seed", "origin"):
        decisive.pop(name, None)
    key = [decisive, sample]
    known = kept.find(recipe.backbone, key)
    if known is not None:
        return known
    # Imported here, since a machine without NNCF may have the network already.
    from featx.backbones.quantization import check_quantizer, quantize_backbone

    check_quantizer()
    views = _views(recipe, hashed, sample)
    logger.debug(f"Quantizing {recipe.backbone} to int8 on {len(views):,} images.")
    network = quantize_backbone(embedder.backbone, embedder.weights, views, recipe.pooling)
    facts = {"images": len(views), "versions": library_versions("nncf", "openvino")}
    return kept.put(recipe.backbone, key, network, facts)


def _views(recipe: Recipe, hashed: Hashed, sample: list[str]) -> npt.NDArray[np.float32]:
    """Return view 0 of the readable images of the sample."""
    places = dict(zip(hashed.digests, range(len(hashed.digests)), strict=True))
    views = []
    with progress(f"Quantizing {recipe.backbone} to int8", len(sample), "images") as advance:
        for digest in sample:
            try:
                image = hashed.images.read(places[digest], recipe.color)
            except UnreadableImageError:
                continue
            finally:
                advance()
            image = normalize(image, recipe.normalization)
            views.append(make_view(image, digest, 0, *recipe.view_settings))
    if not views:
        raise FeatxError("none of the images to quantize on can be read")
    return np.stack(views)
