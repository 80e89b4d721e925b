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
    """

    monitor: str = "val_accuracy"
    factor: float = 0.3
    patience: int = 2
    floor: float = 1e-6

    def rate(self, base: float, history: History, done: float, total: int) -> float:  # noqa: ARG002
        """Learning rate after the epochs in `history`.

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

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR 2017,
    equation 5 (without restarts).
    """

    warm_up: float = 1.0
    floor: float = 0.02

    def rate(self, base: float, history: History, done: float, total: int) -> float:  # noqa: ARG002
        """Learning rate at some point of the training.

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
