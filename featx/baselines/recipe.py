"""One record says everything that decides the training of a network to beat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from featx.backbones.spec import Preprocessing
from featx.baselines.schedules import Schedule

if TYPE_CHECKING:
    from keras import KerasTensor

    from featx.images.augmentation import Augmentation

__all__ = ["SHARE_OF_255", "Recipe"]

# Pixels / 255, whatever the network was made for: what most published recipes do.
SHARE_OF_255 = Preprocessing(mean=(0.0, 0.0, 0.0), scale=(255.0, 255.0, 255.0), bgr=False)


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained.

    Parameters
    ----------
    name, title, source : str
        What it is called, what it is, and where it comes from.
    body : callable
        ``body(pixels, weights)`` builds everything between the preprocessed pixels and the output
        layer: a tensor (batch, height, width, 3) to a tensor (batch, features).
    size : (int, int)
        Height and width of the input in pixels.
    minimum_size : int
        Smallest height and width that the network can take.
    preprocessing : Preprocessing
        Applied inside the network to intensities from 0 to 255.
    augmentation : str or Augmentation
        Policy of the training images; every epoch takes another view.
    batch_size, epochs : int
        Images a step, and passes over the images (with the head's epochs).
    optimizer : str
        Class in ``keras.optimizers``.
    learning_rate : float
        Where `schedule` begins, or its highest point.
    schedule : Constant, Plateau or WarmCosine
        How the learning rate goes on.
    weight_decay : float, optional
        Given to the optimizer.
    steps_per_epoch : int, optional
        Steps an epoch; the next goes on with the images where it stopped. By default as many as
        all images need.
    backbone : str, optional
        Backbone that `body` starts from.
    frozen_layers : int or None, default=0
        How many of the backbone's first layers are never trained; None for all of them.
    train_batch_norm : bool, default=False
        Whether the backbone's batch norm trains. On small sets its running averages do not follow
        in the few steps there are, and validation collapses, as the report of 2022's ResNet did;
        only from random weights nothing is learned without it.
    head_epochs : int, default=0
        First epochs, in which the whole backbone is frozen.
    head_learning_rate : float, default=1e-3
        Constant rate of these epochs.
    class_weights : bool, default=True
        Whether an image of class c weighs n_total / (n_classes * n_c).
    validation_size : float, default=0.15
        Share of the training images that only chooses: the epoch, the learning rate, the
        operating point.
    validation_by : {"patient", "image"}, default="patient"
        What that share is drawn of. Some published systems drew images, so that patients stand on
        both sides of this inner split; test patients are out of reach of either.
    keep : {"best", "last"}, default="best"
        Which epoch's weights are the result.
    monitor : {"val_auc", "val_loss"}, default="val_auc"
        By what the best epoch is known: the highest AUC, or the lowest loss, in validation.
    patience : int, optional
        Stop after so many epochs without a better one.
    precision : {"float32", "mixed_float16"}, default="float32"
        Of Keras' layers; weights and probabilities are float32 with either.
    pieces : tuple of Recipe, default=()
        Networks that are trained first, whose features `body` is built on; see
        `featx.baselines.ensemble`.
    notes : str, default=""
        What the source leaves open, and how it is read here.
    """

    name: str
    title: str
    source: str
    body: Callable[..., KerasTensor]
    size: tuple[int, int]
    minimum_size: int
    preprocessing: Preprocessing
    augmentation: str | Augmentation
    batch_size: int
    epochs: int
    optimizer: str
    learning_rate: float
    schedule: Schedule
    weight_decay: float | None = None
    steps_per_epoch: int | None = None
    backbone: str | None = None
    frozen_layers: int | None = 0
    train_batch_norm: bool = False
    head_epochs: int = 0
    head_learning_rate: float = 1e-3
    class_weights: bool = True
    validation_size: float = 0.15
    validation_by: Literal["patient", "image"] = "patient"
    keep: Literal["best", "last"] = "best"
    monitor: Literal["val_auc", "val_loss"] = "val_auc"
    patience: int | None = None
    precision: Literal["float32", "mixed_float16"] = "float32"
    pieces: tuple[Recipe, ...] = ()
    notes: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values, without the functions that build networks."""
        values = asdict(self)
        del values["body"]
        values["schedule"] = {"kind": type(self.schedule).__name__, **values["schedule"]}
        values["pieces"] = [piece.to_dict() for piece in self.pieces]
        return values
