"""Engines that run a frozen backbone: Keras, or OpenVINO for speed on a CPU."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from featx.backbones._keras import gpu_possible, import_keras, keras_backend
from featx.backbones._openvino import OneByOne, convert, openvino_installed
from featx.backbones.brought import AnyBackbone, Backbone
from featx.backbones.kept import kept_network
from featx.backbones.pooling import MULTI_DEPTH, pool, pooled_columns
from featx.backbones.registry import HALF, check_precision
from featx.backbones.spec import BackboneSpec, WeightFile
from featx.backbones.weights import Weights, load_base
from featx.errors import MissingExtraError, UsageError
from featx.runtime.process_state import network_state, rounding_variables
from featx.runtime.versions import chosen_versions

logger = logging.getLogger(__name__)


class Engine(Protocol):
    """Interface from pixels to features; safe to call from several threads."""

    name: str

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        """Compute one feature vector per image."""
        ...

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries that determine the numbers."""
        ...


class KerasEngine:
    """Pooled feature maps, computed by Keras on any of its back ends.

    All batches have one shape, so that the bits of a row depend on its image alone, not on the
    other images of its batch.
    """

    name = "keras"

    def __init__(
        self,
        base: Any,
        backbone: BackboneSpec,
        batch_size: int | None = None,
        pooling: str = "average",
    ) -> None:
        self.base = base
        self.backbone = backbone
        self.pooling = pooling
        self.width = len(pooled_columns(backbone, pooling))
        self.batch_size = batch_size or (32 if _gpu_visible() else 8)
        self._runners: dict[int, Callable[[np.ndarray], np.ndarray]] = {}
        # One batch fills cores and memory.
        self._alone = threading.Lock()

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        """Return features of shape (n, features) of gray or RGB pixels, as `as_batch` takes them.

        Gray, from 0 to 255, is repeated to three channels.
        """
        pixels = as_batch(pixels, self.base.input_shape[1:3], self.backbone)
        features = np.empty((len(pixels), self.width), dtype=np.float32)
        with self._alone, network_state():
            run = self._runner(pixels.shape[-1])
            for start in range(0, len(pixels), self.batch_size):
                batch = pixels[start : start + self.batch_size]
                missing = self.batch_size - len(batch)
                padded = np.pad(batch, ((0, missing), (0, 0), (0, 0), (0, 0)))
                features[start : start + len(batch)] = run(padded)[: len(batch)]
        return features

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries that determine the numbers."""
        keras = import_keras()
        backend = keras.backend.backend()
        return {"keras": keras.__version__, backend: sys.modules[backend].__version__}

    def _runner(self, channels: int) -> Callable[[np.ndarray], np.ndarray]:
        if channels not in self._runners:
            model = pooled_model(self.base, self.backbone, channels, self.pooling)
            if import_keras().backend.backend() == "tensorflow":
                self._runners[channels] = _constant_graph(model, self.batch_size)
            else:
                self._runners[channels] = model.predict_on_batch
        return self._runners[channels]


class OpenVinoEngine:
    """The same numbers as `KerasEngine` within about 1e-5, faster on a CPU.

    Images go through one by one, several at a time on separate cores, so that the bits of a
    row cannot depend on other images.
    Converted networks are kept in the folder.
    """

    name = "openvino"

    def __init__(
        self, backbone: BackboneSpec, weights: Weights, pooling: str, folder: Path | None
    ) -> None:
        self.backbone = backbone
        self._weights, self._pooling = weights, pooling
        versions = chosen_versions("keras", "tensorflow", "openvino")
        # Of other builders, and of versions under other names, a change would not show in the key.
        known = len(versions) == 3 and backbone.builder.startswith(("keras.", "featx."))
        self._folder = folder if known else None
        # Everything that decides the network besides channels.
        self._decisive: dict[str, Any] = {
            "backbone": asdict(replace(backbone, weight_file=WeightFile(""))),
            "weights": weights.digest,
            "pooling": pooling,
            "versions": versions,
            # They decide random weights, layers and preprocessing.
            "others": {**chosen_versions("featx", "numpy"), **rounding_variables()},
        }
        self._runners: dict[int, OneByOne] = {}
        self._building = threading.Lock()

    def embed(self, pixels: np.ndarray) -> np.ndarray:
        """Compute one feature vector per image; see `KerasEngine.embed`."""
        pixels = as_batch(pixels, self.backbone.size, self.backbone)
        channels = pixels.shape[-1]
        with self._building:
            if channels not in self._runners:
                self._runners[channels] = kept_network(
                    self._folder,
                    self.backbone.name,
                    {**self._decisive, "channels": channels},
                    lambda: self._converted(channels),
                )
        return self._runners[channels].outputs(pixels)[0]

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries that determine the numbers; see `KerasEngine`."""
        return dict(self._decisive["versions"])

    def _converted(self, channels: int) -> Any:
        base = load_base(self.backbone, self._weights)
        with network_state():
            return convert(pooled_model(base, self.backbone, channels, self._pooling))


