"""Recipes of the networks to beat: one record says everything that decides a training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from featx.backbones.registry import Backbone, Preprocessing, get_backbone, list_backbones
from featx.baselines import architectures
from featx.errors import UsageError

if TYPE_CHECKING:
    from keras import KerasTensor

    from featx.images.augmentation import Augmentation

__all__ = ["Plateau", "Recipe", "WarmCosine", "get_baseline", "list_baselines"]

History = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Plateau:
    """Multiply the learning rate by `factor` whenever validation stops getting better.

    The rate follows from the history alone, so that a training that goes on after a pause takes the
    same rates. The rules are those of Keras' ``ReduceLROnPlateau``.

    Parameters
    ----------
    monitor : str, default="val_accuracy"
        Column of the history; larger is better.
    factor : float
        What the rate is multiplied by.
    patience : int
        After how many epochs without a better value.
    floor : float
        Lowest rate.
    """

    monitor: str = "val_accuracy"
    factor: float = 0.3
    patience: int = 2
    floor: float = 1e-6

    def rate(self, base: float, history: History, done: float, total: int) -> float:  # noqa: ARG002
        """Learning rate after the epochs in `history`.

        Parameters
        ----------
        base : float
            The rate to begin with.
        history : mapping of str to sequence of float
            One value an epoch.
        done : float
            Epochs done, with fraction; not used.
        total : int
            Epochs in all; not used.

        Examples
        --------
        >>> schedule = Plateau(factor=0.5, patience=2)
        >>> schedule.rate(1.0, {"val_accuracy": [0.7, 0.8, 0.8, 0.7, 0.9]}, 5, 12)
        0.5
        """
        rate, best, stale = base, -math.inf, 0
        for value in history.get(self.monitor, ()):
            if value > best + 1e-4:
                best, stale = value, 0
                continue
            stale += 1
            if stale >= self.patience:
                rate, stale = max(rate * self.factor, self.floor), 0
        return rate


@dataclass(frozen=True)
class WarmCosine:
    """Rise from zero in a straight line, then fall along half a cosine.

    Parameters
    ----------
    warm_up : float, default=1
        Epochs of rising.
    floor : float, default=0.02
        Share of the rate that is left at the end.

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR 2017,
    equation 5 (without restarts).
    """

    warm_up: float = 1.0
    floor: float = 0.02

    def rate(self, base: float, history: History, done: float, total: int) -> float:  # noqa: ARG002
        """Learning rate at some point of the training.

        Parameters
        ----------
        base : float
            The highest rate.
        history : mapping of str to sequence of float
            Not used.
        done : float
            Epochs done, with fraction.
        total : int
            Epochs in all.

        Examples
        --------
        >>> [round(WarmCosine(floor=0).rate(1.0, {}, done, 5), 3) for done in (0.5, 1, 3, 5)]
        [0.5, 1.0, 0.5, 0.0]
        """
        if done < self.warm_up:
            return base * done / self.warm_up
        share = (done - self.warm_up) / max(total - self.warm_up, 1e-9)
        cosine = 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
        return base * (self.floor + (1 - self.floor) * cosine)


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
    optimiser : str
        Class in ``keras.optimizers``.
    learning_rate : float
        Where `schedule` begins, or its highest point.
    schedule : Plateau or WarmCosine
        How the learning rate goes on.
    weight_decay : float, optional
        Given to the optimiser.
    steps_per_epoch : int, optional
        Steps a pass; by default as many as all images need.
    backbone : str, optional
        Backbone that `body` starts from.
    frozen_layers : int, default=0
        How many of the backbone's first layers are never trained.
    train_batch_norm : bool, default=False
        Whether the backbone's batch norm trains. On small sets its running averages do not follow
        in the few steps there are, and validation collapses, as the seed report's ResNet did;
        only from random weights nothing is learnt without it.
    head_epochs : int, default=0
        First epochs, in which the whole backbone is frozen.
    head_learning_rate : float, default=1e-3
        Constant rate of these epochs.
    class_weights : bool, default=True
        Whether an image of class c weighs n_total / (n_classes * n_c).
    validation_size : float, default=0.15
        Share of the training images, whole patients, that only chooses: the epoch, the learning
        rate, the operating point.
    keep : {"best", "last"}, default="best"
        Which epoch's weights are the result; the best is that of highest validation AUC.
    patience : int, optional
        Stop after so many epochs without a better validation AUC.
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
    optimiser: str
    learning_rate: float
    schedule: Plateau | WarmCosine
    weight_decay: float | None = None
    steps_per_epoch: int | None = None
    backbone: str | None = None
    frozen_layers: int = 0
    train_batch_norm: bool = False
    head_epochs: int = 0
    head_learning_rate: float = 1e-3
    class_weights: bool = True
    validation_size: float = 0.15
    keep: Literal["best", "last"] = "best"
    patience: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values, without the function that builds the network."""
        values = {name: value for name, value in asdict(self).items() if name != "body"}
        values["schedule"] = {"kind": type(self.schedule).__name__, **values["schedule"]}
        return values


