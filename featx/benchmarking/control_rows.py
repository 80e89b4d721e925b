"""Rows of shortcut controls."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from featx.backbones.brought import Backbone
from featx.backbones.registry import get_backbone, split_precision
from featx.backbones.tuned import TUNED
from featx.benchmarking.controls import (
    CONTROLS,
    PERMUTED,
    KnownRows,
    control_matrix,
    permute_labels,
)
from featx.benchmarking.data import Features, TrainTestData
from featx.benchmarking.embedding import Embedder
from featx.benchmarking.evaluation import Evaluation, ModelEvaluator
from featx.benchmarking.robustness import degraded
from featx.benchmarking.tuned_rows import TunedData
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.features.matrix import FeatureMatrix
from featx.images.degradation import BLACKED_OUT

logger = logging.getLogger(__name__)


@dataclass
class ControlRows:
    """Evaluates the controls of one run."""

    evaluator: ModelEvaluator
    images: TrainTestData[ImageDataset]
    embedder: Embedder
    known: KnownRows = field(default_factory=dict)

    @cached_property
    def train(self) -> dict[str, FeatureMatrix]:
        """Features of the training images for controls and internal shifts, each read once."""
        return {name: control_matrix(self.images.train, name, self.known) for name in CONTROLS}

    def evaluate(self) -> Iterator[Evaluation]:
        """Evaluate controls that use a network, then those without one."""
        if self.embedder.config.row_backbones:
            yield from self._of_network()
        for name in CONTROLS:
            others = {
                other: control_matrix(each, name, self.known)
                for other, each in self.images.externals.items()
            }
            test = control_matrix(self.images.test, name, self.known)
            yield from self._row(name, TrainTestData(self.train[name], test, others))

    def _of_network(self) -> Iterator[Evaluation]:
        config = self.embedder.config
        backbone = config.row_backbones[0].split("+")[0].removeprefix(TUNED)
        name = split_precision(backbone)[0][0]
        network = TunedData(self.images, (name,))
        embed = partial(self.embedder.embed_sets, backbone, views=1)
        if isinstance(get_backbone(name), Backbone):
            logger.info(f"The control 'random weights' is left out: {name} has no others.")
        elif config.extraction.weights != "random":
            yield from self._row("random weights", embed(network, weights="random"))
        for name in BLACKED_OUT:
            black = self.images.map(partial(degraded, name=name, grade=1))
            yield from self._row(name, embed(replace(network, images=black)))
        yield from self._row(PERMUTED, permute_labels(embed(network), config.random_state))

    def _row(self, name: str, features: Features) -> Iterator[Evaluation]:
        try:
            yield self.evaluator.evaluate_frozen(name, "logistic", features, "control")
        except UsageError as error:
            logger.info(f"The control {name!r} is left out: {error}.")
