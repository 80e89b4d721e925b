"""What a training leaves on disk after every epoch, so that a killed one can go on."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from featx.runtime.files import write_hdf5

__all__ = ["Keeper", "State", "key_of"]

logger = logging.getLogger(__name__)

FILE = "state.h5"
FORMAT = 1

Arrays = list[npt.NDArray]
Probabilities = npt.NDArray[np.float64]


@dataclass
class State:
    """Where a training stands after its last finished epoch.

    Parameters
    ----------
    best_probabilities : ndarray of float64, shape (n_validation, n_classes)
        What it said of the validation images.
    """

    history: dict[str, list[float]]
    network: Arrays = field(default_factory=list)
    optimizer: Arrays = field(default_factory=list)
    best_epoch: int = 0
    best_network: Arrays = field(default_factory=list)
    best_probabilities: Probabilities = field(default_factory=lambda: np.empty((0, 0)))
    finished: bool = False

    @property
    def epochs(self) -> int:
        """How many epochs are done."""
        return len(self.history["loss"])


@dataclass(frozen=True)
class Keeper:
    """Writes and finds the state of one training in its folder."""

    folder: Path
    key: str

    def save(self, state: State) -> None:
        """Put the state in place of the last one, whole or not at all."""

        def fill(file: h5py.File) -> None:
            file.attrs.update(
                featx_training=FORMAT,
                key=self.key,
                history=json.dumps(state.history),
                best_epoch=state.best_epoch,
                finished=state.finished,
            )
            file["best_probabilities"] = state.best_probabilities
            _put(file, "network", state.network)
            _put(file, "optimizer", state.optimizer)
            # While the last epoch is the best one, the network is stored once.
            if not state.finished and state.best_epoch != state.epochs:
                _put(file, "best_network", state.best_network)

        write_hdf5(self.folder / FILE, fill)

    def find(self) -> State | None:
        """Return the state that an earlier run left here, if it is of this training.

        A state of other settings or images, or a damaged one, is left aside with a message.
        """
        path = self.folder / FILE
        if not path.is_file():
            return None
        try:
            with h5py.File(path, "r") as file:
                if file.attrs.get("featx_training") != FORMAT or file.attrs["key"] != self.key:
                    logger.warning(
                        f"{path} is of a training with other settings, images or versions; this "
                        "one starts at its first epoch and takes its place."
                    )
                    return None
                return _read(file)
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            logger.warning(f"{path} is damaged ({error}); training starts at its first epoch.")
            return None


def key_of(**parts: Any) -> str:
    """Return the digest of everything that decides a training.

    Examples
    --------
    >>> key_of(a=0) == key_of(a=0), key_of(a=0) == key_of(a=1)
    (True, False)
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _put(file: h5py.File, name: str, arrays: Sequence[npt.NDArray]) -> None:
    group = file.create_group(name)
    for number, array in enumerate(arrays):
        group[f"{number:05d}"] = array


def _read(file: h5py.File) -> State:
    def take(name: str) -> Arrays:
        return [np.asarray(file[name][number]) for number in sorted(file[name])]

    network = take("network")
    return State(
        history=json.loads(file.attrs["history"]),
        network=network,
        optimizer=take("optimizer"),
        best_epoch=int(file.attrs["best_epoch"]),
        best_network=take("best_network") if "best_network" in file else network,
        best_probabilities=np.asarray(file["best_probabilities"]),
        finished=bool(file.attrs["finished"]),
    )
