"""Process-wide state that may change a number: set while featx computes, or checked.

The program around featx may have changed settings of Keras, TensorFlow, OpenCV, Pillow or NumPy
that decide numbers and are in no recipe. `image_state` and `network_state` hold them at featx's
values and restore the program's. What a library reads once, as it is loaded, is refused where it
changes features, and part of the cache's drift check where it changes their rounding.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, TextIO

from featx.errors import FeatxError, UsageError


@dataclass(frozen=True, eq=False)
class _Setting:
    """A setting of a module, held at one value; skipped while the module is not imported."""

    module: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], object]
    value: Any
    per_thread: bool = False
    # Libraries change it themselves for moments, whose values are not to be restored.
    fleeting: bool = False


def _attribute(module: str, name: str, value: Any) -> _Setting:
    return _Setting(
        module,
        lambda owner: getattr(owner, name),
        lambda owner, new: setattr(owner, name, new),
        value,
    )


def _called(module: str, read: str, write: str, value: Any) -> _Setting:
    """Return a setting that one function of a module returns, and another sets."""
    return _Setting(
        module,
        lambda owner: attrgetter(read)(owner)(),
        lambda owner, new: attrgetter(write)(owner)(new),
        value,
    )


def _keras(name: str, value: Any, *, per_thread: bool = False) -> _Setting:
    def read(keras: Any) -> Any:
        # Earlier versions lack some settings.
        return getattr(keras.config, name, lambda: value)()

    def write(keras: Any, new: Any) -> None:
        getattr(keras.config, f"set_{name}")(new)

    return _Setting("keras", read, write, value, per_thread)


def _read_graph_options(tensorflow: Any) -> dict[str, Any]:
    options = tensorflow.config.optimizer.get_experimental_options()
    # TensorFlow lists these also where nothing was set.
    usual = {"disable_model_pruning": False, "disable_meta_optimizer": False}
    return {name: value for name, value in options.items() if usual.get(name) is not value}


def _write_graph_options(tensorflow: Any, options: dict[str, Any]) -> None:
    optimizer = tensorflow.config.optimizer
    defaults = dict.fromkeys(optimizer.get_experimental_options())
    optimizer.set_experimental_options({**defaults, **options})


_WARNINGS = _Setting(
    # Libraries warn of their own past and of odd metadata, which `python -W error` would raise.
    "warnings",
    lambda warnings: list(warnings.filters),
    lambda warnings, filters: warnings.filters.__setitem__(slice(None), filters),
    [("ignore", None, Warning, None, 0)],
    fleeting=True,
)
_FLOATING_POINT = _Setting(
    # With "raise", an underflow to zero would end the run.
    "numpy",
    lambda numpy: numpy.geterr(),
    lambda numpy, errors: numpy.seterr(**errors),
    {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"},
    per_thread=True,
)

_IMAGE_SETTINGS = (
    _FLOATING_POINT,
    # Pads images that were cut short with gray, in place of an error.
    _attribute("PIL.ImageFile", "LOAD_TRUNCATED_IMAGES", False),
    # Refuses images that featx reads; Pillow's own default exceeds `LARGEST_PIXELS`.
    _attribute("PIL.Image", "MAX_IMAGE_PIXELS", 89_478_485),
    # Decides which of two decoders reads TIFF without compression.
    _attribute("PIL.TiffImagePlugin", "READ_LIBTIFF", False),
    # Without vector instructions, warps round differently.
    _called("cv2", "useOptimized", "setUseOptimized", True),
)

_DTYPE_POLICY = _keras("dtype_policy", "float32", per_thread=True)
_TORCH_SETTINGS = (
    _called("torch", "get_float32_matmul_precision", "set_float32_matmul_precision", "highest"),
    # On GPUs of 2020 and later, convolutions of 10 bits.
    _attribute("torch.backends.cudnn", "allow_tf32", False),
    # Of tensors that networks make themselves.
    _Setting(
        "torch",
        lambda torch: str(torch.get_default_dtype()).removeprefix("torch."),
        lambda torch, name: torch.set_default_dtype(getattr(torch, name)),
        "float32",
    ),
)
_NETWORK_SETTINGS = (
    _WARNINGS,
    _FLOATING_POINT,
    # TensorFlow warns of retracing from the fifth network on.
    _Setting(
        "logging",
        lambda logging: logging.getLogger("tensorflow").level,
        lambda logging, level: logging.getLogger("tensorflow").setLevel(level),
        logging.ERROR,
    ),
    # Type of inputs and of layers without a policy.
    _keras("floatx", "float32"),
    # Kernels are of channels-last images.
    _keras("image_data_format", "channels_last"),
    # In losses, normalizations and metrics.
    _keras("epsilon", 1e-7),
    # Limits for debugging, which would cut a training short.
    _keras("max_epochs", None),
    _keras("max_steps_per_epoch", None),
    # Without graphs, TensorFlow does not fold batch normalization into convolutions.
    _called("tensorflow", "config.functions_run_eagerly", "config.run_functions_eagerly", False),
    # Automatic mixed precision and other rewritings of graphs.
    _Setting("tensorflow", _read_graph_options, _write_graph_options, {}),
    # Clusters of operations compiled by XLA are rounded differently.
    _called("tensorflow", "config.optimizer.get_jit", "config.optimizer.set_jit", ""),
    # On GPUs of 2020 and later, products of 10 bits: TensorFlow's default, as cached rows have it.
    _called(
        "tensorflow",
        "config.experimental.tensor_float_32_execution_enabled",
        "config.experimental.enable_tensor_float_32_execution",
        True,
    ),
    # Operations that a device lacks run on the CPU, where they would fail.
    _called(
        "tensorflow", "config.get_soft_device_placement", "config.set_soft_device_placement", True
    ),
    # The same of Keras' other back ends.
    _Setting(
        "jax",
        lambda jax: jax.config.jax_disable_jit,
        lambda jax, off: jax.config.update("jax_disable_jit", off),
        False,
    ),
    _Setting(
        "jax",
        lambda jax: jax.config.jax_default_matmul_precision,
        lambda jax, precision: jax.config.update("jax_default_matmul_precision", precision),
        None,
    ),
    *_TORCH_SETTINGS,
)

# OpenVINO asks for classes of `tf.keras`, which TF_USE_LEGACY_KERAS makes another package.
_KERAS_OF_TENSORFLOW = _attribute("tensorflow", "keras", None)

# Read once by libraries as they are loaded. These have oneDNN compute float32 in short floats.
_REFUSED_VARIABLES = (
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "TF_SET_ONEDNN_FPMATH_MODE",
)
# These choose between kernels that differ in rounding; with the value that changes nothing.
_ROUNDING_VARIABLES = {
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "TF_XLA_FLAGS": "",
    "XLA_FLAGS": "",
    "ONEDNN_MAX_CPU_ISA": "",
    "DNNL_MAX_CPU_ISA": "",
    "OPENCV_CPU_DISABLE": "",
    "NVIDIA_TF32_OVERRIDE": "",
}

_lock = threading.Lock()
_holders: Counter[_Setting] = Counter()
# The program's own values, while ours are set.
_before: dict[_Setting, Any] = {}
# Libraries of which networks run in this process, and those that ran before it was forked.
_running: set[str] = set()
_lost: set[str] = set()


@contextmanager
def image_state() -> Iterator[None]:
    """Hold the settings that decide pixels; also a decorator."""
    with _held(*_IMAGE_SETTINGS):
        yield


@contextmanager
def network_state(policy: str = "float32") -> Iterator[None]:
    """Hold the settings that decide what a network computes, in Keras' dtype policy `policy`.

    Keras must have been imported; also a decorator.
    """
    check_process()
    _check_tensorflow()
    with _held(*_NETWORK_SETTINGS, replace(_DTYPE_POLICY, value=policy)):
        yield


@contextmanager
def torch_state() -> Iterator[None]:
    """Hold the settings that decide what a network of PyTorch computes, and ignore its warnings."""
    with _held(_WARNINGS, *_TORCH_SETTINGS):
        yield


@contextmanager
def conversion_state() -> Iterator[None]:
    """Hold the settings that decide whether OpenVINO can convert a Keras model."""
    with _held(_WARNINGS, replace(_KERAS_OF_TENSORFLOW, value=sys.modules["keras"])):
        yield


def warnings_ignored() -> AbstractContextManager[None]:
    """Ignore warnings, also in several threads at once, unlike `warnings.catch_warnings`."""
    return _held(_WARNINGS)


@contextmanager
def _held(*settings: _Setting) -> Iterator[None]:
    taken = []
    try:
        for setting in settings:
            if module := sys.modules.get(setting.module):
                taken.append((setting, module, _take(setting, module)))
        yield
    finally:
        for setting, module, own in reversed(taken):
            _give_back(setting, module, own)


def _take(setting: _Setting, module: Any) -> Any:
    """Set a setting; return this thread's former value of one that each thread has."""
    if setting.per_thread:
        own = setting.read(module)
        setting.write(module, setting.value)
        return own
    with _lock:
        # Each holder looks anew: the program may have changed the setting in the meantime.
        now = setting.read(module)
        if now != setting.value:
            if not (setting.fleeting and _holders[setting]):
                _before[setting] = now
            setting.write(module, setting.value)
        _holders[setting] += 1
    return None


