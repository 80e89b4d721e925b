"""Networks of timm: ``"timm:NAME"``, or a folder as `timm.models.save_for_hf` writes it."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

from featx.backbones._torch import (
    Outputs,
    TorchBackbone,
    TorchNetwork,
    explained,
    import_package,
    outline,
    shapes_of,
)
from featx.backbones.brought import Backbone
from featx.backbones.hub_files import (
    NOT_STATED,
    agreeing_framing,
    find_files,
    folder_digest,
    license_of,
    not_reproduced,
    weight_files,
)
from featx.backbones.pooling import MULTI_DEPTH
from featx.backbones.spec import Preprocessing, Stage
from featx.errors import UsageError, unknown_name
from featx.images.framing import Framing
from featx.runtime.files import file_digest
from featx.runtime.serialization import digest_of_values

EXTRA = "timm"

_FILTERS = ("bilinear", "bicubic", "lanczos", "box", "hamming")
# Stages from an eighth of the input's resolution on, as of other backbones.
_LEAST_STRIDE = 8


def open_backbone(reference: str, size: int | None) -> Backbone:
    """Return the record of a network by its name in timm, or by a folder."""
    timm = import_package("timm", EXTRA)
    folder = Path(reference)
    if folder.is_dir():
        if not (folder / "config.json").is_file() or not weight_files(folder):
            raise UsageError(
                f"{folder} is not a network that timm saved: it needs config.json and "
                "model.safetensors, as timm.models.save_for_hf writes them"
            )
        digest = folder_digest(folder)
        name, path, source = f"timm:{folder.name}-{digest[:8]}", folder, f"folder {folder.name}"
    else:
        path = _find_weights(timm, reference)
        digest = digest_of_values([reference, file_digest(path)])
        name, source = f"timm:{reference}", f"timm, {reference}"
    with explained(reference, "timm"):
        return _record(timm, reference, name, path, digest, source, size)


def _record(
    timm: Any, reference: str, name: str, path: Path, digest: str, source: str, size: int | None
) -> Backbone:
    import_package("torch", EXTRA)
    model = outline(lambda: _make(timm, reference))
    known = model.pretrained_cfg
    config = timm.data.resolve_data_config({}, pretrained_cfg=known)
    channels, side, _ = config["input_size"]
    if size not in (None, side):
        if known["fixed_input_size"]:
            raise UsageError(f"{name} takes images of {side} pixels only; leave out @{size}")
        config["input_size"] = (channels, size, size)
    framing, preprocessing = _read_config(name, config)
    shape = tuple(config["input_size"])
    if channels == 3:
        transform = timm.data.create_transform(**config)
        what = f"the transform of {name}"
        agreeing_framing(what, transform, [framing], shape[1:], preprocessing)
    stated = known.get("license") or (license_of(path) if path.is_dir() else NOT_STATED)
    return TorchBackbone(
        name=name,
        title=f"{known['architecture']} of timm",
        size=shape[1:],
        preprocessing=preprocessing,
        digest=digest,
        opener=_open,
        license=stated,
        source=", ".join(filter(None, [source, known.get("origin_url")])),
        framing=framing,
        channels=channels,
        parameters=sum(each.numel() for each in model.parameters()),
        path=path,
        **_outputs_of(model, shape),
    )


def _outputs_of(model: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return fields of the record that the shapes of the network's outputs decide."""
    ((features,),) = shapes_of(model, _own_vector, shape)
    (last,) = shapes_of(model, _last, shape)
    prefix = getattr(model, "num_prefix_tokens", None)
    poolings, stages = ["average"], _stages(model, shape) if len(last) == 3 else ()
    if len(last) == 2 and last[1] == features and prefix is not None:
        poolings += ["class", "tokens"] if prefix else ["tokens"]
    if len(last) == 3 and last[0] == features:
        poolings += ["max", "gem", "quadrants"]
    if stages:
        poolings.append(MULTI_DEPTH)
    return {
        "features": features,
        "poolings": tuple(poolings),
        "prefix_tokens": prefix or 0,
        "stages": stages,
    }


