"""Versions, engines, weights and cache of this machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata, util
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from featx.cli.listings import backbone_rows
from featx.features.config import default_cache
from featx.runtime.files import TEMPORARY_PREFIX

__all__ = ["examine", "findings_table", "library_versions"]

_LIBRARIES = (
    "featx",
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "openvino",
    "scikit-learn",
    "xgboost",
    "xgboost-cpu",
    "numpy",
    "scipy",
    "h5py",
    "pillow",
    "opencv-python-headless",
    "skops",
)

_YES = {True: "yes", False: "no"}


def examine(weights_dir: Path | None = None, cache: Path | None = None) -> dict[str, Any]:
    """Collect versions, engines, weights and the cache's state."""
    rows = backbone_rows(weights_dir)
    return {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": library_versions(),
        "engines": [name for name in ("keras", "openvino") if util.find_spec(name)],
        "weights found": [row["name"] for row in rows if row["has_weights"]],
        "weights to download": [row["name"] for row in rows if not row["has_weights"]],
        "cache": _cache(default_cache() if cache is None else cache),
    }


def findings_table(findings: Mapping[str, Any]) -> Table:
    """Lay out what `examine` returned, one finding per line."""
    table = Table(box=SIMPLE, show_header=False, show_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for topic, finding in findings.items():
        for name, text in _lines(topic, finding):
            table.add_row(name, text)
    return table


def _lines(topic: str, finding: Any) -> Iterator[tuple[str, str]]:
    if isinstance(finding, Mapping):
        for name, value in finding.items():
            text = _YES[value] if isinstance(value, bool) else value
            text = f"{text:,}" if isinstance(text, int) else text
            yield f"{topic}: {name}" if topic != "versions" else name, text
    else:
        yield topic, finding if isinstance(finding, str) else ", ".join(finding) or "none"


def library_versions() -> dict[str, str]:
    """Return the version of each library that decides results, or ``"not installed"``."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _cache(folder: Path) -> dict[str, Any]:
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    shards = list(folder.glob("*/part-*.h5"))
    return {
        "folder": str(folder),
        "writable": os.access(nearest, os.W_OK),
        "recipes": len({shard.parent for shard in shards}),
        "shards": len(shards),
        "bytes": sum(shard.stat().st_size for shard in shards),
        "damaged shards set aside": len(list(folder.glob("*/damaged/*"))),
        "unfinished files": len(list(folder.glob(f"*/{TEMPORARY_PREFIX}*"))),
    }
