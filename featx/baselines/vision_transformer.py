"""Vision Transformer from KerasHub (an extra)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx.backbones._keras import import_keras, quiet_stderr
from featx.backbones.spec import Preprocessing
from featx.backbones.weights import WEIGHTS_DIR_VARIABLE, Weights
from featx.errors import FeatxError, MissingExtraError, UsageError
from featx.runtime.files import file_digest

if TYPE_CHECKING:
    from keras import KerasTensor

VIT = "vit_base_patch16_224"

# KerasHub's converter of these presets maps pixels to [-1, 1].
VIT_PREPROCESSING = Preprocessing(mean=(127.5,) * 3, scale=(127.5,) * 3)

_PRESET = "vit_base_patch16_224_imagenet"

# ViT-B/16 of Dosovitskiy et al. 2021, "An image is worth 16x16 words", table 1.
_BASE = {"patch_size": 16, "num_layers": 12, "num_heads": 12, "hidden_dim": 768, "mlp_dim": 3072}


def find_vit_weights(
    weights: str | Path, weights_dir: Path | None, random_state: int, size: tuple[int, int]
) -> Weights:
    """Find the weights of the Vision Transformer."""
    hub = _import_hub()
    if weights == "random":
        return Weights(None, f"random-{random_state}", f"random (seed {random_state})")
    if weights != "imagenet":
        folder = Path(weights)
        if not (folder / "model.weights.h5").is_file():
            raise UsageError(
                f"{folder} is not a KerasHub preset: it needs config.json and model.weights.h5"
            )
        return _from_folder(folder, size)
    for place in (weights_dir, os.environ.get(WEIGHTS_DIR_VARIABLE)):
        if place and (Path(place) / _PRESET / "model.weights.h5").is_file():
            return _from_folder(Path(place) / _PRESET, size)
    return _from_folder(_download(hub, weights_dir), size)


def vision_transformer(
    pixels: KerasTensor, weights: Weights, shape: dict[str, int] | None = None
) -> KerasTensor:
    """Build the Vision Transformer; return the features of its class token."""
    backbone_class = _import_hub().models.ViTBackbone
    size = tuple(int(side) for side in pixels.shape[1:3])
    if weights.path is None:
        base = backbone_class(image_shape=(*size, 3), **(shape or _BASE))
    else:
        base = backbone_class.from_preset(str(weights.path))
    tokens = base(pixels)
    return import_keras().layers.Identity(name="features")(tokens[:, 0])


def _import_hub() -> Any:
    import_keras()
    try:
        with quiet_stderr():
            import keras_hub
    except ImportError as error:
        raise MissingExtraError(
            "the Vision Transformer of mabrouk-ensemble", "featx[hub]"
        ) from error
    return keras_hub


def _download(hub: Any, weights_dir: Path | None) -> Path:
    try:
        from kagglehub import model_download

        handle = hub.models.ViTBackbone.presets[_PRESET]["kaggle_handle"]
        return Path(model_download(handle.removeprefix("kaggle://")))
    except Exception as error:  # kagglehub raises errors of its HTTP library
        raise FeatxError(
            "The ImageNet weights of the Vision Transformer are not on this machine, and could "
            f"not be downloaded ({str(error) or type(error).__name__}).\n"
            f"Missing folder: {_PRESET} (config.json, model.weights.h5)\n"
            f"Looked in: --weights-dir ({weights_dir or 'not given'}), ${WEIGHTS_DIR_VARIABLE}\n"
            "To install it: on a machine with a network run\n"
            "  import keras_hub; keras_hub.models.ViTBackbone.from_preset("
            f"'{_PRESET}').save_to_preset('{_PRESET}')\n"
            "and copy that folder into the directory of --weights-dir. With --weights random it "
            "runs untrained, as a control."
        ) from error


def _from_folder(folder: Path, size: tuple[int, int]) -> Weights:
    # Fail before the other networks of an ensemble train for hours.
    config = json.loads((folder / "config.json").read_text())
    height, width = config["config"]["image_shape"][:2]
    if (height, width) != size:
        raise UsageError(
            f"the weights of the Vision Transformer are for {height} x {width} pixels, not "
            f"{size[0]} x {size[1]}: give that size, or none"
        )
    digest = file_digest(folder / "model.weights.h5")
    return Weights(folder, digest, f"KerasHub preset {folder.name}")
