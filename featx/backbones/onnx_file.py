"""Networks in files of ONNX, run by OpenVINO or onnxruntime, or of OpenVINO; no TensorFlow."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from featx.backbones._keras import quiet_stderr
from featx.backbones._openvino import import_openvino, openvino_installed
from featx.backbones.brought import Backbone, Pixels
from featx.backbones.card import Graph, Shape, check_file, make_record
from featx.errors import FeatxError, MissingExtraError, UsageError
from featx.runtime.files import known_digest
from featx.runtime.parallel import engine_threads

__all__ = ["joined_digest", "open_backbone"]

# What OpenVINO and onnxruntime write before the reason of an error.
_PREFIXES = re.compile(
    r"^Exception from .*\n?|^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed:)?",
    re.M,
)

# Path of fields in ONNX's protocol buffers: graph, initializer, external data.
_EXTERNAL_DATA = (7, 5, 13)


def open_backbone(reference: str, size: int | None) -> Backbone:
    """Return the record of a file of ONNX or OpenVINO, for an input size."""
    prefix, suffix = ("openvino", "xml") if reference.endswith(".xml") else ("onnx", "onnx")
    path = check_file(prefix, reference, suffix)
    engines = [
        name
        for name, installed in (
            ("openvino", openvino_installed()),
            ("onnxruntime", importlib.util.find_spec("onnxruntime") is not None),
        )
        if installed and prefix in ("onnx", name)
    ]
    if not engines:
        other = '" or "featx[onnx]' if prefix == "onnx" else ""
        raise MissingExtraError(f"A network in {prefix}:", f"featx[openvino]{other}")
    digest = _digest(path)
    try:
        graph = _GRAPHS[engines[0]](path)
    except UsageError:
        # Another library may know operators that the first one lacks.
        if len(engines) == 1:
            raise
        engines = engines[1:]
        graph = _GRAPHS[engines[0]](path)
    return make_record(prefix, path, digest, graph, size, _FileNetwork, tuple(engines))


class _FileNetwork:
    """A network of a file of ONNX or OpenVINO."""

    preferred = False
    libraries = ()
    # Of many files the batch is fixed to one.
    batch_size = 1

    def __init__(self, backbone: Backbone, pooling: str) -> None:
        self.backbone, self.pooling = backbone, pooling
        self.names = backbone.outputs(pooling)
        self.path = Path(backbone.path or "")

    @cached_property
    def _session(self) -> Any:
        return _session(self.path)

    def run(self, inputs: Pixels) -> list[Pixels]:
        """Compute one image by onnxruntime."""
        name = self._session.get_inputs()[0].name
        return self._session.run(self.names, {name: inputs})

    def openvino(self) -> Any:
        """Return the model as OpenVINO reads it, for one image and the outputs of its record."""
        model = _read_by_openvino(self.path)
        with _explained(self.path):
            model.reshape({model.input(0): (1, *self.backbone.input_shape)})
            outputs, openvino = [model.output(name) for name in self.names], import_openvino()
            if (self.pooling, self.path.suffix, len(outputs[0].shape)) == ("average", ".xml", 4):
                # Faster than from maps that leave OpenVINO.
                axes = [2, 3] if self.backbone.layout == "NCHW" else [1, 2]
                maps = outputs[0].get_node().input_value(0)
                outputs = [openvino.opset13.reduce_mean(maps, axes, False)]
            return openvino.Model(outputs, model.get_parameters(), "network")

    def versions(self) -> dict[str, str]:
        """Return the version of onnxruntime."""
        return {"onnxruntime": _runtime().__version__}


def _graph_of_openvino(path: Path) -> Graph:
    model = _read_by_openvino(path)

    def outputs(shape: tuple[int, ...]) -> dict[str, Shape]:
        with _explained(path):
            model.reshape({model.input(0): shape})
            return {_name(each): _plain_shape(each.partial_shape) for each in model.outputs}

    inputs = {_name(each): _plain_shape(each.partial_shape) for each in model.inputs}
    number = model.input(0).element_type.to_dtype().name if inputs else ""
    return Graph(inputs, number, outputs)


def _graph_of_runtime(path: Path) -> Graph:
    session = _session(path)

    def outputs(shape: tuple[int, ...]) -> dict[str, Shape]:
        zeros = np.zeros(shape, dtype=np.float32)
        with _explained(path):
            found = session.run(None, {session.get_inputs()[0].name: zeros})
        names = [each.name for each in session.get_outputs()]
        return {name: each.shape for name, each in zip(names, found, strict=True)}

    inputs = {each.name: _fixed(each.shape) for each in session.get_inputs()}
    kind = session.get_inputs()[0].type.removeprefix("tensor(").removesuffix(")") if inputs else ""
    return Graph(inputs, {"float": "float32"}.get(kind, kind), outputs)


_GRAPHS = {"openvino": _graph_of_openvino, "onnxruntime": _graph_of_runtime}


def _read_by_openvino(path: Path) -> Any:
    with _explained(path):
        return import_openvino().Core().read_model(path)


def _session(path: Path) -> Any:
    runtime = _runtime()
    settings = runtime.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = engine_threads() or 0
    with _explained(path):
        return runtime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])


def _runtime() -> Any:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise MissingExtraError("The onnxruntime engine", "featx[onnx]") from error


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn exceptions of OpenVINO and onnxruntime, which are of many types, into a UsageError."""
    with quiet_stderr(UsageError):
        try:
            yield
        except FeatxError:
            raise
        except Exception as error:
            reason = " ".join(_PREFIXES.sub("", str(error)).split())
            raise UsageError(
                f"the network {path} cannot be read ({reason:.300}). It is damaged, or has "
                "operators or an input size that the library does not support; export it again"
            ) from error


