"""A benchmark's folder read back: rows, run metadata, predictions, training logs, gallery."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from featx.audit.findings import Finding
from featx.classifiers.predictions import Predictions
from featx.datasets.inventory import Inventory
from featx.errors import FeatxError, UsageError, find_name, listed
from featx.metrics.operating_point import OperatingPoint
from featx.metrics.planning import Plan, measure_pilot
from featx.reporting.notes import Note, read_notes
from featx.reporting.records import BenchmarkRow
from featx.runtime.kinds import expect

# What content of wrong types causes: in Python, in NumPy, and in a template.
_CONTENT_ERRORS: tuple[type[Exception], ...]
_CONTENT_ERRORS = (ArithmeticError, AttributeError, LookupError, OSError, RecursionError)
_CONTENT_ERRORS += (TypeError, ValueError, TemplateError)

FINDINGS = "findings"
"""Folder with a folder for each finding of a run on several; ``run.json`` lists them so."""

GROUPS = "groups"
"""Folder with a folder for each group of a run that leaves one out; listed likewise."""

_LONGEST = 60
_RESERVED = frozenset(
    ("con", "prn", "aux", "nul", *(f"{p}{i}" for p in ("com", "lpt") for i in range(10)))
)

# Names of steps as runs store them.
_STARTS = ("listed in the table", "found in the folder")


@dataclass(frozen=True)
class FlowStep:
    """Images at one step from the folder to the table; `role`: start, excluded or end."""

    step: str
    images: int
    patients: int | None
    classes: Mapping[str, int] = field(default_factory=dict)

    @property
    def role(self) -> str:
        """Where in the flow the step is."""
        if self.step in _STARTS:
            return "start"
        return "excluded" if self.step.endswith(", left out") else "end"

    @property
    def text(self) -> str:
        """The step as text."""
        classes = ", ".join(f"{n:,} {name}" for name, n in self.classes.items())
        return f"{self.step}: {self.counts}{classes and f' ({classes})'}"

    @property
    def counts(self) -> str:
        """Numbers of images and patients as text."""
        images = f"{self.images:,} image{'' if self.images == 1 else 's'}"
        if self.patients is None:
            return images
        return f"{images} of {self.patients:,} patient{'' if self.patients == 1 else 's'}"


@dataclass(frozen=True)
class Picture:
    """One thumbnail of the gallery; image and heat map are data addresses."""

    path: str
    truth: str
    called: str
    kind: str
    probability: float
    image: str
    heat_map: str


@dataclass(frozen=True)
class Results:
    """Everything that a page is made of.

    `run` holds the metadata of ``run.json`` as stored; `predictions` is by set of images (``""``
    is the test set) and name of row, `inventories` by set (``""`` is training and test images).
    """

    rows: list[BenchmarkRow]
    run: Mapping[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    inventories: Mapping[str, Inventory] = field(default_factory=dict)
    flow: list[FlowStep] = field(default_factory=list)
    class_names: tuple[str, ...] = ()
    predictions: Mapping[str, Mapping[str, Predictions]] = field(default_factory=dict)
    logs: Mapping[str, Mapping[str, list[float]]] = field(default_factory=dict)
    gallery: list[Picture] = field(default_factory=list)
    gallery_of: str = ""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings of the run, by name."""
        return self.run.get("settings", {})

    @property
    def patients_known(self) -> bool:
        """Whether patients of the images are known."""
        # Rows of a table that are left out have neither class nor patient.
        counted = [step for step in self.flow if step.classes]
        return all(step.patients is not None for step in counted[:1])

    @property
    def operating_point(self) -> OperatingPoint:
        """Rule that chose the thresholds of all models."""
        return OperatingPoint.parse(self.settings.get("operating_point") or "youden")

    @property
    def random_state(self) -> int:
        """Seed of the run, which the first version stored as ``seed``."""
        return int(self.settings.get("random_state", self.settings.get("seed", 0)))


def read_results(folder: str | Path) -> Results:
    """Read what a benchmark of any version wrote; no image and no network is needed."""
    folder = expect(folder, "results")
    with damaged(folder):
        return _read(folder)


@contextmanager
def damaged(path: str | Path) -> Iterator[None]:
    """Say that a file or folder is damaged, whatever error its content causes."""
    try:
        yield
    except FeatxError:
        raise
    except _CONTENT_ERRORS as error:
        raise FeatxError(
            f"{path} is damaged, or was edited ({type(error).__name__}: {str(error)[:200]}); copy "
            "the results folder again from where it was made, or run the benchmark again"
        ) from error


def _read(folder: Path) -> Results:
    with damaged(folder / "run.json"):
        run = dict(read_json(folder / "run.json") or {})
    content = read_json(folder / "results.json")
    if content is None and run.get("finished") is False:
        # Stopped before its first row.
        content = []
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise UsageError(
            f"{folder / 'results.json'} is missing or not of a benchmark; give the folder that "
            "`featx benchmark --out` wrote"
        )
    with damaged(folder / "results.json"):
        rows = [BenchmarkRow.from_dict(entry) for entry in content]
    predictions: dict[str, dict[str, Predictions]] = {}
    for row in rows:
        for name in ("", *row.externals):
            # Only the file's own name: nothing outside this folder is read.
            file = Path(f"{row.name}@{name}.csv" if name else f"{row.name}.csv").name
            path = folder / "scores" / file
            if not path.is_file():
                continue
            with damaged(path):
                predictions.setdefault(name, {})[row.name] = Predictions.from_csv(path)
    known = [each.class_names for each in predictions.get("", {}).values()]
    trained = folder / "baselines"
    logs = {row.name: _read_log(trained / Path(row.name).name / "log.csv") for row in rows}
    with damaged(folder / "gallery" / "gallery.json"):
        pictures, gallery_of = _read_gallery(folder / "gallery")
    return Results(
        rows=rows,
        run=run,
        notes=read_notes(run),
        findings=[Finding.from_dict(each) for each in run.get("audit", {}).get("findings", [])],
        inventories={
            name: Inventory.from_dict(each) for name, each in run.get("inventory", {}).items()
        },
        flow=_read_flow(run, rows),
        class_names=tuple(run.get("class_names") or (known[0] if known else ())),
        predictions=predictions,
        logs={name: log for name, log in logs.items() if log},
        gallery=pictures,
        gallery_of=gallery_of,
    )


