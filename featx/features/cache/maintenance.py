"""Listing, checking and pruning a cache."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from featx.errors import FeatxError, UsageError, check_names
from featx.features.cache.store import INDEX_NAME, SHARD_PATTERN, TAG_NAME, FeatureStore
from featx.features.recipe import Recipe
from featx.runtime.files import TEMPORARY_PREFIX
from featx.runtime.progress import progress

# A temporary file of a living process is renamed within seconds.
ABANDONED_SECONDS = 3600.0

# What a recipe's folder holds besides damaged and temporary files.
_OWN_FILES = (SHARD_PATTERN, "recipe.json", "probe.h5", INDEX_NAME)


def _stores(cache: Path) -> dict[Path, FeatureStore | None]:
    """Map the recipe folders of a cache to their stores, None for an unknown recipe."""
    if not cache.is_dir():
        raise UsageError(f"there is no cache at {cache}. Name another with --cache")
    return {path.parent: _open(path) for path in sorted(cache.glob("*/recipe.json"))}


def _open(path: Path) -> FeatureStore | None:
    try:
        recipe = Recipe.from_dict(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    store = FeatureStore(path.parents[1], recipe)
    return store if store.folder == path.parent else None


def list_recipes(cache: Path) -> list[dict[str, Any]]:
    """Describe the recipes of a cache, without reading features."""
    rows = []
    for folder, store in _stores(cache).items():
        shards = [status for _, status in _statuses(folder, SHARD_PATTERN)]
        newest = max((shard.st_mtime for shard in shards), default=None)
        rows.append(
            {
                "folder": folder.name,
                "backbone": "unknown recipe" if store is None else store.recipe.backbone,
                "weights": "" if store is None else store.recipe.weights[:16],
                "random_state": None if store is None else store.recipe.random_state,
                "shards": len(shards),
                "bytes": sum(shard.st_size for shard in shards),
                "damaged": len(_aside(folder)),
                "idle_days": None if newest is None else round((time.time() - newest) / 86400, 1),
            }
        )
    return rows


def _statuses(folder: Path, pattern: str) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield files with their status, skipping those that vanish meanwhile."""
    for path in sorted(folder.glob(pattern)):
        with contextlib.suppress(FileNotFoundError):
            yield path, path.stat()


def verify(cache: Path) -> list[dict[str, Any]]:
    """Check every shard against its checksum, and set damaged ones aside."""
    findings = []
    for folder, store in _stores(cache).items():
        before = _aside(folder)
        sound = rows = 0
        paths = [] if store is None else list(store.shard_paths())
        with progress(f"Checking {folder.name}", len(paths), "shards") as advance:
            for path in paths:
                shard = store.read(path) if store else None
                sound += shard is not None
                rows += 0 if shard is None else len(shard)
                advance()
        findings.append(
            {
                "folder": folder.name,
                "known_recipe": store is not None,
                "sound_shards": sound,
                "rows": rows,
                "set_aside": sorted(_aside(folder) - before),
                "unusable": {}
                if store is None
                else {path.name: reason for path, reason in sorted(store.unusable.items())},
            }
        )
    return findings


def _aside(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("damaged/*")}


def prune(
    cache: Path, *, idle_days: float | None = None, folders: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Delete damaged shards set aside, files that killed processes left, and named recipes.

    Safe while extractions run: no file is touched that a process still writes.
    """
    if idle_days is not None and not idle_days >= 0:
        raise UsageError(f"idle_days={idle_days} is no number of days; give 0 or more")
    # Another program's folder may have a recipe.json, too.
    own = {folder.name for folder, store in _stores(cache).items() if store is not None}
    rows = {row["folder"]: row for row in list_recipes(cache) if row["folder"] in own}
    check_names("cached recipe", folders, rows)
    limit = math.inf if idle_days is None else idle_days
    deleted = [name for name in rows if name in folders or (rows[name]["idle_days"] or 0) >= limit]
    files = list(_abandoned(cache)) if rows or (cache / TAG_NAME).is_file() else []
    for name in rows:
        files += [*(cache / name / "damaged").glob(SHARD_PATTERN), *_abandoned(cache / name)]
    for name in deleted:
        files += [path for pattern in _OWN_FILES for path in (cache / name).glob(pattern)]
    sizes = [size for size in map(_delete, files) if size is not None]
    for emptied in (path for name in deleted for path in (cache / name / "damaged", cache / name)):
        # A running extraction may have written something new; then the folder stays.
        with contextlib.suppress(OSError):
            emptied.rmdir()
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
    """Find temporary files of killed processes."""
    for path, status in _statuses(folder, f"{TEMPORARY_PREFIX}*"):
        if time.time() - status.st_mtime > ABANDONED_SECONDS:
            yield path