def _name(output: Any) -> str:
    return min(output.get_names(), default="")


def _plain_shape(shape: Any) -> Shape:
    if shape.rank.is_dynamic:
        return ()
    return tuple(n.get_length() if n.is_static else None for n in shape)


def _fixed(shape: list[Any]) -> Shape:
    return tuple(n if isinstance(n, int) else None for n in shape)


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of the digests of it and the files of its weights."""
    own = known_digest(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        names = sorted({name.decode() for name in _external_files(content)})
    names = [f"{path.stem}.bin"] if path.suffix == ".xml" else names
    for name in names:
        data = path.parent / name
        if not data.resolve().is_relative_to(path.parent.resolve()) or not data.is_file():
            raise UsageError(
                f"the network {path} keeps weights in {name!r}, which is not in its folder; copy "
                "that file there, or export the network into one file"
            )
    return joined_digest(own, *(known_digest(path.parent / name) for name in names))


def joined_digest(own: str, *others: str) -> str:
    """Return the SHA-256 of a network by those of its file and the files of its weights."""
    return hashlib.sha256("".join([own, *others]).encode()).hexdigest() if others else own


def _external_files(content: mmap.mmap) -> Iterator[bytes]:
    """Yield the names of files that hold weights of an ONNX model."""
    with suppress(IndexError):
        for start, end in _fields(content, 0, len(content), _EXTERNAL_DATA):
            pair = {number: content[a:b] for number, a, b in _messages(content, start, end)}
            if pair.get(1) == b"location" and 2 in pair:
                yield pair[2]


def _fields(
    content: mmap.mmap, start: int, end: int, path: tuple[int, ...]
) -> Iterator[tuple[int, int]]:
    """Yield where the messages at a path of field numbers begin and end."""
    for number, first, last in _messages(content, start, end):
        if number == path[0] and len(path) == 1:
            yield first, last
        elif number == path[0]:
            yield from _fields(content, first, last, path[1:])


def _messages(content: mmap.mmap, place: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, begin and end of the fields of a message that have a length."""
    while place < end:
        key, place = _varint(content, place)
        kind = key & 7
        if kind == 2:
            length, place = _varint(content, place)
            yield key >> 3, place, place + length
            place += length
        elif kind == 0:
            _, place = _varint(content, place)
        else:
            place += {1: 8, 5: 4}.get(kind, end)


def _varint(content: mmap.mmap, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
