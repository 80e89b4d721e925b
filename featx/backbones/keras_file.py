"""Networks in files of Keras, run by Keras or converted to OpenVINO."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from featx.backbones._keras import import_keras, keras_backend, quiet_stderr
from featx.backbones._openvino import convert
from featx.backbones.brought import Backbone, Pixels
from featx.backbones.brought_engine import check_agreement
from featx.backbones.card import Graph, Shape, check_file, make_record
from featx.errors import UsageError
from featx.runtime.files import file_digest
from featx.runtime.process_state import network_state, warnings_ignored
from featx.runtime.versions import chosen_versions

# Earlier versions could be made to run code of a file (CVE-2025-1550, -8747, -9906, -12060).
_SAFE = (3, 12)


def open_backbone(reference: str, size: int | None) -> Backbone:
    """Return the record of a Keras file, for an input size."""
    path = check_file("keras", reference)
    model = _load(path)

    def outputs(shape: tuple[int, ...]) -> dict[str, Shape]:
        found = model.compute_output_shape(shape)
        shapes = found if isinstance(found, list) else [found]
        return dict(zip(model.output_names, map(tuple, shapes), strict=True))

    inputs = {each.name: tuple(each.shape) for each in model.inputs}
    graph = Graph(inputs, str(model.inputs[0].dtype), outputs, model.count_params())
    engines = ("openvino", "keras") if keras_backend() == "tensorflow" else ("keras",)
    return make_record("keras", path, file_digest(path), graph, size, _KerasNetwork, engines)


class _KerasNetwork:
    """A network of a Keras file."""

    preferred = False
    libraries = ("keras", "tensorflow")
    batch_size = 8

    def __init__(self, backbone: Backbone, pooling: str) -> None:
        self.backbone = backbone
        self.names = backbone.outputs(pooling)

    @cached_property
    def _model(self) -> Any:
        """The model with the input's size and the outputs of the record."""
        model = _load(Path(self.backbone.path or ""))
        keras = import_keras()
        chosen = [model.outputs[model.output_names.index(name)] for name in self.names]
        inputs = keras.Input(self.backbone.input_shape)
        return keras.Model(inputs, keras.Model(model.inputs, chosen)(inputs, training=False))

    @network_state()
    def run(self, inputs: Pixels) -> list[Pixels]:
        """Compute a batch by Keras."""
        found = self._model.predict_on_batch(inputs)
        return [np.asarray(each) for each in (found if isinstance(found, list) else [found])]

    @network_state()
    def openvino(self) -> Any:
        """Convert the model to OpenVINO."""
        converted = convert(self._model)
        check_agreement(self.backbone, self, converted)
        return converted

    def versions(self) -> dict[str, str]:
        """Return the versions of Keras and its back end."""
        return chosen_versions("keras", keras_backend())


def _load(path: Path) -> Any:
    """Load a model, without code of its own."""
    keras = import_keras()
    version = tuple(map(int, re.findall(r"\d+", keras.__version__)[:2]))
    if version < _SAFE:
        raise UsageError(
            f"{path} is not opened by Keras {keras.__version__}, which can run code of a file; "
            f'install a later one: pip install "keras>={".".join(map(str, _SAFE))}"'
        )
    try:
        with network_state(), quiet_stderr(Exception), warnings_ignored():
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
            return keras.Model(model.inputs, model.outputs)
    # Keras raises exceptions of many types on files that it cannot load.
    except Exception as error:
        reason = str(error).partition(". ")[0][:300]
        raise UsageError(
            f"the network {path} cannot be read ({reason}). It is damaged, or has code of its own, "
            "such as Lambda layers or own classes, which is not run; save it with layers of Keras "
            "alone, or export it to ONNX (model.export(FILE, format='onnx'))"
        ) from error