def part_names(names: Sequence[str]) -> dict[str, str]:
    """Return a name of a folder for each finding or group, of letters, digits and hyphens.

    Examples
    --------
    >>> part_names(["Pleural Effusion", "Edema"])
    {'Pleural Effusion': 'pleural-effusion', 'Edema': 'edema'}
    >>> part_names(["A b", "a/b", "CON"])
    {'A b': 'a-b-a760b0e1', 'a/b': 'a-b-c14cddc0', 'CON': 'con-a3dbc4b6'}
    """
    plain = {name: re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in names}
    counts = Counter(plain.values())
    folders = {}
    for name, slug in plain.items():
        # Folders of Windows have other reserved names.
        safe = counts[slug] == 1 and 0 < len(slug) <= _LONGEST and slug not in _RESERVED
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        folders[name] = slug if safe else f"{slug[:_LONGEST]}-{digest}".strip("-")
    return folders


def part_folders(folder: str | Path, run: Mapping[str, Any], kind: str) -> dict[str, Path]:
    """Return the folder of each finding (`FINDINGS`) or group (`GROUPS`) of a run.

    Examples
    --------
    >>> part_folders("out", {"groups": [{"name": "Site A", "folder": "site-a"}]}, GROUPS)
    {'Site A': PosixPath('out/groups/site-a')}
    """
    # Only the folder's own name: nothing outside is read or written.
    return {
        each["name"]: Path(folder, kind, Path(each["folder"]).name) for each in run.get(kind, [])
    }


def best_place(rows: Sequence[BenchmarkRow]) -> int | None:
    """Return the place of the model with the greatest AUC out of fold, None without one.

    Examples
    --------
    >>> from featx.metrics.scores import Scores
    >>> first = BenchmarkRow("a", "a", "svm", "frozen", Scores({}, 8), auc_out_of_fold=0.8)
    >>> best_place([first])
    0
    """
    known = {
        place: row.auc_out_of_fold
        for place, row in enumerate(rows)
        if row.kind not in ("control", "unit") and row.auc_out_of_fold is not None
    }
    return max(known, key=lambda place: known[place], default=None)


def read_pilot(folder: str | Path, metric: str = "auc", row: str | None = None) -> Plan:
    """Measure on the test images of a benchmark of two classes what `featx.metrics.plan` needs.

    Figures are at the threshold of the row, which is named where there are several.
    """
    results = read_results(folder)
    predictions = results.predictions.get("", {})
    rows = {each.name: each for each in results.rows if each.name in predictions}
    if not rows:
        raise UsageError(
            f"{folder} has no predictions of its own; with several findings, give one's folder"
        )
    if row is None and len(rows) != 1:
        raise UsageError(f"{folder} has the rows {listed(rows, 8)}; name one by --row")
    name = find_name("row", row or next(iter(rows)), rows)
    found, cut = predictions[name], rows[name].threshold
    if len(found.class_names) != 2 or isinstance(cut, tuple):
        raise UsageError(f"{name} has {len(found.class_names)} classes; a plan is for two")
    return measure_pilot(
        metric,
        found.labels,
        found.probabilities[:, 1],
        threshold=cut,
        groups=found.patients,
        pos_label=1,
    )


def read_json(path: Path) -> Any:
    """Read a JSON file; None where there is none."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from error


def _read_flow(run: Mapping[str, Any], rows: Sequence[BenchmarkRow]) -> list[FlowStep]:
    """Read the flow of images; without one, take what the rows say of it."""
    if run.get("flow") or not rows:
        return [FlowStep(**step) for step in run.get("flow", [])]
    scores = rows[0].scores
    return [
        FlowStep("training", rows[0].n_train, None),
        FlowStep("test", scores.n, scores.n_patients),
    ]


def _read_log(path: Path) -> dict[str, list[float]]:
    if not path.is_file():
        return {}
    with damaged(path), path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
        columns = lines[0] if lines else {}
        return {name: [float(line[name] or "nan") for line in lines] for name in columns}


def _read_gallery(folder: Path) -> tuple[list[Picture], str]:
    content = read_json(folder / "gallery.json") or {"pictures": [], "row": ""}
    pictures = []
    for entry in content["pictures"]:
        # Only the file's own name: the page shows nothing from outside this folder.
        file = folder / Path(entry.pop("file")).name
        if file.is_file():
            heat_map = _data_address(file.with_suffix(".heat.jpg"))
            pictures.append(Picture(image=_data_address(file), heat_map=heat_map, **entry))
    return pictures, content["row"]


def _data_address(path: Path) -> str:
    """Return a JPEG file as an address; empty where there is none."""
    if not path.is_file():
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode()
