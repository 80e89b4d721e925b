"""Result of an exploration, and its page: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from featx.audit.findings import Finding
from featx.features.matrix import FeatureMatrix
from featx.reporting.page import render
from featx.runtime.files import put_bytes

# Pixels of a thumbnail's side.
TILE = 56

# Rows of a table in the page; `to_dict` has all of them.
_SHOWN = 200


@dataclass(frozen=True)
class LabelIssue:
    """An image whose label a model that had not seen its patient contradicts confidently."""

    image: int
    label: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class Duplicate:
    """Two images with the same bytes, pixels or features, or near duplicates."""

    first: int
    second: int
    kind: str


@dataclass(frozen=True, eq=False, repr=False)
class Exploration:
    """Hold a map of the images of a matrix by their features, with label issues and duplicates.

    Of `explore`; `notes` say what was left out, and why, and `findings` which duplicates and
    patients are on both sides of the matrix's test split.
    """

    matrix: FeatureMatrix
    method: str
    # Shape (n_images, 2), and the proportion of the variance along both axes; empty for UMAP.
    coordinates: npt.NDArray[np.float64]
    explained: tuple[float, ...]
    # Shape (n_images, k): the nearest other images, and their distances in standardized features.
    neighbors: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float64]
    # Shape (n_images, n_classes), out of fold; nan where there is none.
    probabilities: npt.NDArray[np.float64]
    # The most confident first.
    label_issues: tuple[LabelIssue, ...]
    duplicates: tuple[Duplicate, ...]
    # Shape (n_images, 56, 56); black where there is none.
    thumbnails: npt.NDArray[np.uint8] | None
    notes: tuple[str, ...]
    findings: tuple[Finding, ...] = ()

    def __len__(self) -> int:
        return self.matrix.n_images

    @property
    def names(self) -> tuple[str, ...]:
        """Paths of the images."""
        return self.matrix.names

    @property
    def title(self) -> str:
        """Names of the backbones."""
        return " + ".join(recipe["backbone"] for recipe in self.matrix.recipes) or "features"

    def __repr__(self) -> str:
        issues, duplicates = len(self.label_issues), len(self.duplicates)
        return (
            f"Exploration({len(self):,} images, {issues:,} label issue{'s' * (issues != 1)}, "
            f"{duplicates:,} duplicate{'s' * (duplicates != 1)})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return label issues, duplicates and notes as plain values, images by their names."""
        return {
            "images": len(self),
            "map": self.method,
            "explained_variance": list(self.explained),
            "label_issues": [
                {
                    "path": self.names[issue.image],
                    "label": issue.label,
                    "predicted": issue.predicted,
                    "probability": issue.probability,
                }
                for issue in self.label_issues
            ],
            "duplicates": [
                {"paths": [self.names[pair.first], self.names[pair.second]], "kind": pair.kind}
                for pair in self.duplicates
            ],
            "findings": [finding.to_dict() for finding in self.findings],
            "notes": list(self.notes),
        }

    def save(self, path: str | Path) -> Path:
        """Write the page, and return its path."""
        page = render(
            "explore.html.j2",
            scripts=("page.js", "explore.js"),
            found=self,
            shown=_SHOWN,
            n_patients=len(np.unique(self.matrix.patients)) if self.matrix.patients_known else None,
            sheet=_sheet(self.thumbnails),
            data=self._data(),
        )
        # File names need not be valid Unicode, a page must be.
        put_bytes(Path(path), page.encode("utf-8", "replace"))
        return Path(path)

    def _data(self) -> dict[str, Any]:
        patients, patient = np.unique(self.matrix.patients, return_inverse=True)
        splits, split = np.unique(self.matrix.splits, return_inverse=True)
        low, high = self.coordinates.min(axis=0), self.coordinates.max(axis=0)
        # The map is four wide and three high; one scale serves both axes.
        span = max(high[0] - low[0], (high[1] - low[1]) * 4 / 3) or 1.0
        places = (self.coordinates - (low + high) / 2) / span
        return {
            "names": self.names,
            "classes": self.matrix.class_names,
            "labels": self.matrix.labels.tolist(),
            "patients": patients.tolist() if self.matrix.patients_known else [],
            "patient": patient.tolist(),
            "splits": splits.tolist(),
            "split": split.tolist(),
            "x": _rounded(places[:, 0]),
            "y": _rounded(places[:, 1]),
            "axes": [_axis(self, number) for number in range(2)],
            "neighbors": self.neighbors.tolist(),
            "distances": [_rounded(row, 2) for row in self.distances],
            "probabilities": [_rounded(row) for row in self.probabilities],
            "issues": [issue.image for issue in self.label_issues],
            "tile": TILE if self.thumbnails is not None else 0,
            "columns": _columns(len(self)),
        }


def _axis(found: Exploration, number: int) -> str:
    if not found.explained:
        return f"{found.method.upper()} {number + 1}"
    percent = 100 * found.explained[number]
    return f"Principal component {number + 1} ({percent:.1f} % of the variance)"


def _rounded(values: npt.NDArray[np.float64], digits: int = 4) -> list[float | None]:
    return [None if math.isnan(value) else round(value, digits) for value in values.tolist()]


def _columns(count: int) -> int:
    return max(1, math.ceil(math.sqrt(count)))


def _sheet(thumbnails: npt.NDArray[np.uint8] | None) -> str:
    """Put all thumbnails into one JPEG, row by row, as a data address."""
    if thumbnails is None:
        return ""
    columns = _columns(len(thumbnails))
    rows = math.ceil(len(thumbnails) / columns)
    sheet = np.zeros((rows * columns, TILE, TILE), dtype=np.uint8)
    sheet[: len(thumbnails)] = thumbnails
    tiles = sheet.reshape(rows, columns, TILE, TILE).swapaxes(1, 2)
    buffer = io.BytesIO()
    Image.fromarray(tiles.reshape(rows * TILE, columns * TILE)).save(buffer, "JPEG", quality=70)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
