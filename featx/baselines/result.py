"""What a training gives, in memory and as files."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from featx.baselines.batches import ViewSource
from featx.baselines.curves import curves_svg
from featx.baselines.recipe import Recipe
from featx.baselines.task import predict
from featx.datasets.dataset import ImageDataset
from featx.images.augmentation import Augmentation
from featx.runtime.files import TEMPORARY_PREFIX, library_versions, put_bytes
from featx.runtime.progress import progress

if TYPE_CHECKING:
    import keras

__all__ = ["TrainedBaseline", "save_trained", "write_record"]

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
        `val_auc`, `val_majority` (the largest share of images called one class), `seconds`.
    best_epoch : int
        The epoch whose weights were kept, from 1.
    seconds : float
        Wall time of the whole training, that of epochs before an interruption included.
    training_images, validation_images : tuple of str
        Names of the images that the network learned from, and of those that chose.
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

    @property
    def parameters(self) -> int:
        """How many numbers the network holds, trained or not."""
        return int(self.network.count_params())

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


def save_trained(
    trained: TrainedBaseline,
    probabilities: Probabilities,
    random_state: int,
    starts: list[Any],
    out: Path,
) -> None:
    """Write ``network.keras``, ``training.json``, ``validation.csv`` and ``curves.svg``.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_validation, n_classes)
        Of the validation images.
    """
    temporary = out / f"{TEMPORARY_PREFIX}network.keras"
    trained.network.save(temporary)
    temporary.replace(out / "network.keras")
    curves = curves_svg(trained.history, trained.name, trained.best_epoch)
    put_bytes(out / "curves.svg", curves.encode())
    put_bytes(out / "validation.csv", _validation_csv(trained, probabilities))
    write_record(
        out,
        recipe=trained.recipe.to_dict(),
        finished=True,
        weights=starts,
        random_state=random_state,
        class_names=trained.class_names,
        parameters=trained.parameters,
        threshold=trained.threshold,
        best_epoch=trained.best_epoch,
        history=trained.history,
        seconds=round(trained.seconds, 1),
        training_images=trained.training_images,
        validation_images=trained.validation_images,
        unreadable=trained.unreadable,
        diagnosis=trained.diagnosis,
        versions=library_versions(),
    )


def write_record(out: Path, **content: Any) -> None:
    """Write ``training.json``."""
    put_bytes(out / "training.json", json.dumps(content, indent=2).encode())


def _validation_csv(trained: TrainedBaseline, probabilities: Probabilities) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["path", *(f"probability_{name}" for name in trained.class_names)])
    for name, row in zip(trained.validation_images, probabilities.tolist(), strict=True):
        writer.writerow([name, *(repr(value) for value in row)])
    return buffer.getvalue().encode()