def _open(backbone: Backbone, pooling: str) -> TorchNetwork:
    def load(path: Path) -> Any:
        reference = str(path) if path.is_dir() else backbone.name.removeprefix("timm:")
        return _make(import_package("timm", EXTRA), reference, path)

    outputs: Outputs = _own_vector if pooling == "average" else _last
    if pooling == MULTI_DEPTH:
        outputs = partial(_several, layers=[stage.layer for stage in backbone.stages])
    return TorchNetwork(backbone, load, outputs, ["timm"])


def _make(timm: Any, reference: str, weights: Path | None = None) -> Any:
    """Build a network without its classification layer, whose weights must all be known."""
    name = f"local-dir:{reference}" if Path(reference).is_dir() else reference
    file = (
        {"pretrained_cfg_overlay": {"file": str(weights)}} if weights and weights.is_file() else {}
    )
    model = timm.create_model(name, pretrained=weights is not None, **file)
    model.reset_classifier(0)
    return model


def _own_vector(model: Any, pixels: Any) -> Any:
    return model(pixels)


def _last(model: Any, pixels: Any) -> Any:
    found = model.forward_features(pixels)
    by_channel = getattr(model, "output_fmt", "NCHW") == "NHWC" and found.ndim == 4
    return found.permute(0, 3, 1, 2) if by_channel else found


def _several(model: Any, pixels: Any, layers: list[str]) -> Any:
    numbers = [n for n, each in enumerate(model.feature_info) if each["module"] in layers]
    return model.forward_intermediates(
        pixels, indices=numbers, intermediates_only=True, output_fmt="NCHW"
    )


def _stages(model: Any, shape: tuple[int, ...]) -> tuple[Stage, ...]:
    """Return the stages of a network whose resolution falls from each to the next."""
    known = [each for each in model.feature_info if each["reduction"] >= _LEAST_STRIDE]
    layers, strides = [each["module"] for each in known], [each["reduction"] for each in known]
    if not known or strides != sorted({*strides}) or not hasattr(model, "forward_intermediates"):
        return ()
    shapes = shapes_of(model, partial(_several, layers=layers), shape)
    return tuple(
        Stage(layer, channels, stride)
        for layer, stride, (channels, *_) in zip(layers, strides, shapes, strict=True)
    )


def _read_config(name: str, config: dict[str, Any]) -> tuple[Framing, Preprocessing]:
    """Return framing and preprocessing of a config of `timm.data.resolve_data_config`."""
    channels, height, width = config["input_size"]
    scaled = math.floor(height / config["crop_pct"])
    squashed = config["crop_mode"] == "squash" and scaled == height
    for key, able in (
        ("input_size", channels in (1, 3) and height == width),
        ("interpolation", config["interpolation"] in _FILTERS),
        ("crop_mode", squashed or config["crop_mode"] == "center"),
    ):
        if not able:
            raise not_reproduced(
                f"{name} has {key} {config[key]!r} in its pretrained_cfg (crop_pct "
                f"{config['crop_pct']})"
            )
    filter = config["interpolation"]
    framing = Framing("squash", filter) if squashed else Framing("shorter", filter, scaled, "round")
    mean, std = (tuple(255 * value for value in config[key]) for key in ("mean", "std"))
    return framing, Preprocessing(mean, std)


def _find_weights(timm: Any, name: str) -> Path:
    """Return the file of a network's weights, from the cache of the Hub or the Hub itself."""
    try:
        config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        known = timm.list_models(pretrained=True)
        raise unknown_name("folder or pretrained network of timm", name, known) from error
    if not config.hf_hub_id:
        raise UsageError(f"timm has no weights of {name} on the Hugging Face Hub; give a folder")
    return weight_files(find_files(config.hf_hub_id, ["model.safetensors"], EXTRA))[0]
