"""Quantized networks: calibrated once on training images, kept in the cache, named by recipes."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.backbones.registry import BackboneSpec
from featx.backbones.weights import Weights
from featx.datasets.dataset import ImageDataset
from featx.errors import FeatxError, UnreadableImageError, UsageError
from featx.features.cache.file_hashes import Hashed, hash_images
from featx.features.recipe import Recipe
from featx.images.augmentation import make_view
from featx.images.normalization import normalize
from featx.runtime.files import library_versions, put_bytes
from featx.runtime.progress import progress

__all__ = ["CALIBRATION_IMAGES", "calibrate", "read_network"]

logger = logging.getLogger(__name__)

# NNCF's own default; more do not change the ranges much.
CALIBRATION_IMAGES = 300

_FOLDER = "quantized"


def calibrate(
    recipes: Sequence[Recipe],
    backbones: Sequence[BackboneSpec],
    weights: Sequence[Weights],
    on: ImageDataset | Sequence[str],
    cache: Path,
    *,
    rehash: bool = False,
) -> list[Recipe]:
    """Complete recipes in int8 with the digest of the network that each is about."""
    if not isinstance(on, ImageDataset):
        if isinstance(on, str) or len(on) != len(recipes) or not all(on):
            raise UsageError(
                f"int8 networks of {len(recipes)} backbone(s) are needed; calibration={on!r} names "
                "others: give training images, or the recipes' `network` of a matrix in int8"
            )
        return [replace(recipe, network=name) for recipe, name in zip(recipes, on, strict=True)]
    training = on.select(on.splits != "test")
    if not len(training):
        raise UsageError(
            "int8 is calibrated on training images, and these are all test images; give "
            "calibration= (--calibration) the training images or their matrix"
        )
    hashed = hash_images(training, cache, rehash=rehash)
    return [
        replace(recipe, network=_network_for(recipe, backbone, found, hashed, cache))
        for recipe, backbone, found in zip(recipes, backbones, weights, strict=True)
    ]


def read_network(recipe: Recipe, cache: Path, weights_dir: Path | None = None) -> bytes:
    """Read the quantized network that a recipe names."""
    name = _network_name(recipe.backbone, recipe.network)
    folders = [cache / _FOLDER, *([] if weights_dir is None else [weights_dir])]
    for folder in folders:
        try:
            content = (folder / name).read_bytes()
        except OSError:
            continue
        if hashlib.sha256(content).hexdigest() == recipe.network:
            return content
        raise FeatxError(
            f"{folder / name} is damaged: its checksum does not match; delete it and bring another "
            "copy, or calibrate and fit anew"
        )
    raise FeatxError(
        f"the int8 network of {recipe.backbone} that these features are of is not in "
        f"{' or '.join(map(str, folders))}. No other will do: bring {name} from the folder "
        f"{_FOLDER} of the cache in which it was calibrated, into {folders[0]} or --weights-dir"
    )


def _network_name(backbone: str, digest: str) -> str:
    return f"{backbone}-{digest}.int8.zip"


def _network_for(
    recipe: Recipe, backbone: BackboneSpec, weights: Weights, hashed: Hashed, cache: Path
) -> str:
    """Return the digest of the network calibrated on these images, making it at first."""
    sample = sorted(set(hashed.digests))[:CALIBRATION_IMAGES]
    note = cache / _FOLDER / f"{recipe.backbone}-{_question(recipe, sample)}.json"
    known = _remembered(note)
    if known is not None and (note.parent / _network_name(recipe.backbone, known)).exists():
        return known
    # Here, and not above, since the answer may be known on a machine without NNCF.
    from featx.backbones.quantization import check_quantizer, network_digest, quantize
    from featx.backbones.weights import load_base

    check_quantizer()
    views = _views(recipe, hashed, sample)
    logger.debug(f"Calibrating {recipe.backbone} in int8 on {len(views):,} images.")
    network = quantize(load_base(backbone, weights), backbone, views, recipe.pooling)
    digest = network_digest(network)
    put_bytes(note.parent / _network_name(recipe.backbone, digest), network)
    facts: dict[str, Any] = {
        "network": digest,
        "images": len(views),
        "versions": library_versions("nncf", "openvino"),
    }
    put_bytes(note, f"{json.dumps(facts, indent=2, sort_keys=True)}\n".encode())
    return digest


def _question(recipe: Recipe, sample: list[str]) -> str:
    """Digest of all that decides a calibration: two runs that ask the same take one answer."""
    values = replace(recipe, network="").to_dict()
    del values["augmentation"], values["seed"]
    text = json.dumps([values, sample], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _remembered(note: Path) -> str | None:
    try:
        return str(json.loads(note.read_text())["network"])
    except (OSError, ValueError, KeyError):
        return None


def _views(recipe: Recipe, hashed: Hashed, sample: list[str]) -> npt.NDArray[np.float32]:
    """Make view 0 of those images of the sample that can be decoded."""
    places = dict(zip(hashed.digests, range(len(hashed.digests)), strict=True))
    views = []
    with progress(f"Calibrating {recipe.backbone} in int8", len(sample), "images") as advance:
        for digest in sample:
            try:
                image = hashed.images.read(places[digest], recipe.color)
            except UnreadableImageError:
                continue
            finally:
                advance()
            image = normalize(image, recipe.normalization)
            views.append(make_view(image, digest, 0, recipe.size, recipe.augmentation))
    if not views:
        raise FeatxError("none of the images to calibrate int8 on can be read")
    return np.stack(views)