def _give_back(setting: _Setting, module: Any, own: Any) -> None:
    """Restore a setting; one that threads share when its last holder leaves."""
    if setting.per_thread:
        setting.write(module, own)
        return
    with _lock:
        _holders[setting] -= 1
        if not _holders[setting] and setting in _before:
            setting.write(module, _before.pop(setting))


def _check_tensorflow() -> None:
    """Raise an error where TensorFlow builds graphs of its first version, or debugs operations."""
    if sys.modules["keras"].config.backend() != "tensorflow":
        return
    if not sys.modules["tensorflow"].executing_eagerly():
        raise FeatxError(
            "TensorFlow runs without eager execution, which featx needs: call featx outside "
            "tf.Graph().as_default(), and in a process without "
            "tf.compat.v1.disable_eager_execution() or disable_v2_behavior()"
        )
    if getattr(_tensorflow_context(), "op_callbacks", None):
        raise FeatxError(
            "TensorFlow's debugging changes what networks compute; call "
            "tf.debugging.disable_check_numerics(), or "
            "tf.debugging.experimental.disable_dump_debug_info(), before featx"
        )


def _tensorflow_context() -> Any:
    module = sys.modules.get("tensorflow.python.eager.context")
    return None if module is None else module.context_safe()


def check_process() -> None:
    """Raise an error where this process cannot compute features, or not those of the recipe."""
    if _lost:
        raise FeatxError(
            f"this process was forked after {' and '.join(sorted(_lost))} had run in its parent, "
            "whose threads it would wait for forever; start it with "
            "multiprocessing.get_context('spawn'), or extract the features before the fork: rows "
            "in the cache need no network"
        )
    for name in _REFUSED_VARIABLES:
        value = os.environ.get(name, "")
        if value.upper() not in ("", "STRICT"):
            raise UsageError(
                f"${name} is {value!r}, by which networks compute float32 in short floats: "
                "features would differ by several percent; unset it"
            )


