"""Features of the images of a run, for its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.data import Features, TrainTestData
from featx.benchmarking.tuned_rows import TunedData
from featx.datasets.dataset import ImageDataset
from featx.features.extraction import extract
from featx.features.matrix import FeatureMatrix
from featx.runtime.memory import peak_memory, start_memory_watch

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class Embedder:
    """Embeds images as a run is configured."""

    config: BenchmarkConfig
    client: Client | None = None

    def function(
        self, backbone: str, tuned: TunedData, views: int, **changes: Any
    ) -> Callable[[ImageDataset], FeatureMatrix]:
        """Return the function that embeds images for a row."""
        changes |= {"backbones": tuned.backbones}
        config = self.config.extraction_of(backbone, views, **changes)
        return partial(extract, config=config, client=self.client)

    def embed_sets(
        self, backbone: str, tuned: TunedData, views: int | None = None, **changes: Any
    ) -> Features:
        """Embed training, test and external images."""
        train_views = views or self.config.extraction.views
        test_views = views or self.config.test_views or train_views
        embed = self.function(backbone, tuned, test_views, **changes)
        images = tuned.images
        start_memory_watch()
        return TrainTestData(
            train=self.function(backbone, tuned, train_views, **changes)(images.train),
            test=embed(images.test),
            externals={name: embed(each) for name, each in images.externals.items()},
            peak_memory=peak_memory(),
            tuned=tuned.facts,
        )
