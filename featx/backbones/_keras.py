"""Import Keras; the only place that does."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

__all__ = ["import_keras", "quiet_stderr"]


def import_keras() -> ModuleType:
    """Import Keras without the start-up messages of its back end."""
    if "keras" not in sys.modules:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = os.environ.get("TF_CPP_MIN_LOG_LEVEL") or "3"
        with quiet_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("keras")
            _initialize_tensorflow()
    return importlib.import_module("keras")


def _initialize_tensorflow() -> None:
    """Initialize TensorFlow's runtime, which writes messages on first use."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None:
        tensorflow.zeros(())
        # From the fifth network on it warns of retracing.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what C++ libraries write to standard error; show it if the block fails.

    They write to file descriptor 2 before their log levels apply, so the descriptor itself is
    redirected.
    """
    # Daemons have neither stream nor descriptor.
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
