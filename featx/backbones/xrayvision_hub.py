"""Classifiers of chest X-rays of TorchXRayVision: ``"torchxrayvision:NAME"``.

References
----------
J. P. Cohen, J. D. Viviano, P. Bertin, ... (2022), "TorchXRayVision: A library of chest X-ray
datasets and models", MIDL, proceedings.mlr.press/v172/cohen22a.html.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

from featx.backbones._torch import (
    TorchBackbone,
    TorchNetwork,
    import_package,
    load_tensors,
)
from featx.backbones.brought import Backbone
from featx.backbones.pooling import MULTI_DEPTH
from featx.backbones.spec import Preprocessing, Stage
from featx.errors import FeatxError, find_name
from featx.images.framing import Framing
from featx.runtime.files import file_digest
from featx.runtime.process_state import usable_stderr, warnings_ignored

EXTRA = "torchxrayvision"

# Pixels from 0 to 255 become -1024 to 1024.
_PREPROCESSING = Preprocessing((127.5,), (127.5 / 1024,))
_LICENSE = "Apache-2.0 (of the library; that of the weights is not stated)"

# Layers that end the stages, channels and strides, and parameters without the classification layer.
_DENSENET = (
    (
        Stage("transition2.relu", 512, 8),
        Stage("transition3.relu", 1024, 16),
        Stage("relu", 1024, 32),
    ),
    6_947_584,
)
_RESNET = (
    (Stage("layer2", 512, 8), Stage("layer3", 1024, 16), Stage("layer4", 2048, 32)),
    23_501_760,
)


def open_backbone(reference: str, size: int | None) -> Backbone:
    """Return the record of a classifier by the name of its weights."""
    library = import_package("torchxrayvision", EXTRA)
    urls = library.models.model_urls
    names = [name for name in urls if name.startswith(("densenet121", "resnet50"))]
    name = find_name("classifier of TorchXRayVision", reference, names)
    path = _find_weights(library, name)
    stages, parameters = _DENSENET if name.startswith("densenet") else _RESNET
    side = size or int(urls[name]["input_resolution"])
    return TorchBackbone(
        name=f"torchxrayvision:{name}",
        title=f"{name} of TorchXRayVision",
        size=(side, side),
        features=stages[-1].channels,
        preprocessing=_PREPROCESSING,
        digest=file_digest(path),
        opener=_open,
        license=_LICENSE,
        source=f"TorchXRayVision, {urls[name]['weights_url']}",
        framing=Framing("square", "skimage"),
        channels=1,
        poolings=("average", "max", "gem", "quadrants", MULTI_DEPTH),
        stages=stages,
        parameters=parameters,
        path=path,
    )


def _find_weights(library: Any, name: str) -> Path:
    """Return the file of weights in the library's cache, downloaded if needed."""
    url = library.models.model_urls[name]["weights_url"]
    path = Path(library.utils.get_cache_dir(), url.rpartition("/")[2])
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The library writes progress to standard output, which is reserved for results.
        with contextlib.redirect_stdout(usable_stderr() or io.StringIO()), warnings_ignored():
            library.utils.download(url, str(path))
    # Whatever fails between here and the server.
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise FeatxError(
            f"The weights of torchxrayvision:{name} are not on this machine, and could not be "
            f"downloaded ({reason}).\nMissing file: {path}\nPublished at: {url}\nTo install it: "
            "download it on a machine with a network and copy it there"
        ) from error
    return path


def _open(backbone: Backbone, pooling: str) -> TorchNetwork:
    load = _load_densenet if ":densenet" in backbone.name else _load_resnet
    return TorchNetwork(backbone, load, partial(_maps, pooling), ["torchxrayvision", "torchvision"])


def _load_densenet(path: Path) -> Any:
    """Build the network; published files hold the whole module, of which known classes are read."""
    models = import_package("torchxrayvision", EXTRA).models
    nn = importlib.import_module("torch").nn
    classes = [
        getattr(models, name) for name in ("DenseNet", "_DenseBlock", "_DenseLayer", "_Transition")
    ]
    layers = ("Sequential", "Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "AvgPool2d", "Linear")
    saved = load_tensors(
        path, EXTRA, [*classes, *(getattr(nn, name) for name in layers), OrderedDict, set]
    )
    state = saved.state_dict() if isinstance(saved, nn.Module) else saved
    state.pop("op_threshs", None)
    module = models.DenseNet(num_classes=len(state["classifier.bias"]), in_channels=1)
    module.load_state_dict(state)
    return module


def _load_resnet(path: Path) -> Any:
    torchvision = import_package("torchvision", EXTRA)
    state = load_tensors(path, EXTRA)
    module = torchvision.models.resnet50(num_classes=len(state["fc.bias"]))
    module.conv1 = importlib.import_module("torch").nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    module.load_state_dict(state)
    return module


def _maps(pooling: str, model: Any, pixels: Any) -> list[Any]:
    """Return the last maps, or those that end each stage."""
    relu = importlib.import_module("torch").nn.functional.relu
    found = []
    if hasattr(model, "layer4"):
        pixels = model.maxpool(model.relu(model.bn1(model.conv1(pixels))))
        for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
            pixels = layer(pixels)
            found.append(pixels)
    else:
        for name, layer in model.features.named_children():
            if name.startswith("transition"):
                pixels = relu(layer.norm(pixels))
                found.append(pixels)
                pixels = layer.pool(layer.conv(pixels))
            else:
                pixels = layer(pixels)
        found.append(relu(pixels))
    return found[1:] if pooling == MULTI_DEPTH else found[-1:]
