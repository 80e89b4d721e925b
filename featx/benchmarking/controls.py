"""Shortcut controls: features with little or no anatomical information.

If a control comes near the best model, the data set has a shortcut, which that model may use too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from featx.backbones.brought import Backbone
from featx.backbones.registry import get_backbone, split_precision
from featx.backbones.tuned import TUNED
from featx.benchmarking.data import Features, TrainTestData
from featx.benchmarking.embedding import Embedder
from featx.benchmarking.evaluation import Evaluation, ModelEvaluator
from featx.benchmarking.robustness import degraded
from featx.benchmarking.tuned_rows import TunedData
from featx.datasets.dataset import ImageDataset
from featx.errors import UnreadableImageError, UsageError
from featx.features.columns import matrix_of
from featx.features.matrix import FeatureMatrix
from featx.images.degradation import BLACKED_OUT
from featx.images.sources import describe
from featx.runtime.parallel import map_with_progress

_BINS = 64

PERMUTED = "permuted labels"
"""Name of the control whose labels are exchanged between patients."""


KnownRows = dict[tuple[str, int], npt.NDArray[np.float32] | None]
"""Features by control and identity of the source of an image; None if unreadable."""


def control_matrix(
    images: ImageDataset, name: str, known: KnownRows | None = None
) -> FeatureMatrix:
    """Compute a control's features of images, except those that are known.

    Examples
    --------
    >>> images = ImageDataset.from_arrays(np.zeros((2, 8, 8), np.uint8))
    >>> control_matrix(images, "histogram").X[:, 0]
    array([1., 1.], dtype=float32)
    """
    known = {} if known is None else known
    keys = [(name, id(source)) for source in images.sources]
    missing = [index for index, key in enumerate(keys) if key not in known]
    found = map_with_progress(partial(_describe, images, name), missing, f"Control: {name}")
    known |= {keys[index]: row for index, row in zip(missing, found, strict=True)}
    rows = [known[key] for key in keys]
    kept = [index for index, row in enumerate(rows) if row is not None]
    chosen = images.select(kept)
    recipe = {"backbone": f"control-{name}", "format": 1}
    return matrix_of(chosen, np.array([rows[index] for index in kept], dtype=np.float32), recipe)


def _describe(images: ImageDataset, name: str, index: int) -> npt.NDArray[np.float32] | None:
    try:
        return np.array(CONTROLS[name](images, index), dtype=np.float32)
    except UnreadableImageError:
        return None


def _histogram(images: ImageDataset, index: int) -> list[float]:
    pixels = images.read(index)
    counts, _ = np.histogram(pixels, bins=_BINS, range=(0, 255))
    return (counts / pixels.size).tolist()


def _metadata(images: ImageDataset, index: int) -> list[float]:
    height, width = images.read(index).shape[:2]
    size, channels = describe(images.sources[index])
    return [
        height,
        width,
        width / height,
        np.log(height * width),
        np.log1p(size),
        size / (height * width),
        channels,
    ]


CONTROLS: dict[str, Callable[[ImageDataset, int], list[float]]] = {
    "histogram": _histogram,
    "metadata": _metadata,
}


def permute_labels(
    features: TrainTestData[FeatureMatrix], random_state: int
) -> TrainTestData[FeatureMatrix]:
    """Exchange labels between patients, who keep one label in training and test.

    Patients of the same sets (training, test, external ones) exchange them among each other. A
    model can rank such images only if it knows them or their patients from training.
    """
    sets = [features.train, *features.evaluated.values()]
    patients = np.concatenate([each.patients for each in sets])
    names, first, number = np.unique(patients, return_index=True, return_inverse=True)
    labels = np.concatenate([each.labels for each in sets])[first]
    sides = sum(2**place * np.isin(names, each.patients) for place, each in enumerate(sets))
    generator = np.random.default_rng(random_state)
    for side in np.unique(sides):
        labels[sides == side] = generator.permutation(labels[sides == side])
    parts = np.split(labels[number], np.cumsum([each.n_images for each in sets])[:-1])
    train, test, *others = (
        replace(each, labels=part) for each, part in zip(sets, parts, strict=True)
    )
    return TrainTestData(train, test, dict(zip(features.externals, others, strict=True)))


logger = logging.getLogger(__name__)


@dataclass
class ControlRows:
    """Evaluates the controls of one run."""

    evaluator: ModelEvaluator
    images: TrainTestData[ImageDataset]
    embedder: Embedder
    known: KnownRows = field(default_factory=dict)

    def matrix(self, images: ImageDataset, name: str) -> FeatureMatrix:
        """Compute a control's features of images, each of which is read once in a run."""
        return control_matrix(images, name, self.known)

    def evaluate(self) -> Iterator[Evaluation]:
        """Evaluate controls that use a network, then those without one."""
        if self.embedder.config.row_backbones:
            yield from self._of_network()
        for name in CONTROLS:
            yield from self._row(name, self.images.map(partial(self.matrix, name=name)))

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
