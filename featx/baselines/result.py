"""Result of training a baseline, in memory and as files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax

from featx.baselines.architectures import split_output
from featx.baselines.baseline_recipe import BaselineRecipe
from featx.baselines.views import ImageViews, predict, run_network
from featx.datasets.dataset import ImageDataset
from featx.errors import UsageError
from featx.images.augmentation import Augmentation
from featx.metrics.operating_point import Threshold
from featx.runtime.csv_text import write_csv
from featx.runtime.files import put_bytes, writing
from featx.runtime.process_state import network_state
from featx.runtime.progress import progress
from featx.runtime.versions import library_versions

if TYPE_CHECKING:
    import keras

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class TrainedBaseline:
    """A trained network with its operating point; returned by `featx.train`.

    Parameters
    ----------
    name : str
        Name of the recipe.
    recipe : BaselineRecipe
        Recipe with the size, epochs and other settings used.
    network : keras.Model
        Network from float32 intensities (batch, height, width, 1), 0 to 255, to probabilities.
    class_names : tuple of str
        Class names; of two, the last is the positive class.
    threshold : float, tuple of float or None
        Lowest probability of the positive class that is predicted positive, or cutoffs of more
        than two classes (`featx.metrics.operating_point.decide`), chosen on the validation images.
    history : dict of str to list of float
        One value per epoch: ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy``, ``val_auc``,
        ``val_majority`` (fraction of images assigned to the most frequent class),
        ``val_best`` (the epoch, from 1, if best so far, else 0), ``learning_rate``, ``seconds``.
    best_epoch : int
        Epoch whose weights were kept, from 1.
    seconds : float
        Duration of the whole training, including epochs before an interruption.
    training_images, validation_images : tuple of str
        Names of the images that trained the network, and of the held-out images.
    unreadable : tuple of (str, str)
        Name and reason of each image left out.
    diagnosis : list of str
        Training failures in words; empty if there are none.
    """

    name: str
    recipe: BaselineRecipe
    network: keras.Model
    class_names: tuple[str, ...]
    threshold: Threshold
    history: dict[str, list[float]]
    best_epoch: int
    seconds: float
    training_images: tuple[str, ...]
    validation_images: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    diagnosis: list[str]

    def __repr__(self) -> str:
        epochs = len(self.history["loss"])
        area = self.history["val_auc"][self.best_epoch - 1]
        return (
            f"<TrainedBaseline {self.name}: epoch {self.best_epoch} of {epochs}, validation AUC "
            f"{area:.3f}>"
        )

    @property
    def parameters(self) -> int:
        """Number of weights of the network, trained or not."""
        return int(self.network.count_params())

    @cached_property
    def _split(self) -> tuple[keras.Model, keras.layers.Layer] | None:
        # Another model at each call would be traced each time.
        return split_output(self.network)

    @network_state()
    def predict_proba(self, images: ImageDataset) -> Probabilities:
        """Return the probability of each class for each image; an unreadable one is an error."""
        # Each image is read once: memory=0 keeps none.
        views = ImageViews(images, self.recipe.size, Augmentation(), memory=0)
        batch_size = self.recipe.batch_size
        with progress(f"Predicting with {self.name}", len(images), "images") as advance:
            inputs = views.render, np.arange(len(images)), batch_size
            if self._split is None:
                return predict(self.network, *inputs, advance)
            body, output = self._split
            features = run_network(body, *inputs, advance=advance).astype(np.float64)
            # In float32 a sigmoid of more than 17 is 1, and sure images would tie.
            kernel, bias = (np.asarray(w, dtype=np.float64) for w in output.get_weights())
            logits = features @ kernel + bias
            if logits.shape[1] == 1:
                return expit(np.hstack([-logits, logits]))
            return softmax(logits, axis=1)


def save_trained(
    trained: TrainedBaseline,
    probabilities: Probabilities,
    random_state: int,
    inputs: Mapping[str, Any],
    out: Path,
) -> None:
    """Write ``network.keras``, ``training.json`` and ``validation.csv``."""
    with writing(out / "network.keras") as temporary:
        trained.network.save(temporary)
    put_bytes(out / "validation.csv", _validation_csv(trained, probabilities))
    kept = [field.name for field in fields(trained) if field.name not in ("name", "network")]
    record = {name: getattr(trained, name) for name in kept}
    record |= {
        "recipe": trained.recipe.to_dict(),
        "finished": True,
        "weights": inputs["weights"],
        "inputs": dict(inputs),
        "random_state": random_state,
        "parameters": trained.parameters,
        "seconds": round(trained.seconds, 1),
        "versions": library_versions(),
    }
    write_record(out, **record)


def prepare_record(out: Path, inputs: Mapping[str, Any], *, overwrite: bool) -> None:
    """Refuse a folder of another training, or remove what it wrote."""
    path = out / "training.json"
    old = json.loads(path.read_bytes()).get("inputs") if path.is_file() else None
    inputs = json.loads(json.dumps(inputs))
    if old is not None and old != inputs:
        changed = [f"another {name}" for name in inputs if old.get(name) != inputs[name]]
        if not overwrite:
            raise UsageError(
                f"{out} holds another training ({', '.join(changed)}); give another --out, or "
                "--overwrite (overwrite=True) to replace it"
            )
        for name in ("network.keras", "validation.csv"):
            (out / name).unlink(missing_ok=True)
        for session in out.glob("pieces/*/checkpoints/session.json"):
            shutil.rmtree(session.parents[1])
    # Until the training ends.
    write_record(out, recipe=inputs["recipe"], inputs=inputs, finished=False)


def write_record(out: Path, **content: Any) -> None:
    """Write ``training.json``."""
    put_bytes(out / "training.json", json.dumps(content, indent=2).encode())


def _validation_csv(trained: TrainedBaseline, probabilities: Probabilities) -> bytes:
    header = ["path", *(f"probability_{name}" for name in trained.class_names)]
    names, rows = trained.validation_images, probabilities.tolist()
    return write_csv([header, *([name, *row] for name, row in zip(names, rows, strict=True))])
