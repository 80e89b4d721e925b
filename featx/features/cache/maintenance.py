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

from featx.backbones.kept import CONVERTED
from featx.errors import FeatxError, UsageError, check_names
from featx.features.cache.store import INDEX_NAME, SHARD_PATTERN, TAG_NAME, FeatureStore
from featx.features.recipe import Recipe
from featx.runtime.files import TEMPORARY_PREFIX, file_digest, set_aside
from featx.runtime.progress import progress

# A temporary file of a living process is renamed within seconds.
ABANDONED_SECONDS = 3600.0

# What a recipe's folder holds besides damaged and temporary files.
_OWN_FILES = (SHARD_PATTERN, "recipe.json", "probe.h5", INDEX_NAME)

# Folders of networks; the second is of earlier versions, and nothing reads it.
_NETWORKS = (CONVERTED, "quantized")
# Networks and their notes.
_NETWORK_FILES = tuple(f"*-{'[0-9a-f]' * 64}.{suffix}" for suffix in ("*zip", "json"))


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
    """Describe the recipes of a cache and its networks, without reading features."""
    rows = []
    for folder, store in _stores(cache).items():
        recipe = None if store is None else store.recipe
        facts = {
            "kind": "shards",
            "backbone": "unknown recipe" if recipe is None else recipe.backbone,
            "weights": "" if recipe is None else recipe.weights[:16],
            "random_state": None if recipe is None else recipe.random_state,
        }
        rows.append({"folder": folder.name, **facts, **_sizes(folder, SHARD_PATTERN)})
    for name in _NETWORKS:
        facts = {"kind": "networks", "backbone": "", "weights": "", "random_state": None}
        sizes = _sizes(cache / name, _NETWORK_FILES[0])
        if sizes["shards"] or sizes["damaged"]:
            rows.append({"folder": name, **facts, **sizes})
    return rows


def _sizes(folder: Path, pattern: str) -> dict[str, Any]:
    files = [status for _, status in _statuses(folder, pattern)]
    newest = max((status.st_mtime for status in files), default=None)
    return {
        "shards": len(files),
        "bytes": sum(status.st_size for status in files),
        "damaged": len(_aside(folder)),
        "idle_days": None if newest is None else round(_days_since(newest), 1),
    }


def _days_since(moment: float) -> float:
    return (time.time() - moment) / 86400


def _statuses(folder: Path, pattern: str) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield files with their status, skipping those that vanish meanwhile."""
    for path in sorted(folder.glob(pattern)):
        with contextlib.suppress(FileNotFoundError):
            yield path, path.stat()


def verify(cache: Path) -> list[dict[str, Any]]:
    """Check every shard and network against its checksum, and set damaged ones aside."""
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
        finding = {"folder": folder.name, "kind": "shards", "known_recipe": store is not None}
        finding |= {"sound_shards": sound, "rows": rows}
        finding["set_aside"] = sorted(_aside(folder) - before)
        unusable = {} if store is None else store.unusable
        finding["unusable"] = {path.name: reason for path, reason in sorted(unusable.items())}
        findings.append(finding)
    folders = (cache / name for name in _NETWORKS)
    return findings + [_verify_networks(folder) for folder in folders if folder.is_dir()]


def _verify_networks(folder: Path) -> dict[str, Any]:
    before, unusable = _aside(folder), {}
    paths = sorted(folder.glob(_NETWORK_FILES[0]))
    for path in paths:
        if file_digest(path) != path.name.partition(".")[0][-64:]:
            unusable[path.name] = f"its checksum does not match; {set_aside(path)}"
    return {
        "folder": folder.name,
        "kind": "networks",
        "known_recipe": True,
        "sound_shards": len(paths) - len(unusable),
        "rows": 0,
        "set_aside": sorted(_aside(folder) - before),
        "unusable": unusable,
    }


def _aside(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("damaged/*")}


def prune(
    cache: Path, *, idle_days: float | None = None, folders: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Delete damaged files set aside, files that killed processes left, and named recipes.

    Converted networks that were idle for as many days are deleted, too.

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
    files: list[Path] = []
    if rows or (cache / TAG_NAME).is_file():
        files += _abandoned(cache)
        for folder in (cache / name for name in _NETWORKS):
            files += [*(folder / "damaged").glob(_NETWORK_FILES[0]), *_abandoned(folder)]
            networks = [each for pattern in _NETWORK_FILES for each in _statuses(folder, pattern)]
            files += [path for path, status in networks if _days_since(status.st_mtime) >= limit]
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
