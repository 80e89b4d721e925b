"""Results folder of one run: another run is refused, or its files are removed on request."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from featx.benchmarking.column_rows import JOINED
from featx.benchmarking.config import BenchmarkConfig
from featx.benchmarking.data import RunData
from featx.benchmarking.gallery import gallery_files
from featx.errors import UsageError
from featx.features.columns import COLUMNS
from featx.reporting.records import END_TO_END, BenchmarkRow, current_names
from featx.reporting.results_folder import FINDINGS, GROUPS, read_json

logger = logging.getLogger(__name__)

# Settings that add rows or change no number; those of `_OF_IMAGES` act through the images.
_FREE = {"backbones", "classifiers", "baselines", "externals", "controls", "repeats", "adapt"}
_FREE |= {"learning_curve", "published", "rank_by", "n_jobs", "memory", "engine", "strict"}
_FREE |= {"rehash", "weights_dir", "cache", "internal_shifts", "covariates", "robustness", "unit"}
_FREE |= {"subgroups"}
_OF_IMAGES = {"patients", "labels", "rename_labels", "external_patients", "external_labels"}
_OF_IMAGES |= {"test_size", "leaks", "columns", "root", "uncertain", "skip_problems"}
_OF_IMAGES |= {"findings", "leave_group_out"}

_FILES = ("results.json", "run.json", "report.html", "table.md", "table.csv", "table.tex")
_TRAININGS = ("baselines", "tuned")
_TRAINING = ("log.csv", "network.keras", "validation.csv", "training.json", "curves.svg")


def prepare_folder(
    folder: Path, config: BenchmarkConfig, data: RunData, *, overwrite: bool = False
) -> None:
    """Refuse a folder with the results of another run, or remove that run's files."""
    old = read_json(folder / "run.json")
    rows = read_json(folder / "results.json")
    if old is None and rows is None:
        return
    differences = _differences(old or {}, rows or [], config, data)
    if not differences:
        return
    if not overwrite:
        raise UsageError(
            f"{folder} holds the results of another run: {'; '.join(differences)}. Give another "
            "--out, or --overwrite (overwrite=True) to remove that run's files"
        )
    logger.info(f"{folder}: {len(remove_run(folder)):,} files of another run removed")


def _differences(
    old: Mapping[str, Any], rows: Any, config: BenchmarkConfig, data: RunData
) -> list[str]:
    if not isinstance(old, dict) or not isinstance(rows, list) or "settings" not in old:
        return ["its run.json says nothing of its settings"]
    now = _effective(json.loads(json.dumps(config.to_dict())))
    then = _effective(current_names(old["settings"]))
    then = {name: value for name, value in then.items() if name in now}
    changed = [name for name in then if name not in _FREE and then[name] != now[name]]
    found = [
        f"{name} {then[name]!r}, now {now[name]!r}" for name in changed if name not in _OF_IMAGES
    ]
    if _images_differ(old, data):
        causes = [f"{n} {then[n]!r}, now {now[n]!r}" for n in changed if n in _OF_IMAGES]
        flows = old.get("flow", []), data.flow()
        counts = [f"{f[0]['images']:,} images" if f else "images not counted" for f in flows]
        what = "other images, labels, patients or splits"
        reason = "; ".join(causes) or (
            f"{counts[0]}, now {counts[1]}" if len({*counts}) > 1 else ""
        )
        found.append(f"{what} ({reason})" if reason else what)
    missing = [row.label for row in map(BenchmarkRow.from_dict, rows) if not _is_of(row, config)]
    if missing:
        found.append(f"models that this run would not have ({', '.join(missing)})")
    return found


def _effective(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the default that follows from another setting; early versions stored it."""
    views = settings.get("test_views")
    return {**settings, "test_views": settings.get("views") if views is None else views}


def _images_differ(old: Mapping[str, Any], data: RunData) -> bool:
    if "inputs" in old:
        return bool(old["inputs"] != data.inputs)
    # Early versions stored counts only, under other names of steps.
    counts = [[step["images"] for step in flow] for flow in (old.get("flow", []), data.flow())]
    return counts[0] != counts[1]


def _is_of(row: BenchmarkRow, config: BenchmarkConfig) -> bool:
    """Return whether a run with these settings has a row of this model."""
    if row.unit is not None and row.unit.name != config.unit:
        return False
    if row.kind == "control":
        return config.controls
    if row.classifier == END_TO_END:
        return row.backbone in config.baselines
    backbone = row.backbone.removesuffix(JOINED) if config.covariates else row.backbone
    backbones = (*config.row_backbones, *([COLUMNS] if config.covariates else []))
    backbones += (" & ".join(config.row_backbones),) if config.fuse else ()
    known = backbone in backbones and row.classifier in config.classifiers
    return known and (row.kind != "adapted" or config.adapt)


def remove_run(folder: Path) -> list[Path]:
    """Remove what a benchmark wrote, also by finding or group; return the files."""
    found = list(written_files(folder))
    parts = [each for kind in (FINDINGS, GROUPS) for each in folder.glob(f"{kind}/*/")]
    of_parts = [path for each in parts for path in remove_run(each)]
    for path in found:
        path.unlink()
    for training in _TRAININGS:
        for session in folder.glob(f"{training}/*/**/checkpoints/session.json"):
            shutil.rmtree(session.parent)
    # Deepest first; folders with files of others stay.
    folders = [path for path in folder.rglob("*") if path.is_dir()]
    for path in sorted(folders, reverse=True):
        with contextlib.suppress(OSError):
            path.rmdir()
    return [*found, *of_parts]


def written_files(folder: Path) -> Iterator[Path]:
    """List the files that a benchmark wrote, by their names and what they hold.

    Names are compared with what is there, so that no text in a file leads out of the folder.
    """
    names: set[str] = set()
    for path in folder.glob("rows/*.json"):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            if re.fullmatch(r"[0-9a-f]{24}", path.stem):
                row = json.loads(path.read_text(encoding="utf-8"))["row"]
                names |= {row.get("name", ""), row.get("file", "")}
                yield path
    for row in read_json(folder / "results.json") or []:
        names.add(row.get("name", ""))
    yield from (folder / name for name in _FILES if (folder / name).is_file())
    for path in folder.glob("models/*"):
        if path.suffix in (".skops", ".md") and path.stem in names:
            yield path
    for path in folder.glob("scores/*.csv"):
        if path.stem.partition("@")[0] in names or path.stem in names:
            yield path
    yield from gallery_files(folder)
    yield from (path for path in folder.glob("tuned/*.h5") if f"tuned/{path.name}" in names)
    for record in (path for name in _TRAININGS for path in folder.glob(f"{name}/*/training.json")):
        yield from (p for p in record.parent.rglob("*") if p.is_file() and p.name in _TRAINING)