# The report divides by 255 whatever the network was made for.
_SHARE_OF_255 = Preprocessing(mean=(0.0, 0.0, 0.0), scale=(255.0, 255.0, 255.0), bgr=False)

_SEED_REPORT = "the seed report of 2022; its CNN is that of a public Kaggle notebook of 2020"

_RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="seed-cnn",
            title="CNN from scratch, five convolutions",
            source=_SEED_REPORT,
            body=architectures.seed_cnn,
            size=(300, 300),
            minimum_size=32,
            preprocessing=_SHARE_OF_255,
            augmentation="seed",
            batch_size=128,
            epochs=12,
            optimiser="RMSprop",
            learning_rate=1e-3,
            schedule=Plateau(),
            keep="last",
        ),
    )
}

_FINETUNED = "finetuned:"

# Found on a few hundred radiographs with efficientnet_lite0: 1e-3 collapses, 2e-4 is slower.
# Without batch norm steps have to be smaller.
_FINE_TUNING_RATE = 3e-4
_SMALLER_RATES = {"vgg16": 5e-5, "vgg19": 5e-5}


def _finetuned(backbone: Backbone) -> Recipe:
    return Recipe(
        name=f"{_FINETUNED}{backbone.name}",
        title=f"{backbone.title}, all layers fine-tuned",
        source="featx: usual practice for small medical sets",
        body=partial(architectures.pretrained, backbone),
        size=backbone.size,
        minimum_size=backbone.minimum_size,
        preprocessing=backbone.preprocessing,
        augmentation="radiograph",
        batch_size=32,
        epochs=12,
        optimiser="AdamW",
        learning_rate=_SMALLER_RATES.get(backbone.name, _FINE_TUNING_RATE),
        schedule=WarmCosine(),
        weight_decay=1e-4,
        backbone=backbone.name,
        head_epochs=1,
        patience=4,
    )


def list_baselines() -> list[Recipe]:
    """Return every recipe, those that fine-tune a backbone last.

    Examples
    --------
    >>> [recipe.name for recipe in list_baselines()][0]
    'seed-cnn'
    """
    return [*_RECIPES.values(), *(_finetuned(backbone) for backbone in list_backbones())]


def get_baseline(name: str) -> Recipe:
    """Return the recipe of that name.

    Parameters
    ----------
    name : str
        ``"seed-cnn"``, or ``"finetuned:<backbone>"`` with any registered backbone.

    Raises
    ------
    UsageError
        If there is no such recipe, or no such backbone.

    Examples
    --------
    >>> get_baseline("seed-cnn").batch_size
    128
    >>> get_baseline("finetuned:xception").optimiser
    'AdamW'
    """
    if name.startswith(_FINETUNED):
        return _finetuned(get_backbone(name.removeprefix(_FINETUNED)))
    if name in _RECIPES:
        return _RECIPES[name]
    close = get_close_matches(name, [recipe.name for recipe in list_baselines()], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    allowed = ", ".join([*_RECIPES, f"{_FINETUNED}<backbone>"])
    raise UsageError(f"there is no baseline {name!r}{hint} (known: {allowed})")
