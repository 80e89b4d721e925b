"""Import PyTorch and the libraries on it, and run their networks; the only place that does."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from featx.backbones._keras import gpu_possible, quiet_stderr
from featx.backbones._openvino import convert_torch
from featx.backbones.brought import Backbone, Pixels
from featx.backbones.brought_engine import check_agreement
from featx.backbones.registry import HALF
from featx.errors import FeatxError, MissingExtraError, UsageError
from featx.runtime.process_state import check_process, note_running, torch_state, warnings_ignored
from featx.runtime.versions import chosen_versions

# A network that PyTorch runs; of its precisions the first is the default.
TorchBackbone = partial(
    Backbone, layout="NCHW", engines=("openvino", "torch"), precisions=("float32", *HALF)
)

Outputs = Callable[[Any, Any], Any]
"""Function of a network and of its input that returns a tensor, or several."""


def import_package(name: str, extra: str) -> Any:
    """Import PyTorch or a library on it, which an extra of featx installs."""
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        raise MissingExtraError(f"A network of {extra}", f"featx[{extra}]")
    check_process()
    with warnings_ignored():
        try:
            return importlib.import_module(name)
        # Parts of PyTorch that do not fit each other raise exceptions of many types.
        except Exception as error:
            raise FeatxError(
                f"{name} cannot be imported ({error}); install versions of torch and torchvision "
                f'that fit each other: pip install --upgrade torch torchvision "featx[{extra}]"'
            ) from error


@contextmanager
def explained(what: str, library: str) -> Iterator[None]:
    """Turn exceptions of a library, which are of many types, into a UsageError."""
    with warnings_ignored(), quiet_stderr(FeatxError):
        try:
            yield
        except FeatxError:
            raise
        except Exception as error:
            raise UsageError(
                f"{what} cannot be opened by {library} ({error!s:.300}); it is damaged, or of "
                f"another version of {library}"
            ) from error


def load_tensors(path: Path, extra: str, classes: Sequence[type] = ()) -> Any:
    """Read a PyTorch file, in which no code but that of tensors and `classes` can run."""
    torch = import_package("torch", extra)
    try:
        with warnings_ignored(), torch.serialization.safe_globals([*classes]):
            return torch.load(path, map_location="cpu", weights_only=True)
    # A pickle that refers to other code, or is none.
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UsageError(
            f"{path} is not a file of tensors that can be read without running its code "
            f"({reason}); save the state dictionary as .safetensors"
        ) from error


def outline(make: Callable[[], Any]) -> Any:
    """Build a network without memory and weights, of which shapes alone can be computed."""
    torch = importlib.import_module("torch")
    with torch_state(), torch.device("meta"):
        return make().eval()


def shapes_of(network: Any, outputs: Outputs, shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the shapes of an outlined network's outputs for one image, without the first axis."""
    torch = importlib.import_module("torch")
    with torch_state(), torch.inference_mode(), torch.device("meta"):
        found = outputs(network, torch.empty((1, *shape)))
    return [tuple(each.shape[1:]) for each in _several(found)]


class TorchNetwork:
    """A module of PyTorch as a network, loaded when it is needed: on a GPU, if there is one."""

    def __init__(
        self,
        backbone: Backbone,
        load: Callable[[Path], Any],
        outputs: Outputs,
        libraries: Sequence[str],
    ) -> None:
        self._backbone = backbone
        self._load = load
        self._outputs = outputs
        self.libraries = ("torch", *libraries)

    @cached_property
    def preferred(self) -> bool:
        """Whether PyTorch finds a GPU."""
        return gpu_possible() and bool(importlib.import_module("torch").cuda.is_available())

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""
        return 32 if self.preferred else 8

    @cached_property
    def _module(self) -> Any:
        backbone = self._backbone
        if backbone.path is None:
            raise FeatxError(f"{backbone.name} has no file; name it again")
        with explained(f"the weights {backbone.path} of {backbone.title}", self.libraries[1]):
            module = self._load(backbone.path)
        whole = _module(module, self._outputs).float().eval().requires_grad_(False)
        return whole.to(self._device)

    @property
    def _device(self) -> str:
        return "cuda" if self.preferred else "cpu"

    def run(self, inputs: Pixels) -> list[Pixels]:
        """Compute a batch."""
        check_process()
        module, torch = self._module, importlib.import_module("torch")
        # The engine narrows the record to the precision of this run.
        precision = self._backbone.precisions[0]
        short = {"dtype": getattr(torch, precision)} if precision in HALF else {"enabled": False}
        with torch_state(), torch.inference_mode(), torch.autocast(self._device, **short):
            found = module(torch.from_numpy(inputs).to(self._device))
        note_running("PyTorch")
        return [each.float().cpu().numpy() for each in found]

    def openvino(self) -> Any:
        """Convert the module to OpenVINO, for one image."""
        backbone = self._backbone
        shape = (1, backbone.channels, *backbone.size)
        example = importlib.import_module("torch").zeros(shape, device=self._device)
        with torch_state():
            model = convert_torch(self._module, example)
        check_agreement(backbone, self, model)
        return model

    def versions(self) -> dict[str, str]:
        """Return the versions of PyTorch and of the libraries on it."""
        return chosen_versions(*self.libraries)


def _several(found: Any) -> list[Any]:
    return list(found) if isinstance(found, list | tuple) else [found]


def _module(network: Any, outputs: Outputs) -> Any:
    module_class: Any = importlib.import_module("torch").nn.Module

    class Chosen(module_class):
        """Module of the outputs that are pooled."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixels: Any) -> Any:
            return tuple(_several(outputs(self.network, pixels)))

    return Chosen()
