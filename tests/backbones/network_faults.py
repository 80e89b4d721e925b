"""Faults of networks and of their preparation of images, injected into a healthy engine."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from featx.backbones.networks import build_base, fill_from_file

# Preprocessing of EfficientNet-Lite, and a mean of other networks.
MEAN, SCALE = np.float32(127), np.float32(128)
CAFFE = np.array([123.68, 116.779, 103.939], dtype=np.float32)


def as_pixels(inputs):
    """Return the pixels whose right preprocessing are these inputs."""
    return inputs * SCALE + MEAN


def overflown(pixels):
    return as_pixels((pixels.astype(np.uint8) - np.uint8(127)).astype(np.float32) / SCALE)


def resized(pixels):
    height, width = pixels.shape[1:3]
    small = [cv2.resize(each, (width // 2, height // 2)) for each in pixels]
    return np.stack([cv2.resize(each, (width, height)) for each in small])


def one_nan(features):
    features = features.copy()
    features[-1, 7] = np.nan
    return features


def same(values):
    return values


# What a fault does to pixels (of the right preprocessing), and to features.
FAULTS = {
    "double rescale": (lambda pixels: pixels / 255, same),
    "missing rescale": (as_pixels, same),
    "BGR for RGB": (lambda pixels: pixels[..., ::-1], same),
    "wrong mean": (lambda pixels: pixels + MEAN - CAFFE, same),
    "wrong range": (lambda pixels: as_pixels(pixels / 255), same),
    "wrong size": (resized, same),
    "inverted gray": (lambda pixels: 255 - pixels, same),
    "constant output": (same, np.ones_like),
    "NaN": (same, one_nan),
    "uint8 overflow": (overflown, same),
    "transposed axes": (lambda pixels: pixels.swapaxes(1, 2), same),
}


@dataclass
class FaultyEngine:
    """An engine with a fault; one of preparation is in the record, where featx prepares images."""

    engine: object
    fault: str
    in_record: bool = False

    @property
    def name(self):
        return self.engine.name

    @property
    def backbone(self):
        record, pixels = self.engine.backbone, FAULTS[self.fault][0]
        if not self.in_record:
            return record
        return replace(record, preprocessing=lambda given: record.preprocessing(pixels(given)))

    def versions(self):
        return self.engine.versions()

    def embed(self, pixels):
        before, after = FAULTS[self.fault]
        return after(self.engine.embed(np.ascontiguousarray(before(pixels))))


class TrainingModeEngine:
    """Keras network whose batch normalization takes the statistics of each batch."""

    name = "keras"

    def __init__(self, backbone, weights):
        self.backbone = backbone
        self.base = build_base(backbone)
        fill_from_file(self.base, backbone, weights.path)

    def versions(self):
        return {}

    def embed(self, pixels):
        colors = pixels if pixels.ndim == 4 else np.repeat(pixels[..., None], 3, axis=-1)
        maps = self.base(self.backbone.preprocessing(colors), training=True)
        return np.asarray(maps).mean(axis=(1, 2))
