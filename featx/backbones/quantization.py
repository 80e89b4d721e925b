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
from featx.backbones.engines import as_batch, pooled_model
from featx.backbones.kept import pack, unpack
from featx.backbones.registry import BackboneSpec
from featx.errors import MissingExtraError, UsageError
from featx.runtime.process_state import network_state


class QuantizedEngine:
    """Engine of a network from `quantize`: int8 weights and activations, float32 features.

    Images are processed one by one, as in `featx.backbones.engines.OpenVinoEngine`.
    """

    name = "openvino"

    def __init__(self, network: bytes, backbone: BackboneSpec) -> None:
        if not openvino_installed():
            raise MissingExtraError("int8", "featx[int8]")
        self.backbone = backbone
        model = unpack(network)
        _, *self._shape = (int(size) for size in model.input(0).shape)
        self._run = OneByOne(model)

    def embed(self, pixels: npt.NDArray) -> npt.NDArray[np.float32]:
        """Compute one feature vector per image; see `KerasEngine.embed`."""
        height, width, channels = self._shape
        batch = as_batch(pixels, (height, width), self.backbone)
        if batch.shape[-1] != channels:
            raise UsageError(
                f"{self.backbone.name} was calibrated in int8 on images of {channels} channel(s); "
                f"these have {batch.shape[-1]}"
            )
        return self._run(batch)

    def versions(self) -> dict[str, str]:
        """Return the versions of OpenVINO and of the CPU, whose int8 sums may saturate."""
        openvino = import_openvino()
        return {
            "openvino": openvino.__version__.split("-")[0],
            "cpu": str(openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")),
        }


def check_quantizer() -> None:
    """Raise an error without NNCF and OpenVINO."""
    if importlib.util.find_spec("nncf") is None or not openvino_installed():
        raise MissingExtraError("int8", "featx[int8]")


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
    model = convert(pooled_model(base, backbone, batch.shape[-1], pooling))
    with quiet_and_private():
        nncf = importlib.import_module("nncf")
        nncf.set_log_level(logging.ERROR)
        quantized = nncf.quantize(
            model,
            nncf.Dataset([view[None] for view in batch]),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(batch),
            fast_bias_correction=True,
        )
        return pack(quantized)
