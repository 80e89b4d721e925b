"""Vision networks of Hugging Face transformers: ``"hf:FOLDER"``, or ``"hf:ID"`` of the Hub."""

from __future__ import annotations

import importlib
import json
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from featx.backbones._torch import (
    TorchBackbone,
    TorchNetwork,
    explained,
    import_package,
    load_tensors,
    outline,
    shapes_of,
)
from featx.backbones.brought import Backbone
from featx.backbones.hub_files import (
    NO_OTHER_WAY,
    agreeing_framing,
    find_files,
    folder_digest,
    license_of,
    not_reproduced,
    weight_files,
)
from featx.backbones.opening import remote_code_trusted
from featx.backbones.spec import Preprocessing
from featx.errors import FeatxError, UsageError
from featx.images.framing import Framing

EXTRA = "hf"

_CONFIGS = ["config.json", "preprocessor_config.json"]
# Pillow's numbers of its filters.
_FILTERS = {1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
# Settings of image processors that `_read_processor` reads, or that change no number.
_KNOWN = (
    "do_resize", "size", "resample", "do_center_crop", "crop_size", "crop_pct", "do_rescale",
    "rescale_factor", "do_normalize", "image_mean", "image_std", "do_convert_rgb",
    "image_processor_type", "feature_extractor_type", "processor_class", "default_to_square",
    "data_format", "return_tensors", "device", "disable_grouping", "auto_map",
)  # fmt: skip
# Layers that make the vector of an image of its tokens.
_OF_VECTOR = ("pooler", "head")
# Smaller inputs of ConvNeXt's image processor are cropped, others squashed.
_LEAST_SQUASHED = 384


def open_backbone(reference: str, size: int | None) -> Backbone:
    """Return the record of a network in a folder or on the Hugging Face Hub."""
    folder = _find_folder(reference)
    transformers = import_package("transformers", EXTRA)
    with explained(reference, "transformers"):
        processor = _check_configs(reference, folder)
        digest = folder_digest(folder)
        here = Path(reference).is_dir()
        name = f"hf:{folder.name}-{digest[:8]}" if here else f"hf:{reference}"
        auto = transformers.AutoImageProcessor
        theirs = auto.from_pretrained(folder, backend="pil", **_local())
        side, framing, preprocessing = _read_processor(name, theirs)
        framing = agreeing_framing(
            f"the image processor {processor} of {name}",
            lambda image: theirs(images=image, return_tensors="np")["pixel_values"][0],
            # Of DINOv3, pixels are not rounded after resizing.
            [framing, replace(framing, rounded=False)],
            (side, side),
            preprocessing,
        )
        if size is not None:
            framing = replace(framing, edge=round(framing.edge * size / side))
            side = size
        config = transformers.AutoConfig.from_pretrained(folder, **_local())
        found = _outline(transformers, config, folder, name, (side, side))
    return TorchBackbone(
        name=name,
        title=f"{config.model_type} of transformers",
        size=(side, side),
        preprocessing=preprocessing,
        digest=digest,
        opener=_open,
        license=license_of(folder),
        source=f"folder {folder.name}" if here else f"Hugging Face Hub, {reference}",
        framing=framing,
        path=folder,
        **found,
    )


def _local() -> dict[str, bool]:
    return {"local_files_only": True, "trust_remote_code": remote_code_trusted()}


def _check_configs(reference: str, folder: Path) -> str:
    """Refuse what featx does not reproduce; return the name of the image processor."""
    settings = {name: json.loads((folder / name).read_bytes()) for name in _CONFIGS}
    for name, values in settings.items():
        if "auto_map" in values and not remote_code_trusted():
            raise UsageError(
                f"{reference} needs Python code of its own repository ({name}: auto_map), which "
                "runs only where you trust it: read it, then give --trust-remote-code "
                f"(featx.trust_remote_code()). {NO_OTHER_WAY}"
            )
    found = settings[_CONFIGS[1]]
    for name in found:
        if found[name] and name not in _KNOWN:
            raise not_reproduced(f"{reference} has {name} in its preprocessor_config.json")
    return str(found.get("image_processor_type") or found.get("feature_extractor_type"))


def _read_processor(name: str, processor: Any) -> tuple[int, Framing, Preprocessing]:
    """Return input size, framing and preprocessing of an image processor."""
    wanted = {key: value for key, value in dict(processor.size).items() if value}
    cropped = getattr(processor, "do_center_crop", None) and dict(processor.crop_size)
    edge = wanted.get("shortest_edge", 0)
    if edge and not cropped and hasattr(processor, "crop_pct"):
        cropped, wanted = {"height": edge, "width": edge}, {"height": edge, "width": edge}
        edge = int(edge / processor.crop_pct) if edge < _LEAST_SQUASHED else 0
    shown = cropped or wanted
    filter: Any = _FILTERS.get(int(processor.resample))
    for key, able in (
        ("do_resize", processor.do_resize),
        ("size", {*wanted} in ({"shortest_edge"}, {"height", "width"}) and "height" in shown),
        ("size", shown.get("height") == shown.get("width")),
        ("crop_size", edge or wanted == shown),
        ("resample", filter),
    ):
        if not able:
            raise not_reproduced(
                f"{name} has {key} {getattr(processor, key, None)} in its preprocessor_config.json"
            )
    framing = Framing("shorter", filter, edge, "floor") if edge else Framing("squash", filter)
    factor = processor.rescale_factor if processor.do_rescale else 1.0
    moved = processor.do_normalize
    mean, std = (processor.image_mean, processor.image_std) if moved else ((0.0,) * 3, (1.0,) * 3)
    mean, scale = ((*(value / factor for value in each),) for each in (mean, std))
    return int(shown["height"]), framing, Preprocessing(mean, scale)


def _find_folder(reference: str) -> Path:
    folder = Path(reference)
    if not folder.is_dir():
        if not re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", reference) or folder.is_file():
            raise UsageError(
                f"there is no folder {reference}; give one that save_pretrained of a network "
                "wrote, or the ID of a repository on the Hugging Face Hub"
            )
        folder = find_files(reference, [*_CONFIGS, "model*.safetensors"], EXTRA)
    lacking = [name for name in _CONFIGS if not (folder / name).is_file()]
    lacking += [] if weight_files(folder) else ["model.safetensors"]
    if lacking:
        raise UsageError(
            f"{reference} lacks {', '.join(lacking)}; save network and image processor with "
            "save_pretrained into one folder"
        )
    return folder


def _outline(
    transformers: Any, config: Any, folder: Path, name: str, size: tuple[int, int]
) -> dict[str, Any]:
    """Return fields of the record that the shapes of the network's outputs decide."""
    trusted = {"trust_remote_code": remote_code_trusted()}
    model = outline(lambda: _vision_part(transformers.AutoModel.from_config(config, **trusted)))
    try:
        last, *vector = shapes_of(model, _both, (3, *size))
    # A size that its patches do not divide, or an input that is no image.
    except (ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{name} does not take images of {size[0]} x {size[1]} alone ({error}); give another "
            "size, or a vision network"
        ) from error
    parameters = {"parameters": sum(each.numel() for each in model.parameters())}
    if not _known_vector(model, folder):
        vector = []
    # Maps have channels first, tokens last.
    channels = last[0] if len(last) == 3 else last[1]
    features = vector[0][0] if vector else channels
    if len(last) == 3:
        maps = ("max", "gem", "quadrants") if features == channels else ()
        return parameters | {"features": features, "poolings": ("average", *maps)}
    prefix = last[0] - _count_patches(config, size)
    tokens = (*(["class"] if prefix > 0 else []), *(["tokens"] if prefix >= 0 else []))
    if not vector and not tokens:
        raise UsageError(f"{name} gives neither a vector of an image nor tokens of its patches")
    return parameters | {
        "features": features,
        "poolings": ("average", *(tokens if features == channels else ())),
        "own_pooling": "average" if vector else tokens[0],
        "prefix_tokens": max(prefix, 0),
    }


def _count_patches(config: Any, size: tuple[int, int]) -> int:
    config = getattr(config, "vision_config", config)
    patch = getattr(config, "patch_size", None)
    return (size[0] // patch) * (size[1] // patch) if isinstance(patch, int) else sys.maxsize


def _known_vector(model: Any, folder: Path) -> bool:
    """Return whether the weights have those of the layer that makes the network's vector."""
    layers = [getattr(model, name, None) for name in _OF_VECTOR]
    if not any(list(layer.parameters()) for layer in layers if layer is not None):
        return True
    return any({*_OF_VECTOR} & {*name.split(".")} for name in _weight_names(folder))


def _weight_names(folder: Path) -> list[str]:
    names: list[str] = []
    for path in weight_files(folder):
        if path.suffix == ".safetensors":
            with import_package("safetensors", EXTRA).safe_open(path, "pt") as file:
                names += file.keys()
        else:
            names += load_tensors(path, EXTRA)
    return names


def _vision_part(model: Any) -> Any:
    """Return the network of images of a model that also has one of texts, such as SigLIP."""
    return getattr(model, "vision_model", model)


def _open(backbone: Backbone, pooling: str) -> TorchNetwork:
    own = backbone.own_pooling == "average"
    outputs = _vector if own and pooling == "average" else _tokens_or_maps
    return TorchNetwork(backbone, partial(_load, own), outputs, ["transformers"])


def _load(own: bool, folder: Path) -> Any:
    """Read a network; weights of its vector may be missing unless that is the `own` pooling."""
    model, loading = import_package("transformers", EXTRA).AutoModel.from_pretrained(
        folder,
        **_local(),
        dtype=importlib.import_module("torch").float32,
        weights_only=True,
        output_loading_info=True,
    )
    for name in loading["missing_keys"]:
        if own or not {*_OF_VECTOR} & {*name.split(".")}:
            raise FeatxError(f"the weights in {folder} lack {name}; save the whole network again")
    return _vision_part(model)


def _both(model: Any, pixels: Any) -> list[Any]:
    found = model(pixel_values=pixels)
    vector = found.get("pooler_output")
    return [found["last_hidden_state"], *([] if vector is None else [vector.flatten(1)])]


def _vector(model: Any, pixels: Any) -> Any:
    return _both(model, pixels)[-1]


def _tokens_or_maps(model: Any, pixels: Any) -> Any:
    return _both(model, pixels)[0]
