"""Quantize a frozen network to int8; it becomes a network's file with its card."""

from __future__ import annotations

import importlib
import logging
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.backbones._openvino import convert, cpu_name, quiet_and_private
from featx.backbones.brought import AnyBackbone, Backbone
from featx.backbones.brought_engine import network_inputs
from featx.backbones.engines import as_batch, maps_model
from featx.backbones.pooling import MULTI_DEPTH
from featx.backbones.weights import Weights, load_base
from featx.runtime.process_state import network_state
from featx.runtime.versions import chosen_versions

__all__ = ["quantize_network", "quantized_card"]

# Operators of attention in OpenVINO.
_ATTENTION = ("Softmax", "ScaledDotProductAttention")


def quantize_network(
    backbone: AnyBackbone, weights: Weights, views: npt.NDArray[np.float32], pooling: str
) -> Any:
    """Return a frozen network in int8 as a model of OpenVINO, quantized without labels.

    Activation ranges come from `views`, a few hundred images of the kind to be embedded later;
    biases are corrected for the mean rounding error [1]_. Of a registered network the outputs are
    its stages, for all poolings; of another they are those that the pooling takes.

    References
    ----------
    .. [1] M. Nagel, M. van Baalen, T. Blankevoort, M. Welling (2019), "Data-free quantization
       through weight equalization and bias correction", ICCV, doi 10.1109/ICCV.2019.00141.
    """
    inputs = as_batch(views, backbone.size, backbone)
    if isinstance(backbone, Backbone):
        inputs = network_inputs(backbone, inputs)
        model = backbone.opener(backbone, pooling).openvino()
    else:
        base = load_base(backbone, weights)
        with network_state():
            model = convert(maps_model(base, backbone, inputs.shape[-1], MULTI_DEPTH))
    several = len(model.outputs) > 1
    names = [stage.layer for stage in backbone.stages] if several else ["features"]
    for output, name in zip(model.outputs, names, strict=True):
        output.get_tensor().set_names({name})
    attention = any(each.get_type_name() in _ATTENTION for each in model.get_ops())
    with quiet_and_private():
        nncf = importlib.import_module("nncf")
        nncf.set_log_level(logging.ERROR)
        return nncf.quantize(
            model,
            nncf.Dataset([each[None] for each in inputs]),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            # Activations of networks with attention are smoothed.
            model_type=nncf.ModelType.TRANSFORMER if attention else None,
            subset_size=len(inputs),
            fast_bias_correction=True,
        )


def quantized_card(
    backbone: AnyBackbone, weights: Weights, model: Any, pooling: str, color: str
) -> dict[str, Any]:
    """Return the card of a network from `quantize_network`."""
    names = [output.get_any_name() for output in model.outputs]
    # The model of a registered network prepares pixels itself.
    own: dict[str, Any] = {"mean": 0, "scale": 1, "color": color, "layout": "NHWC"}
    own["framing"] = "squash"
    if isinstance(backbone, Backbone):
        own = {name: backbone.card[name] for name in ("mean", "scale", "color")}
        own |= {"layout": backbone.layout, "framing": backbone.framing.to_value()}
        if len(model.outputs[-1].shape) == 3:
            tokens = backbone.own_pooling if pooling == "average" else pooling
            own |= {"pooling": tokens, "prefix_tokens": backbone.prefix_tokens}
        if pooling != "average":
            # Another one may take other outputs of the network.
            own["poolings"] = [pooling]
    return {
        "title": f"{backbone.title}, int8",
        "range": [0, 255],
        **own,
        "output": names[-1],
        **({"stages": names} if len(names) > 1 else {}),
        "license": backbone.license,
        "source": f"quantized from: {backbone.source}, {weights.description}",
        "quantized_from": {
            "backbone": backbone.name,
            "size": list(backbone.size),
            "weights": weights.digest,
            "parameters": backbone.parameters,
            "versions": chosen_versions("nncf", "openvino"),
            "cpu": cpu_name(),
        },
    }