def make_engine(
    backbone: AnyBackbone,
    weights: Weights,
    engine: str = "auto",
    pooling: str = "average",
    precision: str = "float32",
    networks: Path | None = None,
) -> Engine:
    """Load a frozen backbone into an engine; converted networks are kept in `networks`."""
    if engine == "openvino" and not openvino_installed():
        raise MissingExtraError("The openvino engine", "featx[openvino]")
    if isinstance(backbone, Backbone):
        # It imports the functions of this module.
        from featx.backbones.brought_engine import make_brought_engine

        return make_brought_engine(backbone, engine, pooling, networks, precision)
    check_precision(precision, engine)
    if precision in HALF:
        warn_of_half(backbone, precision, _gpu_visible())
        base = load_base(backbone, weights, policy=f"mixed_{precision}")
        return KerasEngine(base, backbone, pooling=pooling)
    backend, gpu = keras_backend(), _gpu_visible()
    if engine == "openvino" and backend != "tensorflow":
        raise UsageError(
            "The openvino engine needs Keras on TensorFlow: unset $KERAS_BACKEND, or use "
            "--engine keras."
        )
    fastest = openvino_installed() and backend == "tensorflow" and not gpu
    chosen = "OpenVINO" if engine == "openvino" or (engine == "auto" and fastest) else "Keras"
    logger.debug(
        f"{backbone.name} runs on {chosen} ({engine} engine, Keras on {backend}, a GPU is "
        f"{'' if gpu else 'not '}visible, OpenVINO is {'' if openvino_installed() else 'not '}"
        "installed)."
    )
    if chosen == "OpenVINO":
        return OpenVinoEngine(backbone, weights, pooling, networks)
    return KerasEngine(load_base(backbone, weights), backbone, pooling=pooling)


def warn_of_half(backbone: AnyBackbone, precision: str, gpu: bool) -> None:
    """Warn of short floats on a CPU."""
    if not gpu:
        logger.warning(
            f"{precision} is for GPUs; without one {backbone.name} takes longer than in float32, "
            "and its features are no better."
        )


def as_batch(pixels: np.ndarray, size: tuple[int, int], backbone: AnyBackbone) -> np.ndarray:
    """Return pixels, shape (n, height, width) or (n, height, width, 1 or 3), in the latter one."""
    batch = np.asarray(pixels, dtype=np.float32)
    if batch.ndim == 3:
        batch = batch[..., None]
    height, width = size
    if batch.ndim != 4 or batch.shape[1:3] != (height, width) or batch.shape[3] not in (1, 3):
        raise UsageError(
            f"{backbone.name} was loaded for images of {height} x {width}, gray or RGB; pixels of "
            f"shape {np.shape(pixels)} do not fit (n, {height}, {width}[, 1 or 3])."
        )
    return batch


def pooled_model(base: Any, backbone: BackboneSpec, channels: int, pooling: str) -> Any:
    """Chain pixels, preprocessing, the frozen base and pooling."""
    maps = maps_model(base, backbone, channels, pooling)
    outputs = pool(maps.outputs, pooling)
    return import_keras().Model(
        maps.inputs[0], outputs, name=f"{backbone.name}_features".replace(":", "_")
    )


def maps_model(base: Any, backbone: BackboneSpec, channels: int, pooling: str) -> Any:
    """Chain pixels, preprocessing, and the frozen base up to the list of maps to be pooled."""
    keras = import_keras()
    inputs = keras.Input((*base.input_shape[1:3], channels), name="pixels")
    colors = keras.ops.repeat(inputs, 3, axis=-1) if channels == 1 else inputs
    if pooling == MULTI_DEPTH:
        ends = [base.get_layer(stage.layer).output for stage in backbone.stages]
        base = keras.Model(base.inputs[0], ends)
    maps = base(backbone.preprocessing(colors), training=False)
    outputs = [
        each if each.dtype == "float32" else keras.ops.cast(each, "float32")
        for each in (maps if pooling == MULTI_DEPTH else [maps])
    ]
    return keras.Model(inputs, outputs)


def _constant_graph(model: Any, batch_size: int) -> Callable[[np.ndarray], np.ndarray]:
    """Turn a frozen model into a TensorFlow graph with its weights as constants.

    TensorFlow then folds batch normalization into the convolutions, which it cannot do in
    `predict`, where weights are variables (measured by scripts/bench/engines.py).
    """
    tensorflow = sys.modules["tensorflow"]
    trainable = [variable.numpy() for variable in model.trainable_variables]
    others = [variable.numpy() for variable in model.non_trainable_variables]
    signature = tensorflow.TensorSpec((batch_size, *model.input_shape[1:]), tensorflow.float32)

    def features(pixels: Any) -> Any:
        constants = ([tensorflow.constant(value) for value in part] for part in (trainable, others))
        return model.stateless_call(*constants, pixels, training=False)[0]

    graph = tensorflow.function(features, input_signature=[signature], autograph=False)
    return lambda pixels: graph(tensorflow.constant(pixels)).numpy()


def _gpu_visible() -> bool:
    backend = keras_backend()
    if backend == "tensorflow" and not sys.modules.get("tensorflow") and not gpu_possible():
        return False
    import_keras()
    library = sys.modules[backend]
    if backend == "tensorflow":
        return bool(library.config.list_physical_devices("GPU"))
    return library.default_backend() != "cpu" if backend == "jax" else library.cuda.is_available()
