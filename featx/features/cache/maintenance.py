"""Listing, checking and pruning a cache."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featx.errors import FeatxError, UsageError, unknown_name
from featx.features.cache.store import INDEX_NAME, SHARD_PATTERN, FeatureStore
from featx.features.recipe import Recipe
from featx.runtime.files import TEMPORARY_PREFIX
from featx.runtime.progress import progress

__all__ = ["list_recipes", "prune", "stores", "verify"]

# A temporary file of a living process is renamed within seconds.
ABANDONED_SECONDS = 3600.0


@dataclass(frozen=True)
class RecipeFolder:
    """One recipe's folder in a cache."""

    path: Path
    store: FeatureStore | None


def stores(cache: Path) -> list[RecipeFolder]:
    """Find the recipe folders of a cache."""
    if not cache.is_dir():
        raise UsageError(f"there is no cache at {cache}. Name another with --cache")
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
    """Describe the recipes of a cache, without reading features."""
    rows = []
    for folder in stores(cache):
        shards = [status for _, status in _statuses(folder.path, SHARD_PATTERN)]
        recipe = None if folder.store is None else folder.store.recipe
        newest = max((shard.st_mtime for shard in shards), default=None)
        rows.append(
            {
                "folder": folder.path.name,
                "backbone": "unknown recipe" if recipe is None else recipe.backbone,
                "weights": "" if recipe is None else recipe.weights[:16],
                "random_state": None if recipe is None else recipe.random_state,
                "shards": len(shards),
                "bytes": sum(shard.st_size for shard in shards),
                "damaged": len(list(folder.path.glob("damaged/*"))),
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
    for folder in stores(cache):
        before = _aside(folder.path)
        sound = rows = 0
        if folder.store is not None:
            paths = list(folder.store.shard_paths())
            with progress(f"Checking {folder.path.name}", len(paths), "shards") as advance:
                for path in paths:
                    shard = folder.store.read(path)
                    sound += shard is not None
                    rows += 0 if shard is None else len(shard)
                    advance()
        findings.append(
            {
                "folder": folder.path.name,
                "known_recipe": folder.store is not None,
                "sound_shards": sound,
                "rows": rows,
                "set_aside": sorted(_aside(folder.path) - before),
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
    known = {row["folder"]: row for row in list_recipes(cache)}
    for name in folders:
        if name not in known:
            raise unknown_name("cached recipe", name, known)
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
    """Find temporary files of killed processes."""
    for path, status in _statuses(folder, f"{TEMPORARY_PREFIX}*"):
        if time.time() - status.st_mtime > ABANDONED_SECONDS:
            yield path


def _useless(folder: Path, everything: bool) -> Iterator[Path]:
    yield from folder.glob("damaged/*")
    yield from _abandoned(folder)
    if everything:
        yield from folder.glob(SHARD_PATTERN)
        yield from folder.glob("*.json")
        yield from folder.glob("probe.h5")
        yield from folder.glob(INDEX_NAME)


def _remove_if_empty(folder: Path) -> None:
    for path in (folder / "damaged", folder):
        # A running extraction may have written something new.
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
