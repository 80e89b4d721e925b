"""Import Keras; the only place that does."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from featx.errors import FeatxError, UsageError, unknown_name
from featx.runtime.process_state import (
    check_process,
    environment_variable,
    occupy_standard_descriptors,
    rounding_variables,
    usable_stderr,
    warnings_ignored,
)

# Keras has further back ends, which do not train.
_BACKENDS = ("tensorflow", "jax", "torch")


def import_keras() -> ModuleType:
    """Import Keras without the start-up messages of its back end."""
    if "keras" not in sys.modules:
        check_process()
        _check_backend(*_chosen_backend())
        occupy_standard_descriptors()
        # TensorFlow's C++ reads it as it is loaded: log errors only.
        level = os.environ.get("TF_CPP_MIN_LOG_LEVEL") or "3"
        quiet = environment_variable("TF_CPP_MIN_LOG_LEVEL", level)
        # Of flags that it does not know, TensorFlow ends the process with a message.
        held = contextlib.nullcontext() if rounding_variables() else quiet_stderr()
        with quiet, held, warnings_ignored():
            try:
                importlib.import_module("keras")
            except Exception as error:
                raise FeatxError(_explain(error)) from error
            # TensorFlow's runtime writes messages on first use.
            if "tensorflow" in sys.modules:
                sys.modules["tensorflow"].zeros(())
    keras = importlib.import_module("keras")
    if keras.config.backend() not in _BACKENDS:
        _check_backend(keras.config.backend(), "the Keras that this process imported")
    return keras


def keras_backend() -> str:
    """Return the name of Keras' back end, without importing it."""
    keras = sys.modules.get("keras")
    return _chosen_backend()[0] if keras is None else str(keras.config.backend())


def gpu_possible() -> bool:
    """Return whether TensorFlow may find a GPU: NVIDIA's, AMD's, Windows', or a plug-in's."""
    devices = (Path("/dev").glob(pattern) for pattern in ("nvidia*", "kfd", "dxg"))
    return any(map(any, devices)) or importlib.util.find_spec("tensorflow-plugins") is not None


def _chosen_backend() -> tuple[str, str]:
    """Return the name of the back end that Keras will import, and where it was chosen."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name, "$KERAS_BACKEND"
    path = keras_home() / "keras.json"
    try:
        return str(json.loads(path.read_bytes())["backend"]), f'"backend" in {path}'
    except (OSError, ValueError, LookupError, TypeError):
        return "tensorflow", "Keras' default"


def keras_home() -> Path:
    """Return the folder of Keras' settings and downloads, without importing Keras."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()


def _check_backend(name: str, where: str) -> None:
    if name not in _BACKENDS:
        raise UsageError(f"{where}: {unknown_name('Keras back end for featx', name, _BACKENDS)}")
    if importlib.util.find_spec(name) is None:
        raise UsageError(
            f"{where} is {name!r}, which is not installed: pip install {name}, or choose another "
            f"back end ({', '.join(_BACKENDS)}) with $KERAS_BACKEND"
        )


# Of the dynamic loader and of the system.
_NO_MEMORY = ("failed to map segment", "Cannot allocate memory")


def _explain(error: Exception) -> str:
    given = [f"${name}={value}" for name, value in os.environ.items() if name.startswith("KERAS_")]
    reason = str(error).partition("\n")[0] or type(error).__name__
    if any(text in reason for text in _NO_MEMORY):
        return (
            f"memory ran out while Keras was imported ({reason}); close other programs, or raise "
            "the limit of memory (ulimit -v)"
        )
    settings = ", ".join([*sorted(given), str(keras_home() / "keras.json")])
    return f"Keras cannot be imported ({reason}); check its settings: {settings}"


@contextmanager
def quiet_stderr(*explained: type[Exception]) -> Iterator[None]:
    """Hold back what C++ libraries write to standard error; show it if the block fails.

    It is not shown for exceptions of the given types, whose messages say enough. Libraries write to
    file descriptor 2 before their log levels apply, so the descriptor itself is redirected.
    """
    if stream := usable_stderr():
        stream.flush()
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except explained:
            raise
        except BaseException:
            os.dup2(kept, 2)
            held.seek(0)
            # A daemon's terminal may be gone.
            with contextlib.suppress(OSError):
                os.write(2, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
