"""Small ONNX networks with random weights, and cards for them."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CARD = {
    "range": [0, 1],
    "mean": [0.4, 0.5, 0.6],
    "scale": [0.2, 0.25, 0.3],
    "color": "rgb",
    "framing": "squash",
    "license": "CC0-1.0",
    "source": "made by a test",
}


def write_card(path, **changes):
    """Write a network's card; None leaves a field out."""
    fields = {**CARD, **changes}
    card = {name: value for name, value in fields.items() if value is not None}
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def write_onnx(
    path,
    outputs=("vector",),
    shape=("n", 3, 16, 16),
    *,
    number=TensorProto.FLOAT,
    inputs=("pixels",),
    weights=None,
    seed=0,
    **saving,
):
    """Write a convolution with the outputs "maps", "tokens" and "vector"; return the path."""
    generator = np.random.default_rng(seed)
    channels_last = shape[1] not in (1, 3) and shape[3] in (1, 3)
    channels = shape[3] if channels_last else shape[1]
    channels = channels if isinstance(channels, int) else 3
    kernel = generator.normal(size=(6, channels, 4, 4)) if weights is None else weights
    nodes = [
        helper.make_node("Cast", [inputs[0]], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["numbers"], ["first"], perm=[0, 3, 1, 2])
        if channels_last
        else helper.make_node("Identity", ["numbers"], ["first"]),
        helper.make_node("Conv", ["first", "kernel"], ["linear"], strides=[4, 4]),
        helper.make_node("Relu", ["linear"], ["maps"]),
        helper.make_node("Reshape", ["maps", "flat"], ["columns"]),
        helper.make_node("Transpose", ["columns"], ["tokens"], perm=[0, 2, 1]),
        helper.make_node("ReduceMean", ["maps", "axes"], ["vector"], keepdims=0),
    ]
    initializers = [
        numpy_helper.from_array(np.asarray(kernel, dtype=np.float32), "kernel"),
        numpy_helper.from_array(np.array([0, 6, -1]), "flat"),
        numpy_helper.from_array(np.array([2, 3]), "axes"),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(name, number, shape) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, path, **saving)
    return path