def note_running(library: str) -> None:
    """Note that a library's threads run, which a forked process will lack."""
    _running.add(library)


@contextmanager
def environment_variable(name: str, value: str) -> Iterator[None]:
    """Set an environment variable within a block, and restore it."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def rounding_variables() -> dict[str, str]:
    """Return the environment variables that change the rounding of features, where they are set."""
    given = {name: os.environ.get(name, "") for name in _ROUNDING_VARIABLES}
    return {
        f"${name}": value
        for name, value in given.items()
        if value and value != _ROUNDING_VARIABLES[name]
    }


def usable_stderr() -> TextIO | None:
    """Return standard error, or None where it is missing or closed (daemons, pythonw)."""
    stream = sys.stderr
    return None if stream is None or getattr(stream, "closed", False) else stream


def occupy_standard_descriptors() -> None:
    """Open the null device at standard descriptors that are closed.

    A data file would otherwise get their numbers, and C++ libraries write messages to 1 and 2.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The system gives the lowest free number.
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDWR)


def _start_forked() -> None:
    """In a forked process: note whose threads are gone, and restore the program's settings."""
    global _lock
    _lock = threading.Lock()
    for setting, before in _before.items():
        setting.write(sys.modules[setting.module], before)
    _before.clear()
    _holders.clear()
    _lost.update(_running)
    if _tensorflow_started():
        _lost.add("TensorFlow")


def _tensorflow_started() -> bool:
    return getattr(_tensorflow_context(), "_context_handle", None) is not None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_forked)
    # Where featx is first imported after the fork: TensorFlow had some ten threads.
    tasks = Path("/proc/self/task")
    if _tensorflow_started() and tasks.is_dir() and len(list(tasks.iterdir())) == 1:
        _start_forked()
