"""Tuned backbones of a benchmark: some training patients tune, the others fit classifiers."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from featx.backbones.registry import split_precision
from featx.backbones.tuned import TUNED
from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.data import TrainTestData, identity
from featx.benchmarking.result_cache import ResultCache, result_key
from featx.datasets.dataset import ImageDataset
from featx.datasets.splitting import hold_out
from featx.runtime.versions import library_versions

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TunedData:
    """Images of a row, its backbones (tuned ones by file), and facts on each tuning."""

    images: TrainTestData[ImageDataset]
    backbones: tuple[str, ...]
    facts: tuple[dict[str, Any], ...] = ()


def split_for_tuning(
    images: ImageDataset, tuning_size: float, random_state: int
) -> tuple[ImageDataset, ImageDataset]:
    """Split training images by patient: those that tune, and those that classifiers are fitted to.

    Patients who share an image, or nearly so, must have one name, as `inspect_images` gives them.
    """
    fitting, tuning = hold_out(
        images.labels, images.patients, test_size=tuning_size, random_state=random_state
    )
    return images.select(tuning), images.select(fitting)


def tune_backbones(
    backbones: str, images: TrainTestData[ImageDataset], config: BenchmarkConfig, folder: Path
) -> TunedData:
    """Tune the backbones of a row that are to be tuned, or find them in the results folder."""
    names, _ = split_precision(backbones)
    if not any(name.startswith(TUNED) for name in names):
        return TunedData(images, tuple(names))
    tuning, fitting = split_for_tuning(images.train, config.tuning_size, config.random_state)
    facts = {n: _tune(n, tuning, config, folder) for n in names if n.startswith(TUNED)}
    files = [f"{TUNED}{folder / facts[name]['file']}" if name in facts else name for name in names]
    return TunedData(replace(images, train=fitting), tuple(files), tuple(facts.values()))


def _tune(name: str, images: ImageDataset, config: BenchmarkConfig, folder: Path) -> dict[str, Any]:
    """Tune a backbone once: with the same images and settings its file is found again."""
    # The size is in the name.
    settings = {n: value for n, value in config.training_settings.items() if n != "size"}
    key = result_key(
        kind="tuning",
        name=name,
        training={**settings, "weights_dir": str(settings["weights_dir"])},
        images=identity(images),
        versions=library_versions("tensorflow"),
    )
    results = ResultCache(folder)
    found = results.get(key)
    if found is None:
        from featx.baselines.tuning import tune

        logger.info(f"{name} is tuned on {len(images):,} images; no classifier is fitted to them.")
        file, facts = tune(images, name, folder / "tuned", **settings)
        found = {**facts, "file": file.relative_to(folder).as_posix()}
        results.put(key, found, [file])
    return found
