"""Training a network to beat, from images to probabilities."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from featx.backbones._keras import import_keras
from featx.backbones.registry import get_backbone
from featx.backbones.weights import Weights, find_weights
from featx.baselines.architectures import build_network
from featx.baselines.batches import ViewSource
from featx.baselines.diagnosis import diagnose
from featx.baselines.loop import Task, predict, train
from featx.baselines.recipes import Recipe, get_baseline
from featx.errors import UsageError
from featx.features.files import TEMPORARY_PREFIX, library_versions, put_bytes
from featx.images.augmentation import Augmentation
from featx.images.dataset import ImageDataset
from featx.images.splitting import hold_out
from featx.metrics.operating_point import OperatingPoint
from featx.progress import progress, say

if TYPE_CHECKING:
    import keras

__all__ = ["TrainedBaseline", "train_baseline"]

Indices = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrainedBaseline:
    """A trained network with its operating point.

    Parameters
    ----------
    name : str
        Of the recipe.
    recipe : Recipe
        With the size, epochs and so on that were used.
    network : keras.Model
        From float32 (batch, height, width, 1), 0 to 255, to probabilities.
    class_names : tuple of str
        The classes; of two, the last is the positive one.
    threshold : float or None
        Probability of the positive class from which on an image is called positive, chosen on the
        validation images; None with more than two classes, where the likeliest class is called.
    history : dict of str to list of float
        One value an epoch: `learning_rate`, `loss`, `accuracy`, `val_loss`, `val_accuracy`,
        `val_auc`, `seconds`.
    best_epoch : int
        The epoch whose weights were kept, from 1.
    seconds : float
        Wall time of the whole training.
    training_images, validation_images : tuple of str
        Names of the images that the network learnt from, and of those that chose.
    unreadable : tuple of (str, str)
        Name and reason of each image that was left out.
    diagnosis : list of str
        What went wrong, in plain words; empty where nothing did.
    """

    name: str
    recipe: Recipe
    network: keras.Model
    class_names: tuple[str, ...]
    threshold: float | None
    history: dict[str, list[float]]
    best_epoch: int
    seconds: float
    training_images: tuple[str, ...]
    validation_images: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    diagnosis: list[str]

    def predict_proba(self, images: ImageDataset) -> Probabilities:
        """Return the probability of each class for each image.

        Parameters
        ----------
        images : ImageDataset
            Any images; labels are not looked at.

        Returns
        -------
        ndarray of float64, shape (n_images, n_classes)

        Raises
        ------
        FeatxError
            If an image cannot be read; the message names it.
        """
        # Every image is read once: nothing is worth keeping.
        source = ViewSource(images, self.recipe.size, Augmentation(), memory=0)
        with progress(f"Predicting with {self.name}", total=len(images), unit="images") as advance:
            return predict(
                self.network, source, np.arange(len(images)), self.recipe.batch_size, advance
            )


def train_baseline(
    images: ImageDataset,
    name: str,
    *,
    out: Path | None = None,
    weights: str | Path = "imagenet",
    weights_dir: Path | None = None,
    epochs: int | None = None,
    size: int | tuple[int, int] | None = None,
    batch_size: int | None = None,
    augmentation: str | Augmentation | None = None,
    operating_point: str | float = "youden",
    seed: int = 0,
) -> TrainedBaseline:
    """Train the network of a recipe.

    A share of the patients is set aside: their images choose the epoch, the learning rate and the
    operating point, and never train.

    Parameters
    ----------
    images : ImageDataset
        Training images only, all labelled.
    name : str
        Recipe; see `featx.baselines.recipes.list_baselines`.
    out : Path, optional
        Folder for ``log.csv`` (one line an epoch, written as it ends), ``network.keras`` and
        ``training.json``.
    weights, weights_dir
        What a backbone starts from; see `featx.backbones.weights.find_weights`.
    epochs, size, batch_size, augmentation : optional
        In place of the recipe's. `size` is height and width in pixels, or one number for both.
    operating_point : str or float, default="youden"
        How the threshold of two classes is chosen on the validation images; see
        `featx.metrics.operating_point.OperatingPoint.parse`.
    seed : int, default=0
        Of the split, the order of images, their views, first weights and dropout. On a CPU, two
        runs with one seed agree but for rounding in sums that threads share.

    Returns
    -------
    TrainedBaseline

    Raises
    ------
    UsageError
        If there is no such recipe; a class has no images, or images of fewer than two patients;
        there are fewer images than a batch; or `size` is below what the network can take.
    FeatxError
        If weights are missing, `out` cannot be written to, or the first epoch gives no finite
        probability.
    """
    started = time.perf_counter()
    recipe = _adjust(get_baseline(name), epochs, size, batch_size, augmentation)
    _check_labels(images)
    point = OperatingPoint.parse(operating_point)
    found = _find_weights(recipe, weights, weights_dir, seed)
    if found is not None and found.source == "random":
        recipe = replace(recipe, train_batch_norm=True)
    if out is not None:
        # Writing something now tells of an unwritable folder before hours of training, not after.
        _write_json(out / "training.json", {"recipe": recipe.to_dict(), "finished": False})
    source = ViewSource(images, recipe.size, _policy(recipe.augmentation), seed)
    unreadable = source.find_unreadable()
    training, validation = _split(images, unreadable, recipe, seed)
    task = Task(recipe, source, images.labels, len(images.class_names), training, validation, seed)
    with _seeded(seed):
        network = build_network(recipe, recipe.size, task.n_classes, found)
        result = train(network, task, log=None if out is None else out / "log.csv")
    labels = images.labels[validation]
    positive_share = result.probabilities[:, -1]
    trained = TrainedBaseline(
        name=recipe.name,
        recipe=recipe,
        network=network,
        class_names=images.class_names,
        threshold=point.threshold(labels == 1, positive_share) if task.n_classes == 2 else None,
        history=result.history,
        best_epoch=result.best_epoch,
        seconds=time.perf_counter() - started,
        training_images=tuple(images.names[i] for i in training),
        validation_images=tuple(images.names[i] for i in validation),
        unreadable=tuple((images.names[i], reason) for i, reason in unreadable.items()),
        diagnosis=diagnose(result.history, labels, result.probabilities, images.class_names),
    )
    for sentence in trained.diagnosis:
        say(f"{recipe.name}: {sentence}")
    if out is not None:
        _save(trained, found, seed, out)
    return trained


def _adjust(
    recipe: Recipe,
    epochs: int | None,
    size: int | tuple[int, int] | None,
    batch_size: int | None,
    augmentation: str | Augmentation | None,
) -> Recipe:
    changes: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size}
    changes["size"] = (size, size) if isinstance(size, int) else size
    changes["augmentation"] = augmentation
    recipe = replace(recipe, **{key: value for key, value in changes.items() if value is not None})
    _policy(recipe.augmentation)
    if recipe.epochs < 1 or recipe.batch_size < 1:
        raise UsageError(
            f"{recipe.epochs} epochs and batches of {recipe.batch_size} were asked for; "
            "both have to be 1 or more"
        )
    if min(recipe.size) < recipe.minimum_size:
        raise UsageError(
            f"{recipe.size[0]} x {recipe.size[1]} pixels are too few for {recipe.name}: it needs "
            f"{recipe.minimum_size} x {recipe.minimum_size} or more"
        )
    return recipe


def _policy(augmentation: str | Augmentation) -> Augmentation:
    if isinstance(augmentation, str):
        return Augmentation.named(augmentation)
    return augmentation


def _check_labels(images: ImageDataset) -> None:
    unlabelled = int((images.labels < 0).sum())
    if unlabelled:
        raise UsageError(f"{unlabelled:,} of the training images have no label; leave them out")
    counts = np.bincount(images.labels, minlength=len(images.class_names))
    missing = [name for name, count in zip(images.class_names, counts, strict=True) if not count]
    if missing or len(counts) < 2:
        present = [name for name in images.class_names if name not in missing]
        raise UsageError(
            f"the {len(images):,} training images are all {' or '.join(present) or 'unlabelled'}"
            f"{f', none is {missing[0]}' if missing else ''}; a network learns from two or more "
            "classes, each with images"
        )


def _find_weights(
    recipe: Recipe, weights: str | Path, weights_dir: Path | None, seed: int
) -> Weights | None:
    if recipe.backbone is None:
        return None
    return find_weights(get_backbone(recipe.backbone), weights, weights_dir, seed=seed)


def _split(
    images: ImageDataset, unreadable: dict[int, str], recipe: Recipe, seed: int
) -> tuple[Indices, Indices]:
    for index, reason in unreadable.items():
        say(f"{images.names[index]} is left out: {reason}.")
    readable = np.setdiff1d(np.arange(len(images)), list(unreadable)).astype(np.int64)
    _check_labels(images.select(readable))
    kept, aside = hold_out(
        images.labels[readable],
        images.patients[readable],
        test_size=recipe.validation_size,
        seed=seed,
    )
    if len(kept) < recipe.batch_size:
        raise UsageError(
            f"{recipe.name} trains in batches of {recipe.batch_size}, but only {len(kept)} of the "
            f"{len(readable)} images are left for training ({len(aside)} validate); give more "
            "images or a smaller batch size"
        )
    return readable[kept], readable[aside]


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed Keras and its back end, and give Python's and NumPy's generators back as they were."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        import_keras().utils.set_random_seed(seed)
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


def _save(trained: TrainedBaseline, weights: Weights | None, seed: int, out: Path) -> None:
    temporary = out / f"{TEMPORARY_PREFIX}network.keras"
    trained.network.save(temporary)
    temporary.replace(out / "network.keras")
    _write_json(
        out / "training.json",
        {
            "recipe": trained.recipe.to_dict(),
            "finished": True,
            "weights": None if weights is None else weights.digest,
            "seed": seed,
            "class_names": trained.class_names,
            "threshold": trained.threshold,
            "best_epoch": trained.best_epoch,
            "seconds": round(trained.seconds, 1),
            "training_images": trained.training_images,
            "validation_images": trained.validation_images,
            "unreadable": trained.unreadable,
            "diagnosis": trained.diagnosis,
            "versions": library_versions(),
        },
    )


def _write_json(path: Path, content: dict[str, Any] | Sequence[Any]) -> None:
    put_bytes(path, json.dumps(content, indent=2).encode())
