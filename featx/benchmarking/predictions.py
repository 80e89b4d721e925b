"""What a model said of every test image, on disk as a plain CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featx.runtime.files import put_bytes

__all__ = ["Predictions"]


@dataclass(frozen=True)
class Predictions:
    """Probabilities of test images, with the truth.

    Parameters
    ----------
    labels : ndarray of int64, shape (n_images,)
        Index of the true class.
    patients : ndarray of str, shape (n_images,)
        Whose image it is.
    probabilities : ndarray of float64, shape (n_images, n_classes)
        Rows sum to 1.
    """

    names: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    patients: npt.NDArray[np.str_]
    probabilities: npt.NDArray[np.float64]

    def save(self, path: Path, class_names: Sequence[str]) -> None:
        """Write one line an image: path, label, patient, one probability a class."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(_header(class_names))
        lines = zip(self.names, self.labels, self.patients, self.probabilities, strict=True)
        for name, label, patient, row in lines:
            writer.writerow([name, class_names[label], patient, *row.tolist()])
        put_bytes(path, buffer.getvalue().encode("utf-8", "surrogateescape"))

    @classmethod
    def load(cls, path: Path, class_names: Sequence[str]) -> Predictions | None:
        """Read what `save` wrote."""
        if not path.exists():
            return None
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        header, *lines = csv.reader(io.StringIO(text, newline=""))
        if header != _header(class_names):
            return None
        index = {name: number for number, name in enumerate(class_names)}
        return cls(
            names=tuple(line[0] for line in lines),
            labels=np.array([index[line[1]] for line in lines], dtype=np.int64),
            patients=np.array([line[2] for line in lines], dtype=np.str_),
            probabilities=np.array([line[3:] for line in lines], dtype=np.float64),
        )


def _header(class_names: Sequence[str]) -> list[str]:
    return ["path", "label", "patient", *(f"probability_{name}" for name in class_names)]
