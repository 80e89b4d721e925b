import hashlib
import os
import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest

from featx.backbones.torch_file import read_torch_state
from featx.errors import FeatxError

HEADER = [
    0x1950A86A20F9469CFC6C,
    1001,
    {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}},
]


class FloatStorage:
    __module__ = "torch"


class LongStorage:
    __module__ = "torch"


class Tensor:
    """Pickles as PyTorch's tensors do: by a call of ``_rebuild_tensor_v2``."""

    def __init__(self, key, storage, offset, shape, strides):
        self.key, self.storage, self.rest = key, storage, (offset, shape, strides)

    def __reduce__(self):
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (self.StorageHandle(self), *self.rest, False, OrderedDict())

    class StorageHandle:
        def __init__(self, tensor):
            self.tensor = tensor


class TorchPickler(pickle.Pickler):
    def persistent_id(self, obj):
        if not isinstance(obj, Tensor.StorageHandle):
            return None
        values = obj.tensor.storage
        kind = FloatStorage if values.dtype == np.float32 else LongStorage
        return ("storage", kind, obj.tensor.key, "cpu", values.size, None)


@pytest.fixture
def write_torch_file(tmp_path, monkeypatch):
    """A writer of legacy files, with a torch that is no more than its names."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2(*_arguments):
        raise AssertionError("only its name is used")

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = (
        "torch._utils",
        "_rebuild_tensor_v2",
    )
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    torch.FloatStorage, torch.LongStorage, torch._utils = FloatStorage, LongStorage, utils

    def write(state, storages=(), header=HEADER, cut=0):
        path = tmp_path / "state.pth"
        with monkeypatch.context() as patch, path.open("wb") as file:
            patch.setitem(sys.modules, "torch", torch)
            patch.setitem(sys.modules, "torch._utils", utils)
            for part in header:
                pickle.dump(part, file, protocol=2)
            TorchPickler(file, protocol=2).dump(state)
            pickle.dump([key for key, _ in storages], file, protocol=2)
            for _, values in storages:
                file.write(values.size.to_bytes(8, "little") + values.tobytes())
            file.truncate(file.tell() - cut)
        return path, hashlib.sha256(path.read_bytes()).hexdigest()

    return write


def test_tensors_come_back_with_their_offsets_and_strides(write_torch_file):
    numbers, count = np.arange(24, dtype=np.float32), np.array([7], dtype=np.int64)
    state = OrderedDict(
        kernel=Tensor("a", numbers, 0, (2, 3, 4), (12, 4, 1)),
        transposed=Tensor("a", numbers, 2, (3, 2), (1, 5)),
        steps=Tensor("b", count, 0, (), ()),
    )
    path, digest = write_torch_file(state, [("a", numbers), ("b", count)])
    read = read_torch_state(path, digest)
    np.testing.assert_array_equal(read["kernel"], numbers.reshape(2, 3, 4))
    np.testing.assert_array_equal(read["transposed"], [[2, 7], [3, 8], [4, 9]])
    assert read["steps"] == 7
    assert {name: array.dtype.name for name, array in read.items()} == {
        "kernel": "float32",
        "transposed": "float32",
        "steps": "int64",
    }


def test_another_digest_is_refused_before_anything_is_unpickled(write_torch_file):
    path, _ = write_torch_file(OrderedDict())
    with pytest.raises(FeatxError, match=r"state\.pth is damaged or not the published file"):
        read_torch_state(path, "0" * 64)


class Bomb:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_a_malicious_pickle_is_refused_and_not_run(write_torch_file, tmp_path, place):
    trace = tmp_path / "it-ran"
    parts = [*HEADER, OrderedDict()]
    parts[place] = Bomb(os.system, f"touch {trace}")
    path, digest = write_torch_file(parts[3], header=parts[:3])
    # The bomb is a live one: an ordinary unpickler does run it.
    if place == 0:
        with path.open("rb") as file:
            pickle.load(file)
        assert trace.exists()
        trace.unlink()
    with pytest.raises(FeatxError, match=r"refers to (posix|nt)\.system, which no tensor needs"):
        read_torch_state(path, digest)
    assert not trace.exists()


@pytest.mark.parametrize("function", [eval, getattr, __import__])
def test_builtins_are_refused(write_torch_file, function):
    path, digest = write_torch_file(Bomb(function, "1"))
    with pytest.raises(FeatxError, match="which no tensor needs"):
        read_torch_state(path, digest)


def test_a_tensor_cannot_look_beyond_its_storage(write_torch_file):
    numbers = np.arange(6, dtype=np.float32)
    for offset, shape, strides in [
        (0, (7,), (1,)),
        (5, (2,), (1,)),
        (0, (2,), (6,)),
        (5, (2,), (-6,)),
    ]:
        state = OrderedDict(a=Tensor("a", numbers, offset, shape, strides))
        path, digest = write_torch_file(state, [("a", numbers)])
        with pytest.raises(FeatxError, match="reaches beyond its storage"):
            read_torch_state(path, digest)


def test_files_that_end_early_or_are_something_else(write_torch_file, tmp_path):
    numbers = np.arange(6, dtype=np.float32)
    state = OrderedDict(a=Tensor("a", numbers, 0, (6,), (1,)))
    path, digest = write_torch_file(state, [("a", numbers)], cut=5)
    with pytest.raises(FeatxError, match="not a legacy PyTorch file of tensors"):
        read_torch_state(path, digest)
    path, digest = write_torch_file(state, [("a", numbers)], header=[1, 2, HEADER[2]])
    with pytest.raises(FeatxError, match="magic number"):
        read_torch_state(path, digest)
    for content in [b"", b"PK\x03\x04 a zip file"]:
        other = tmp_path / "other.pth"
        other.write_bytes(content)
        with pytest.raises(FeatxError, match=r"other\.pth is not a legacy PyTorch file"):
            read_torch_state(other, hashlib.sha256(content).hexdigest())
