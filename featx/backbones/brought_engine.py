"""Engine of networks that users bring: preprocessing, the network and pooling."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featx.backbones._openvino import OneByOne, cpu_name, openvino_installed
from featx.backbones.brought import Backbone, Network, Pixels
from featx.backbones.engines import as_batch, warn_of_half
from featx.backbones.kept import kept_network
from featx.backbones.pooling import MULTI_DEPTH, pool, pooled_columns
from featx.backbones.registry import HALF
from featx.errors import FeatxError, UsageError
from featx.runtime.versions import chosen_versions

logger = logging.getLogger(__name__)

# Relative to the largest output.
_AGREEMENT = 1e-4

_ROWS_AT_A_TIME = 32

Runner = Callable[[Pixels], Sequence[Pixels]]
"""Function of any number of inputs that returns the outputs of each."""


class BroughtEngine:
    """Features of a brought network."""

    def __init__(
        self, backbone: Backbone, run: Runner, name: str, versions: dict[str, str], pooling: str
    ) -> None:
        self.name = name
        self.backbone = backbone
        self.pooling = pooling
        self.width = len(pooled_columns(backbone, pooling))
        self._run = run
        self._versions = versions

    def embed(self, pixels: npt.NDArray) -> Pixels:
        """Compute one feature vector per image; see `featx.backbones.engines.KerasEngine.embed`."""
        batch = as_batch(pixels, self.backbone.size, self.backbone)
        features = np.empty((len(batch), self.width), dtype=np.float32)
        for start in range(0, len(batch), _ROWS_AT_A_TIME):
            rows = slice(start, start + _ROWS_AT_A_TIME)
            found = self._pooled(self._run(network_inputs(self.backbone, batch[rows])))
            if found.shape[1:] != (self.width,):
                raise FeatxError(
                    f"{self.backbone.name} gives {found.shape[1:]} features per image where its "
                    f"record states {self.width}; correct `features`, or name the output to take"
                )
            features[rows] = found
        return features

    def versions(self) -> dict[str, str]:
        """Return the versions of the libraries that determine the numbers."""
        return self._versions

    def _pooled(self, outputs: Sequence[Pixels]) -> Pixels:
        first = outputs[0]
        if first.ndim == 3:
            own = self.backbone.own_pooling
            how = own if self.pooling == "average" else self.pooling
            skipped = self.backbone.prefix_tokens
            return first[:, 0] if how == "class" else first[:, skipped:].mean(axis=1)
        if first.ndim != 4:
            return first
        maps = list(outputs) if self.pooling == MULTI_DEPTH else [outputs[-1]]
        if self.backbone.layout == "NCHW":
            maps = [np.moveaxis(each, 1, -1) for each in maps]
        return pool(maps, self.pooling)


def make_brought_engine(
    backbone: Backbone,
    engine: str = "auto",
    pooling: str = "average",
    networks: Path | None = None,
    precision: str = "float32",
) -> BroughtEngine:
    """Load a brought network into the named engine, or the first that can run it.

    Converted networks are kept in the folder `networks`.
    """
    half = precision in HALF
    # The network reads from its record what to compute in.
    chosen = replace(backbone, precisions=(precision,)) if half else backbone
    network = backbone.opener(chosen, pooling)
    own = [name for name in backbone.engines if name != "openvino"]
    able = "openvino" in backbone.engines and openvino_installed()
    if engine not in backbone.allowed["engine"]:
        raise UsageError(
            f"{backbone.name} cannot be run by {engine}; give --engine {' or '.join(own)}"
        )
    if engine == "openvino" or (engine == "auto" and able and not half and not network.preferred):
        try:
            decisive = {
                "backbone": {**backbone.card, "name": backbone.name, "size": list(backbone.size)},
                "weights": backbone.digest,
                "pooling": pooling,
                "versions": chosen_versions("featx", "openvino", *network.libraries),
            }
            folder = networks if network.libraries else None
            compiled = kept_network(folder, backbone.name, decisive, network.openvino)
            versions = chosen_versions("openvino")
            # Sums of int8 may saturate, which depends on the CPU.
            versions |= {"cpu": cpu_name()} if backbone.quantized_from else {}
            return BroughtEngine(backbone, compiled.outputs, "openvino", versions, pooling)
        except FeatxError as error:
            if engine == "openvino" or not own:
                raise
            logger.warning(f"{backbone.name} runs on {own[0]}, since {error}")
    if half:
        warn_of_half(backbone, precision, network.preferred)
    run = _in_batches(network)
    return BroughtEngine(backbone, run, own[0], network.versions(), pooling)


def network_inputs(backbone: Backbone, batch: Pixels) -> Pixels:
    """Return pixels, shape (n, height, width, 1 or 3), as the network's input."""
    if batch.shape[-1] < backbone.channels:
        batch = np.repeat(batch, backbone.channels, axis=-1)
    inputs = backbone.preprocessing(batch)
    inputs = np.moveaxis(inputs, -1, 1) if backbone.layout == "NCHW" else inputs
    return np.ascontiguousarray(inputs, dtype=np.float32)


def check_agreement(backbone: Backbone, network: Network, model: object) -> None:
    """Raise a FeatxError unless a converted network agrees with its own library on noise."""
    generator = np.random.Generator(np.random.PCG64(18))
    noise = generator.uniform(0, 255, (2, *backbone.size, 1)).astype(np.float32)
    inputs = network_inputs(backbone, noise)
    pairs = zip(OneByOne(model).outputs(inputs), _in_batches(network)(inputs), strict=True)
    error = max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-12)) for a, b in pairs)
    if not error <= _AGREEMENT:
        raise FeatxError(
            f"its conversion to OpenVINO differs by {error:.1e} of the largest output, and at most "
            f"{_AGREEMENT:.0e} is accepted"
        )


def _in_batches(network: Network) -> Runner:
    """Return a runner of a network's own library that fills each batch."""
    alone = threading.Lock()

    def run(inputs: Pixels) -> list[Pixels]:
        found = []
        for start in range(0, len(inputs), network.batch_size):
            batch = inputs[start : start + network.batch_size]
            missing = network.batch_size - len(batch)
            padded = np.pad(batch, ((0, missing), *((0, 0),) * (batch.ndim - 1)))
            with alone:
                outputs = network.run(padded)
            found.append([np.asarray(each, dtype=np.float32)[: len(batch)] for each in outputs])
        return [np.concatenate(each) for each in zip(*found, strict=True)]

    return run
