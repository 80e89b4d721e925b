"""Read tensors from a legacy PyTorch file (before 1.6), without PyTorch or running its code.

Such a file is five pickles in a row (magic number, protocol, system, the state dictionary, the
keys of its storages), then each storage as an 8-byte count and its raw numbers. Unpickling can
run any code, so only the four names that a state dictionary needs are allowed.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from featx.errors import FeatxError
from featx.runtime.files import file_digest

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001
_STORAGE_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def read_torch_state(path: Path, sha256: str) -> dict[str, np.ndarray]:
    """Read a state dictionary from a legacy PyTorch file."""
    digest = file_digest(path)
    if digest != sha256:
        raise FeatxError(
            f"{path} is damaged or not the published file: its SHA-256 is {digest}, "
            f"expected {sha256}. Reinstall its package, or pass another file."
        )
    with path.open("rb") as file:
        try:
            return _read_state(file)
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError) as error:
            raise FeatxError(f"{path} is not a legacy PyTorch file of tensors: {error}") from error


def _read_state(file: BinaryIO) -> dict[str, np.ndarray]:
    header = [_RestrictedUnpickler(file).load() for _ in range(2)]
    if header != [_MAGIC_NUMBER, _PROTOCOL_VERSION]:
        raise ValueError("it does not begin with PyTorch's magic number")
    if not _RestrictedUnpickler(file).load()["little_endian"]:
        raise ValueError("it was written on a big-endian machine")
    unpickler = _RestrictedUnpickler(file)
    tensors: dict[str, _Tensor] = unpickler.load()
    for key in _RestrictedUnpickler(file).load():
        unpickler.storages[key].fill(file)
    return {name: tensor.to_array() for name, tensor in tensors.items()}


@dataclass
class _Storage:
    """Numbers that tensors are views of; read after the pickles."""

    dtype: np.dtype
    size: int
    values: np.ndarray = field(default_factory=lambda: np.empty(0))

    def fill(self, file: BinaryIO) -> None:
        count = int.from_bytes(file.read(8), "little")
        if count != self.size:
            raise ValueError(f"a storage holds {count} numbers instead of {self.size}")
        self.values = np.frombuffer(file.read(count * self.dtype.itemsize), dtype=self.dtype)
        if len(self.values) != count:
            raise ValueError("it ends early")


@dataclass
class _Tensor:
    """Strided view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def to_array(self) -> np.ndarray:
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if min((*self.shape, *self.strides, self.offset + 1), default=1) < 0 or (
            last >= len(self.storage.values)
        ):
            raise ValueError("a tensor reaches beyond its storage")
        item = self.storage.dtype.itemsize
        view = np.lib.stride_tricks.as_strided(
            self.storage.values[self.offset :],
            shape=self.shape,
            strides=tuple(stride * item for stride in self.strides),
            writeable=False,
        )
        return np.ascontiguousarray(view).reshape(self.shape)


def _rebuild_tensor(
    storage: _Storage,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    _requires_grad: bool,
    _backward_hooks: object,
) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


class _RestrictedUnpickler(pickle.Unpickler):
    """Unpickler that allows tensors only."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGE_DTYPES:
            return _STORAGE_DTYPES[name]
        known: dict[tuple[str, str], Callable] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which no tensor needs")
        return known[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _device, size, view = pid
        if kind != "storage" or view is not None:
            raise pickle.UnpicklingError(f"it holds a {kind}, which is not a plain storage")
        return self.storages.setdefault(key, _Storage(dtype, size))
