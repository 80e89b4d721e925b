"""Quantize a frozen network to int8, calibrated on images; it runs without Keras."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.backbones._openvino import (
    OneByOne,
    convert,
    import_openvino,
    openvino_installed,
    quiet_and_private,
)
from featx.backbones.brought import AnyBackbone, Backbone
from featx.backbones.brought_engine import network_inputs, openvino_engine
from featx.backbones.engines import Engine, OpenVinoEngine, as_batch, pooled_model
from featx.backbones.kept import pack, unpack
from featx.backbones.registry import BackboneSpec
from featx.backbones.weights import Weights, load_base
from featx.errors import MissingExtraError, UsageError
from featx.runtime.process_state import network_state
from featx.runtime.versions import chosen_versions

# Operators of attention in OpenVINO.
_ATTENTION = ("Softmax", "ScaledDotProductAttention")


def make_quantized_engine(network: bytes, backbone: AnyBackbone, pooling: str) -> Engine:
    """Load a network from `quantize` or `quantize_backbone`; its features are float32."""
    if not openvino_installed():
        raise MissingExtraError("int8", "featx[int8]")
    model = unpack(network)
    if isinstance(backbone, Backbone):
        return openvino_engine(backbone, OneByOne(model), pooling, **_cpu())

    def of_channels(channels: int) -> Any:
        calibrated = int(model.input(0).shape[-1])
        if channels != calibrated:
            raise UsageError(
                f"{backbone.name} was calibrated in int8 on images of {calibrated} channel(s); "
                f"these have {channels}"
            )
        return model

    versions = {**chosen_versions("openvino"), **_cpu()}
    return OpenVinoEngine(backbone, of_channels, {"versions": versions})


def _cpu() -> dict[str, str]:
    """Return the name of the CPU, whose int8 sums may saturate."""
    device = import_openvino().Core().get_property("CPU", "FULL_DEVICE_NAME")
    return {"cpu": str(device)}


def check_quantizer() -> None:
    """Raise an error without NNCF and OpenVINO."""
    if importlib.util.find_spec("nncf") is None or not openvino_installed():
        raise MissingExtraError("int8", "featx[int8]")


def quantize_backbone(
    backbone: AnyBackbone, weights: Weights, views: npt.NDArray[np.float32], pooling: str
) -> bytes:
    """Load a frozen network, and quantize it as `quantize` does."""
    if isinstance(backbone, BackboneSpec):
        return quantize(load_base(backbone, weights), backbone, views, pooling)
    check_quantizer()
    inputs = network_inputs(backbone, as_batch(views, backbone.size, backbone))
    return _quantized(backbone.opener(backbone, pooling).openvino(), inputs)


@network_state()
def quantize(
    base: Any, backbone: BackboneSpec, views: npt.NDArray[np.float32], pooling: str = "average"
) -> bytes:
    """Quantize a frozen network after training, without labels.

    Activation ranges come from `views`, a few hundred images of the kind to be embedded later;
    biases are corrected for the mean rounding error [1]_.

    References
    ----------
    .. [1] M. Nagel, M. van Baalen, T. Blankevoort, M. Welling (2019), "Data-free quantization
       through weight equalization and bias correction", ICCV, doi 10.1109/ICCV.2019.00141.
    """
    check_quantizer()
    batch = as_batch(views, base.input_shape[1:3], backbone)
    if not len(batch):
        raise UsageError("there is no image to calibrate int8 on")
    return _quantized(convert(pooled_model(base, backbone, batch.shape[-1], pooling)), batch)


def _has_attention(model: Any) -> bool:
    """Return whether NNCF should smooth activations, as networks with attention need."""
    return any(each.get_type_name() in _ATTENTION for each in model.get_ops())


def _quantized(model: Any, batch: npt.NDArray[np.float32]) -> bytes:
    with quiet_and_private():
        nncf = importlib.import_module("nncf")
        nncf.set_log_level(logging.ERROR)
        quantized = nncf.quantize(
            model,
            nncf.Dataset([view[None] for view in batch]),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            model_type=nncf.ModelType.TRANSFORMER if _has_attention(model) else None,
            subset_size=len(batch),
            fast_bias_correction=True,
        )
        return pack(quantized)
