"""Import OpenVINO and NNCF, without their messages and telemetry; the only place that does."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.backbones._keras import quiet_stderr
from featx.errors import FeatxError, UsageError
from featx.runtime.parallel import engine_threads
from featx.runtime.process_state import (
    check_process,
    conversion_state,
    environment_variable,
    note_running,
)


class OneByOne:
    """A network on the CPU that runs single images, several at a time on separate cores."""

    def __init__(self, network: Any) -> None:
        check_process()
        openvino = import_openvino()
        settings = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
        if threads := engine_threads():
            # Processes that share the machine must not be pinned to the same core.
            settings |= {"INFERENCE_NUM_THREADS": str(threads), "ENABLE_CPU_PINNING": "NO"}
        compiled = openvino.Core().compile_model(network, "CPU", settings)
        note_running("OpenVINO")
        self._shapes = [tuple(output.shape[1:]) for output in compiled.outputs]
        self._make_requests = partial(openvino.AsyncInferQueue, compiled)
        self._idle: list[Any] = []

    def outputs(self, pixels: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        """Run the network on inputs of shape (n, ...); each output has such a shape, too."""
        check_process()
        found = [np.empty((len(pixels), *shape), dtype=np.float32) for shape in self._shapes]
        try:
            requests = self._idle.pop()
        except IndexError:
            requests = self._make_requests()

        def keep(request: Any, row: int) -> None:
            for number, rows in enumerate(found):
                rows[row] = request.get_output_tensor(number).data[0]

        requests.set_callback(keep)
        for row, image in enumerate(pixels):
            requests.start_async({0: image[None]}, userdata=row)
        requests.wait_all()
        self._idle.append(requests)
        return found


def openvino_installed() -> bool:
    """Return whether OpenVINO is installed, without importing it."""
    return importlib.util.find_spec("openvino") is not None


def import_openvino() -> ModuleType:
    """Import OpenVINO with its telemetry disabled."""
    with _without_telemetry():
        return importlib.import_module("openvino")


def cpu_name() -> str:
    """Return the name of the CPU."""
    return str(import_openvino().Core().get_property("CPU", "FULL_DEVICE_NAME"))


def convert(model: Any) -> Any:
    """Convert a Keras model on TensorFlow to OpenVINO, for batches of one image."""
    if sys.flags.optimize > 1:
        raise UsageError(
            "the openvino engine cannot load a network under python -OO ($PYTHONOPTIMIZE=2), "
            "which removes the docstrings that OpenVINO's converter reads; use python -O, or "
            "--engine keras"
        )
    tensorflow = sys.modules["tensorflow"]
    signature = tensorflow.TensorSpec((1, *model.input_shape[1:]), tensorflow.float32)
    traced = tensorflow.function(
        lambda pixels: model(pixels, training=False), input_signature=[signature], autograph=False
    )
    with (
        conversion_state(),
        quiet_stderr(),
        _without_telemetry(),
        _without_environment_check(),
    ):
        return import_openvino().convert_model(traced)


def convert_torch(module: Any, example: Any) -> Any:
    """Convert a PyTorch module to OpenVINO, for the shape of the example; FeatxError if none."""
    try:
        with quiet_stderr(Exception), quiet_and_private():
            return import_openvino().convert_model(
                module, example_input=example, input=tuple(example.shape)
            )
    # The converter raises exceptions of many types.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise FeatxError(f"OpenVINO cannot convert it ({reason})") from error


@contextmanager
def quiet_and_private() -> Iterator[None]:
    """Suppress NNCF's output and telemetry."""
    with quiet_stderr(), contextlib.redirect_stdout(io.StringIO()), _without_telemetry():
        yield


def _without_telemetry() -> AbstractContextManager[None]:
    """Disable OpenVINO's reports of its use to Google Analytics.

    They are on by default. Posing as continuous integration leaves the user's own choice, a file
    in the home directory, unchanged.
    """
    return environment_variable("CI", "true")


@contextmanager
def _without_environment_check() -> Iterator[None]:
    """Skip OpenVINO's check of TensorFlow's version, which raises NameError on Python 3.13.

    It imports with one ``exec`` and deletes the name with another; they no longer share their
    locals (PEP 667).
    """
    module: Any = importlib.import_module("openvino.frontend.tensorflow.utils")
    check = module.get_environment_setup
    version = sys.modules["tensorflow"].__version__
    module.get_environment_setup = lambda _: {"tensorflow": version}
    try:
        yield
    finally:
        module.get_environment_setup = check
