"""Int8 networks as files, quantized on images."""

from __future__ import annotations

import hashlib
import logging
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from featx.backbones._openvino import openvino_installed
from featx.backbones.brought import Backbone
from featx.backbones.kept import serialized
from featx.backbones.onnx_file import joined_digest
from featx.backbones.quantization import quantize_network, quantized_card
from featx.backbones.registry import get_backbone
from featx.datasets.conversion import as_images
from featx.datasets.rules import OpeningRules
from featx.errors import FeatxError, MissingExtraError, UnreadableImageError, UsageError
from featx.features.cache.file_hashes import Hashed, hash_images
from featx.features.config import ExtractionConfig
from featx.features.pipeline import embedders_of
from featx.features.recipe import Recipe
from featx.images.augmentation import make_view
from featx.images.normalization import normalize
from featx.runtime.files import check_output, writing
from featx.runtime.serialization import plain_json

__all__ = ["quantize"]

logger = logging.getLogger(__name__)

# NNCF's own default; more do not change the ranges much.
QUANTIZATION_IMAGES = 300


def quantize(
    backbone: str | Backbone,
    images: Any,
    *,
    out: str | Path,
    **settings: Any,
) -> Backbone:
    """Quantize a frozen network to int8, into a network's file.

    ``NET.xml`` and ``NET.bin`` are a network of OpenVINO, ``NET.json`` is its card. Name it
    ``"openvino:NET.xml"`` like any other backbone, or give what is returned.

    Parameters
    ----------
    backbone : str or Backbone
        Network in float32, as `featx.ExtractionConfig` names it.
    images : ImageDataset, path-like, data frame, list of path-like, or ndarray
        Images of the kind to be embedded later, as `featx.datasets.conversion.as_images` takes
        them; labels are not used. Up to 300 outside test splits set the ranges of activations.
    out : path-like
        File to write, ``NET.xml``; none of the three may exist.
    **settings
        Of `featx.ExtractionConfig`: ``color``, ``normalization``, ``pooling`` (of networks that
        are not registered, whose file allows no other), ``weights``, ``weights_dir``, ``cache``,
        ``random_state``, ``rehash``; and of `featx.datasets.rules.OpeningRules`: ``root``, ...

    Returns
    -------
    Backbone
        The network of the file.

    Raises
    ------
    UsageError
        If a setting is invalid, all images are test images, or a file exists.
    FeatxError
        If NNCF is missing, no image can be read, or the network cannot be converted.

    Examples
    --------
    >>> import featx
    >>> network = featx.quantize("densenet121", "chest_xray/train",
    ...                          out="d121.xml")  # doctest: +SKIP
    >>> matrix = featx.extract("chest_xray/test", network)  # doctest: +SKIP
    """
    rules = OpeningRules.take(settings, labeled=None)
    fixed = {"backbones": [backbone], "augmentation": "none", "views": 1}
    config = ExtractionConfig.build(**{**settings, **fixed})
    (record,), paths = config.records, _check_files(Path(out).absolute())
    if find_spec("nncf") is None or not openvino_installed():
        raise MissingExtraError("int8", "featx[int8]")
    if isinstance(record, Backbone) and record.quantized_from:
        raise UsageError(f"{record.name} is in int8 already; name the network that it comes from")
    images = as_images(images, rules=rules)
    training = images.select(images.splits != "test")
    if not len(training):
        raise UsageError(
            f"networks are quantized on images outside test splits, and none of these "
            f"{len(images):,} is; give training images"
        )
    (embedder,) = embedders_of(config)
    hashed = hash_images(training, config.cache_folder, rehash=config.rehash)
    views = _views(embedder.recipe, hashed)
    logger.info(f"{record.name} is quantized to int8 on {len(views):,} images.")
    pixels = np.stack([*views.values()])
    model = quantize_network(record, embedder.weights, pixels, config.pooling)
    card = quantized_card(record, embedder.weights, model, config.pooling, config.color)
    card["quantized_from"] |= {"normalization": config.normalization, "images": [*views]}
    files = serialized(model)
    digests = (hashlib.sha256(files[suffix]).hexdigest() for suffix in (".xml", ".bin"))
    contents = {**files, ".json": plain_json(card | {"sha256": joined_digest(*digests)}).encode()}
    # All are written before one is renamed; the file that is named is the last.
    with ExitStack() as stack:
        for path in paths:
            content = contents[path.suffix]
            stack.enter_context(writing(path, len(content))).write_bytes(content)
    return cast(Backbone, get_backbone(f"openvino:{paths[0]}"))


def _check_files(out: Path) -> list[Path]:
    """Return the paths to write; an error if one exists, or the name cannot be a network's."""
    paths = [check_output(out.with_suffix(suffix), "file") for suffix in (".xml", ".json", ".bin")]
    # These would be read as a size, or as several networks.
    joining = {"@", "+"} & {*out.name}
    if out.suffix != ".xml" or joining or any(path.exists() for path in paths):
        raise UsageError(
            f"{out} has to end with .xml, without @ and +, and neither it nor {out.stem}.bin and "
            ".json may exist, since models may need a network that exists; give another name"
        )
    return paths


def _views(recipe: Recipe, hashed: Hashed) -> dict[str, npt.NDArray[np.float32]]:
    """Return view 0 of the readable images of the sample, by digest."""
    places = dict(zip(hashed.digests, range(len(hashed.digests)), strict=True))
    views = {}
    for digest in sorted(places)[:QUANTIZATION_IMAGES]:
        with suppress(UnreadableImageError):
            image = hashed.images.read(places[digest], recipe.color)
            image = normalize(image, recipe.normalization)
            views[digest] = make_view(image, digest, 0, *recipe.view_settings)
    if not views:
        raise FeatxError("none of the images to quantize on can be read; give others")
    return views
