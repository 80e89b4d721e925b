import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featx.backbones.efficientnet_lite import load_torch_state
from featx.backbones.engines import KerasEngine
from featx.backbones.networks import build_base
from featx.backbones.registry import get_backbone
from featx.backbones.torch_file import read_torch_state
from featx.backbones.weights import find_weights, load_base
from featx.errors import FeatxError
from tests.backbones.conftest import check_record

# Blocks that halve the image, counted by hand from the published repeats of each size.
HALVING_BLOCKS = {
    "efficientnet_lite0": {1, 3, 5, 11},
    "efficientnet_lite1": {1, 4, 7, 15},
    "efficientnet_lite2": {1, 4, 7, 15},
}


def state_of(name):
    weights = find_weights(get_backbone(name))
    return read_torch_state(weights.path, weights.digest)


class NumpyLite:
    """EfficientNet-Lite in float64 NumPy, straight from the tensors, channels first."""

    def __init__(self, state, halving_blocks):
        self.state = {name: values.astype(np.float64) for name, values in state.items()}
        self.halving_blocks = halving_blocks

    def features(self, images):
        return np.stack([self.one(image.transpose(2, 0, 1)) for image in images])

    def one(self, image):
        image = (image.astype(np.float64) - 127) / 128
        x = self.relu6(self.norm(self.convolve(image, "_conv_stem", stride=2), "_bn0"))
        number = 0
        while f"_blocks.{number}._project_conv.weight" in self.state:
            x = self.block(x, f"_blocks.{number}.", 2 if number in self.halving_blocks else 1)
            number += 1
        x = self.relu6(self.norm(self.convolve(x, "_conv_head"), "_bn1"))
        return x.mean(axis=(1, 2))

    def block(self, inputs, prefix, stride):
        x = inputs
        if f"{prefix}_expand_conv.weight" in self.state:
            x = self.relu6(self.norm(self.convolve(x, f"{prefix}_expand_conv"), f"{prefix}_bn0"))
        x = self.convolve(x, f"{prefix}_depthwise_conv", stride, depthwise=True)
        x = self.relu6(self.norm(x, f"{prefix}_bn1"))
        x = self.norm(self.convolve(x, f"{prefix}_project_conv"), f"{prefix}_bn2")
        return x + inputs if x.shape == inputs.shape else x

    def convolve(self, x, name, stride=1, depthwise=False):
        kernel = self.state[f"{name}.weight"]
        side = kernel.shape[-1]
        size = [-(-n // stride) for n in x.shape[1:]]
        missing = [
            max((m - 1) * stride + side - n, 0) for m, n in zip(size, x.shape[1:], strict=True)
        ]
        x = np.pad(x, [(0, 0), *((m // 2, m - m // 2) for m in missing)])
        out = 0.0
        for row in range(side):
            for column in range(side):
                window = x[:, row::stride, column::stride][:, : size[0], : size[1]]
                weight = kernel[:, :, row, column]
                out = out + (
                    weight[:, :, None] * window if depthwise else np.tensordot(weight, window, 1)
                )
        return out

    def norm(self, x, name):
        mean, variance, gain, bias = (
            self.state[f"{name}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * gain + bias

    @staticmethod
    def relu6(x):
        return np.clip(x, 0, 6)


@pytest.mark.parametrize("name", list(HALVING_BLOCKS))
def test_features_agree_with_an_independent_forward_pass(name):
    backbone = get_backbone(name)
    photo = Image.open(photo_path("sklearn", "datasets/images/china.jpg"))
    pixels = np.asarray(photo.resize(backbone.size[::-1]), dtype=np.float32)[None]
    expected = NumpyLite(state_of(name), HALVING_BLOCKS[name]).features(pixels)
    base = load_base(backbone, find_weights(backbone))
    check_record(backbone, base)
    features = KerasEngine(base, backbone, batch_size=1).embed(pixels)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4 * expected.std())


def test_tensors_of_another_size_are_refused():
    base = build_base(get_backbone("efficientnet_lite1"), (32, 32))
    with pytest.raises(FeatxError, match="49 convolutions, efficientnet_lite1 has 64"):
        load_torch_state(base, state_of("efficientnet_lite0"))


def photo_path(package, path):
    (folder,) = importlib.util.find_spec(package).submodule_search_locations
    return Path(folder, path)


PHOTOS = {  # what a person sees, and the ImageNet-1k classes that say so
    "sklearn datasets/images/china.jpg": {
        442: "bell cote",
        483: "castle",
        663: "monastery",
        698: "palace",
    },
    "sklearn datasets/images/flower.jpg": {985: "daisy"},
    "skimage data/chelsea.png": {281: "tabby", 282: "tiger cat", 285: "Egyptian cat"},
    "skimage data/coffee.png": {504: "coffee mug", 967: "espresso", 968: "cup"},
    "skimage data/camera.png": {872: "tripod", 759: "reflex camera"},
    "skimage data/motorcycle_left.png": {665: "moped", 670: "motor scooter"},
}


def test_with_its_top_layer_it_names_real_photos(lite0, lite0_base):
    squares = []
    for photo in PHOTOS:
        image = Image.open(photo_path(*photo.split())).convert("RGB")
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side))
        squares.append(square.resize(lite0.size, Image.Resampling.BICUBIC))
    features = KerasEngine(lite0_base, lite0).embed(np.stack(squares).astype(np.float32))
    top = state_of("efficientnet_lite0")
    called = (features @ top["_fc.weight"].T + top["_fc.bias"]).argmax(axis=1)
    wrong = [
        photo
        for photo, number in zip(PHOTOS, called, strict=True)
        if int(number) not in PHOTOS[photo]
    ]
    assert not wrong
