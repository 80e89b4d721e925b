"""Settings that a program around featx may have changed before it calls featx."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageFile, TiffImagePlugin


@dataclass(frozen=True)
class State:
    """A setting with the value that a program gives it."""

    read: Callable[[], Any]
    write: Callable[[Any], object]
    value: Any

    @property
    def is_set(self):
        now = self.read()
        return getattr(now, "name", now) == self.value

    @contextmanager
    def applied(self):
        """Change the setting as the program does, and check that featx leaves it so."""
        before = self.read()
        self.write(self.value)
        try:
            yield
            assert self.is_set
        finally:
            self.write(before)


def attribute(owner, name, value):
    return State(lambda: getattr(owner, name), lambda new: setattr(owner, name, new), value)


def configured(name, value):
    read, write = (getattr(keras.config, each) for each in (name, f"set_{name}"))
    return State(read, write, value)


def graph_options(**options):
    """The options given, as TensorFlow lists them beside those that it always lists."""
    optimizer = tf.config.optimizer
    usual = optimizer.get_experimental_options()

    def write(new):
        optimizer.set_experimental_options(dict.fromkeys(optimizer.get_experimental_options()))
        optimizer.set_experimental_options(new)

    return State(optimizer.get_experimental_options, write, {**usual, **options})


def set_filters(filters):
    warnings.filters[:] = filters


NETWORK_STATES = {
    "dtype policy mixed_float16": configured("dtype_policy", "mixed_float16"),
    "dtype policy mixed_bfloat16": configured("dtype_policy", "mixed_bfloat16"),
    "dtype policy float64": configured("dtype_policy", "float64"),
    "floatx": configured("floatx", "float16"),
    "epsilon": configured("epsilon", 0.1),
    "image_data_format": configured("image_data_format", "channels_first"),
    "max_epochs": configured("max_epochs", 1),
    "max_steps_per_epoch": configured("max_steps_per_epoch", 1),
    "functions run eagerly": State(
        tf.config.functions_run_eagerly, tf.config.run_functions_eagerly, True
    ),
    "automatic mixed precision": graph_options(auto_mixed_precision_onednn_bfloat16=True),
    "unfolded constants": graph_options(constant_folding=False, remapping=False),
    "XLA": State(tf.config.optimizer.get_jit, tf.config.optimizer.set_jit, "autoclustering"),
    "no tensor float 32": State(
        tf.config.experimental.tensor_float_32_execution_enabled,
        tf.config.experimental.enable_tensor_float_32_execution,
        False,
    ),
    "no soft placement": State(
        tf.config.get_soft_device_placement, tf.config.set_soft_device_placement, False
    ),
    "NumPy raises": State(
        np.geterr,
        lambda errors: np.seterr(**errors),
        dict.fromkeys(("divide", "over", "under", "invalid"), "raise"),
    ),
    "warnings are errors": State(
        lambda: list(warnings.filters), set_filters, [("error", None, Warning, None, 0)]
    ),
}
IMAGE_STATES = {
    "OpenCV without vector instructions": State(cv2.useOptimized, cv2.setUseOptimized, False),
    "truncated images": attribute(ImageFile, "LOAD_TRUNCATED_IMAGES", True),
    "few pixels": attribute(Image, "MAX_IMAGE_PIXELS", 1000),
    "unlimited pixels": attribute(Image, "MAX_IMAGE_PIXELS", None),
    "libtiff": attribute(TiffImagePlugin, "READ_LIBTIFF", True),
}
STATES = NETWORK_STATES | IMAGE_STATES

# Further values of settings that another state has.
_OTHER_VALUES = {
    *("dtype policy mixed_bfloat16", "dtype policy float64"),
    *("unfolded constants", "unlimited pixels"),
}


@contextmanager
def all_together(states=STATES):
    """One value of each setting."""
    with ExitStack() as stack:
        for name in sorted(states.keys() - _OTHER_VALUES):
            stack.enter_context(states[name].applied())
        yield
