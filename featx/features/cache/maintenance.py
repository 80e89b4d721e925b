"""Looking after the cache: what is in it, whether it is sound, and keeping it small."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featx.errors import FeatxError, UsageError
from featx.features.cache.part_index import INDEX_NAME
from featx.features.cache.store import FeatureStore, Part, RowKey
from featx.features.recipe import Recipe
from featx.runtime.files import TEMPORARY_PREFIX
from featx.runtime.progress import progress

__all__ = ["compact", "list_recipes", "prune", "stores", "verify"]

# Compaction leaves parts of about this size: few enough to open quickly, small enough to hold.
BYTES_A_PART = 64 * 2**20

# A temporary file of a living process is renamed within seconds.
ABANDONED_SECONDS = 3600.0


@dataclass(frozen=True)
class RecipeFolder:
    """One recipe's folder in a cache."""

    path: Path
    store: FeatureStore | None


def stores(cache: Path) -> list[RecipeFolder]:
    """Find the recipes of a cache."""
    if not cache.is_dir():
        raise UsageError(f"there is no cache at {cache}; name another with --cache")
    folders = sorted(path.parent for path in cache.glob("*/recipe.json"))
    return [RecipeFolder(folder, _open(cache, folder)) for folder in folders]


def _open(cache: Path, folder: Path) -> FeatureStore | None:
    try:
        recipe = Recipe.from_dict(json.loads((folder / "recipe.json").read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    store = FeatureStore(cache, recipe)
    return store if store.folder == folder else None


def list_recipes(cache: Path) -> list[dict[str, Any]]:
    """Tell what a cache holds, without reading features."""
    rows = []
    for folder in stores(cache):
        parts = [status for _, status in _statuses(folder.path, "part-*.h5")]
        recipe = None if folder.store is None else folder.store.recipe
        newest = max((part.st_mtime for part in parts), default=None)
        rows.append(
            {
                "folder": folder.path.name,
                "backbone": "unknown recipe" if recipe is None else recipe.backbone,
                "weights": "" if recipe is None else recipe.weights[:16],
                "random_state": None if recipe is None else recipe.random_state,
                "parts": len(parts),
                "bytes": sum(part.st_size for part in parts),
                "damaged": len(list(folder.path.glob("damaged/*"))),
                "idle_days": None if newest is None else round((time.time() - newest) / 86400, 1),
            }
        )
    return rows


def _statuses(folder: Path, pattern: str) -> Iterator[tuple[Path, os.stat_result]]:
    """Look at files, some of which another process may just be taking away."""
    for path in sorted(folder.glob(pattern)):
        with contextlib.suppress(FileNotFoundError):
            yield path, path.stat()


def verify(cache: Path) -> list[dict[str, Any]]:
    """Read every part, check it against its checksum, and set damaged ones aside."""
    findings = []
    for folder in stores(cache):
        before = _aside(folder.path)
        sound = rows = 0
        if folder.store is not None:
            names = len(list(folder.path.glob("part-*.h5")))
            with progress(f"Checking {folder.path.name}", names, "parts") as advance:
                for part in folder.store.parts():
                    sound += 1
                    rows += len(part)
                    advance()
        findings.append(
            {
                "folder": folder.path.name,
                "known_recipe": folder.store is not None,
                "sound_parts": sound,
                "rows": rows,
                "set_aside": sorted(_aside(folder.path) - before),
            }
        )
    return findings


def _aside(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("damaged/*")}


def compact(cache: Path) -> list[dict[str, Any]]:
    """Merge small parts into larger ones; rows that stand twice are kept once.

    Safe beside running extractions: a merged part is on disk before those that it replaces go, and
    a reader whose part goes away looks again.
    """
    results = []
    for folder in stores(cache):
        before = len(list(folder.path.glob("part-*.h5")))
        if folder.store is not None:
            for group in _groups(folder.store):
                _merge(folder.store, group)
            folder.store.save_index()
        after = len(list(folder.path.glob("part-*.h5")))
        results.append({"folder": folder.path.name, "parts_before": before, "parts_after": after})
    return results


def _groups(store: FeatureStore) -> Iterator[list[Path]]:
    """Part the small parts into groups that make one larger part each."""
    group: list[Path] = []
    size = 0
    for path, status in _statuses(store.folder, "part-*.h5"):
        if status.st_size >= BYTES_A_PART // 2:
            continue
        if group and size + status.st_size > BYTES_A_PART:
            yield group
            group, size = [], 0
        group.append(path)
        size += status.st_size
    if group:
        yield group


def _merge(store: FeatureStore, paths: list[Path]) -> None:
    parts: list[tuple[Path, Part]] = []
    for path in paths:
        part = store.read(path)
        if part is not None:
            parts.append((path, part))
    if len(parts) < 2:
        return
    if len({part.versions for _, part in parts}) > 1:
        # Rows of different library versions stay apart, so that each part tells its own.
        for versions in {part.versions for _, part in parts}:
            alike = [path for path, part in parts if part.versions == versions]
            _merge(store, alike)
        return
    rows: dict[RowKey, np.ndarray] = {}
    for _, part in parts:
        for key, row in zip(part.keys, part.features, strict=True):
            rows.setdefault(key, row)
    seconds = sum(part.seconds for _, part in parts)
    merged = store.add(list(rows), np.stack(list(rows.values())), seconds, parts[0][1].versions)
    for path, _ in parts:
        if path != merged:
            path.unlink(missing_ok=True)


def prune(
    cache: Path, *, idle_days: float | None = None, folders: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Delete what is of no use: damaged parts set aside, files left by kills, and what is named.

    Safe beside running extractions: only files that nobody writes any more are touched, and rows
    of a recipe that is deleted under a running extraction stand in its memory.
    """
    known = {row["folder"]: row for row in list_recipes(cache)}
    strangers = [name for name in folders if name not in known]
    if strangers:
        raise UsageError(
            f"there is no recipe {strangers[0]!r} in {cache} (there are: {', '.join(known)})"
        )
    deleted: list[str] = []
    freed = [_delete(path) for path in _abandoned(cache)]
    for row in known.values():
        path = cache / row["folder"]
        idle = idle_days is not None and (row["idle_days"] or 0) >= idle_days
        everything = idle or path.name in folders
        if everything:
            deleted.append(path.name)
        freed += [_delete(file) for file in _useless(path, everything)]
        if everything:
            _remove_if_empty(path)
    sizes = [size for size in freed if size is not None]
    return {"recipes": deleted, "files": len(sizes), "bytes": sum(sizes)}


def _delete(file: Path) -> int | None:
    """Delete a file and return its size, or None where another process was first."""
    try:
        size = file.stat().st_size
        file.unlink()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FeatxError(f"{file} cannot be deleted ({error.strerror})") from error
    return size


def _abandoned(folder: Path) -> Iterator[Path]:
    """Find what killed processes were writing."""
    for path, status in _statuses(folder, f"{TEMPORARY_PREFIX}*"):
        if time.time() - status.st_mtime > ABANDONED_SECONDS:
            yield path


def _useless(folder: Path, everything: bool) -> Iterator[Path]:
    yield from folder.glob("damaged/*")
    yield from _abandoned(folder)
    if everything:
        yield from folder.glob("part-*.h5")
        yield from folder.glob("*.json")
        yield from folder.glob("probe.h5")
        yield from folder.glob(INDEX_NAME)


def _remove_if_empty(folder: Path) -> None:
    for path in (folder / "damaged", folder):
        # A running extraction may have put something new there: then it stays.
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
