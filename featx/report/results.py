"""A benchmark's folder, read back: rows, run, scores, training logs, gallery."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.classifiers.predictions import Predictions
from featx.errors import UsageError

__all__ = ["Picture", "Results", "best_place", "read_results"]

Row = dict[str, Any]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Picture:
    """One thumbnail of the gallery."""

    image: str
    heat_map: str
    path: str
    truth: str
    called: str
    kind: str
    probability: float


@dataclass(frozen=True)
class Results:
    """Everything that a page is made of."""

    rows: list[Row]
    run: dict[str, Any]
    class_names: tuple[str, ...]
    scores: dict[str, dict[str, Predictions]]
    logs: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    gallery: list[Picture] = field(default_factory=list)
    gallery_of: str = ""


def read_results(folder: str | Path) -> Results:
    """Read what ``featx benchmark`` left; no image and no network is needed."""
    folder = Path(folder)
    rows = _read_json(folder / "results.json")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError(
            f"{folder / 'results.json'} is missing or not of a benchmark; give the folder that "
            "`featx benchmark --out` wrote"
        )
    rows = [{"name": f"{row['backbone']}-{row['classifier']}", **row} for row in rows]
    sets: dict[str, dict[str, Predictions]] = {"": {}}
    for row in rows:
        for external in ("", *row.get("externals", {})):
            name = f"{row['name']}@{external}" if external else row["name"]
            file = folder / "scores" / f"{name}.csv"
            if file.is_file():
                sets.setdefault(external, {})[row["name"]] = Predictions.from_csv(file)
    run = _read_json(folder / "run.json") or {}
    known = [scored.class_names for scored in sets[""].values()]
    logs = {row["name"]: _read_log(folder / "baselines" / row["name"] / "log.csv") for row in rows}
    pictures, shown = _read_gallery(folder / "gallery")
    return Results(
        rows=rows,
        run=run,
        class_names=tuple(run.get("class_names") or (known[0] if known else ())),
        scores={name: scored for name, scored in sets.items() if scored},
        logs={name: log for name, log in logs.items() if log},
        gallery=pictures,
        gallery_of=shown,
    )


def best_place(rows: Sequence[Row], figure: str) -> int | None:
    """Find the row that did best before any test image was looked at.

    Examples
    --------
    >>> rows = [{"kind": "frozen", "auc_out_of_fold": auc} for auc in (0.8, 0.9)]
    >>> best_place(rows, "auc_out_of_fold"), best_place(rows, "validation_auc")
    (1, None)
    """
    known = [
        place
        for place, row in enumerate(rows)
        if row["kind"] != "control" and row.get(figure) is not None
    ]
    return max(known, key=lambda place: rows[place][figure], default=None)


def _read_json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from error


def _read_log(path: Path) -> dict[str, list[float]]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    columns = lines[0] if lines else {}
    return {name: [float(line[name] or "nan") for line in lines] for name in columns}


def _read_gallery(folder: Path) -> tuple[list[Picture], str]:
    content = _read_json(folder / "gallery.json") or {"pictures": [], "row": ""}
    pictures = []
    for entry in content["pictures"]:
        # A file's own name only: the page shows nothing from outside this folder.
        file = folder / Path(entry["file"]).name
        if file.is_file():
            heat = file.with_suffix(".heat.jpg")
            told = {name: entry[name] for name in ("path", "truth", "called", "kind")}
            pictures.append(
                Picture(
                    image=_data_address(file),
                    heat_map=_data_address(heat) if heat.is_file() else "",
                    probability=entry["probability"],
                    **told,
                )
            )
    return pictures, content["row"]


def _data_address(path: Path) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()
