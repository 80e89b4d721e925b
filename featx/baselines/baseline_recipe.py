"""Recipe of a CNN trained end to end: network, images, optimizer, and stopping rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from featx.backbones.spec import Preprocessing

if TYPE_CHECKING:
    from keras import KerasTensor

    from featx.images.augmentation import Augmentation

# Pixels / 255 whatever the network was trained with, as most published recipes do.
SHARE_OF_255 = Preprocessing(mean=(0.0, 0.0, 0.0), scale=(255.0, 255.0, 255.0), bgr=False)


@dataclass(frozen=True)
class Constant:
    """Constant learning rate."""


@dataclass(frozen=True)
class Plateau:
    """Settings of Keras' ``ReduceLROnPlateau``: `floor` is its ``min_lr``."""

    monitor: str = "val_accuracy"
    factor: float = 0.3
    patience: int = 2
    floor: float = 1e-6


@dataclass(frozen=True)
class WarmCosine:
    """Linear warm-up in epochs, then Keras' ``CosineDecay`` to the fraction `floor`.

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR 2017,
    equation 5 (without restarts).
    """

    warm_up: float = 1.0
    floor: float = 0.02


Schedule = Constant | Plateau | WarmCosine


@dataclass(frozen=True, repr=False)
class BaselineRecipe:
    """Recipe of a CNN trained end to end.

    Get one by name from `get_baseline`; train it with `featx.train`.

    Parameters
    ----------
    name, title, source : str
        Name on the command line, description, and publication.
    body : callable
        ``body(pixels, weights)`` builds the layers between the preprocessed pixels, a tensor
        (batch, height, width, 3), and the output layer: a tensor (batch, features).
    size : (int, int)
        Height and width of the input in pixels.
    minimum_size : int
        Smallest height and width of the input in pixels.
    preprocessing : Preprocessing
        Map from intensities (0 to 255) to `body`'s input, applied inside the network.
    augmentation : str or Augmentation
        Augmentation policy of the training images; each epoch sees another view.
    batch_size : int
        Images per step.
    epochs : int
        Maximum number of epochs, including `head_epochs`.
    optimizer : str
        Class in ``keras.optimizers``.
    learning_rate : float
        Initial or, with warm-up, highest learning rate.
    schedule : Constant, Plateau or WarmCosine
        Learning rate schedule.
    weight_decay : float, optional
        Weight decay of the optimizer.
    steps_per_epoch : int, optional
        Steps per epoch; the next epoch continues with the images that follow. By default one pass
        over the training images.
    backbone : str, optional
        Backbone inside `body`.
    frozen_layers : int or None, default=0
        Number of first backbone layers that are never trained; None freezes the whole backbone.
    train_batch_norm : bool, default=False
        Whether the backbone's batch normalization is trained. On small sets its moving averages
        lag behind and validation collapses, as in the report of 2022; training from random weights
        needs it.
    head_epochs : int, default=0
        Number of first epochs with a frozen backbone.
    head_learning_rate : float, default=1e-3
        Constant learning rate of these epochs.
    class_weights : bool, default=True
        Whether images of class c are weighted by n_total / (n_classes * n_c).
    validation_size : float, default=0.15
        Fraction of the training images held out to choose epoch, learning rate and operating point.
    validation_by : {"patient", "image"}, default="patient"
        Unit of this inner split. Some published systems split by image; test patients are
        separate in either case.
    keep : {"best", "last"}, default="best"
        Epoch whose weights are the result.
    monitor : {"val_auc", "val_loss"}, default="val_auc"
        Criterion of the best epoch: highest AUC (ties: lowest loss), or lowest loss.
    patience : int, optional
        Number of epochs without improvement after which training stops.
    precision : {"float32", "mixed_float16"}, default="float32"
        Keras dtype policy of the layers; weights and probabilities are always float32.
    pieces : tuple of BaselineRecipe, default=()
        Networks of an ensemble, trained first; `body` takes their features.
    notes : str, default=""
        Details the publication leaves open, and how they are interpreted here.

    See Also
    --------
    featx.baselines.registry.get_baseline : Recipe by name.

    Examples
    --------
    >>> from featx.baselines.registry import get_baseline
    >>> get_baseline("ramirez-cnn")
    <BaselineRecipe ramirez-cnn: CNN from scratch, five convolutions>
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
    pieces: tuple[BaselineRecipe, ...] = ()
    notes: str = ""

    def __repr__(self) -> str:
        return f"<BaselineRecipe {self.name}: {self.title}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON values, without the function that builds layers."""
        values = asdict(self)
        del values["body"]
        values["schedule"] = {"kind": type(self.schedule).__name__, **values["schedule"]}
        values["pieces"] = [piece.to_dict() for piece in self.pieces]
        return values
