"""How a learning rate goes on: from the history alone, so that a paused run takes the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Constant", "Plateau", "Schedule", "WarmCosine"]

History = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Constant:
    """Keep the learning rate as it is."""

    def rate(self, base: float, history: History, done: float, total: int) -> float:  # noqa: ARG002
        """Learning rate at any point of the training.

        Parameters
        ----------
        base : float
            The rate.
        history, done, total : object
            Not used.

        Examples
        --------
        >>> Constant().rate(1e-3, {}, 3, 12)
        0.001
        """
        return base


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


Schedule = Constant | Plateau | WarmCosine
