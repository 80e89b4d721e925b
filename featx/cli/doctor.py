"""Backbones with their weights, versions, engines and cache of this machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import util
from pathlib import Path
from typing import Any

from rich.box import SIMPLE, SIMPLE_HEAD
from rich.table import Table

from featx.backbones.brought import AnyBackbone, Backbone
from featx.backbones.kept import CONVERTED
from featx.backbones.network_check import kept_results
from featx.backbones.pooling import MAP_POOLINGS
from featx.backbones.registry import REGISTERED_ENGINES, get_backbone, list_backbones
from featx.backbones.weights import Weights, find_local_weights, find_weights
from featx.features.config import default_cache
from featx.runtime.files import TEMPORARY_PREFIX
from featx.runtime.versions import environment_versions


def backbone_rows(
    weights_dir: Path | None = None, name: str | None = None, cache: Path | None = None
) -> list[dict[str, Any]]:
    """Describe all backbones or a named one, and whether weights are on this machine."""
    rows = []
    for backbone in list_backbones() if name is None else [get_backbone(name)]:
        if isinstance(backbone, Backbone):
            weights: Weights | None = find_weights(backbone)
        else:
            weights = find_local_weights(backbone, weights_dir)
        rows.append(
            {
                "name": backbone.name,
                "size": backbone.size,
                "features": backbone.features,
                "stages": [asdict(stage) for stage in backbone.stages],
                "parameters": backbone.parameters,
                "has_weights": weights is not None,
                "weights": "to be downloaded" if weights is None else weights.description,
                "license": backbone.license,
            }
        )
        if name is not None:
            rows[0] |= _details(backbone, weights)
            folder = (default_cache() if cache is None else cache) / CONVERTED
            rows[0]["checks"] = kept_results(folder, backbone.name)
    return rows


def _details(backbone: AnyBackbone, weights: Weights | None) -> dict[str, Any]:
    """Describe preprocessing and origin of a network, under the names of its card."""
    found = {
        "source": backbone.source,
        "sha256": None if weights is None else weights.digest,
        "preprocessing": asdict(backbone.preprocessing),
        "framing": "squash",
        "poolings": list(MAP_POOLINGS),
        "engines": list(REGISTERED_ENGINES[1:]),
    }
    if isinstance(backbone, Backbone):
        found |= {
            "preprocessing": backbone.card,
            "framing": backbone.framing.to_value(),
            "poolings": list(backbone.poolings),
            "engines": list(backbone.engines),
        }
        if quantized := dict(backbone.quantized_from):
            found["quantized_from"] = {**quantized, "images": len(quantized["images"])}
    return found


def backbone_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Lay out rows of `backbone_rows` within 80 columns, those with weights first."""
    table = Table(box=SIMPLE_HEAD, header_style="bold", show_edge=False)
    table.add_column("Backbone", overflow="fold")
    for title in ("Input", "Features", "Parameters"):
        table.add_column(title, justify="right", no_wrap=True, min_width=len(title))
    table.add_column("Weights", no_wrap=True)
    table.add_column("License", no_wrap=True)
    for row in sorted(rows, key=lambda row: not row["has_weights"]):
        table.add_row(
            row["name"],
            str(row["size"][0]),
            f"{row['features']:,}",
            f"{row['parameters'] / 1e6:.1f} M" if row["parameters"] else "",
            "yes" if row["has_weights"] else "download",
            # Who released and ported the weights is in the JSON.
            row["license"].partition(" (")[0],
            style=None if row["has_weights"] else "dim",
        )
    return table


def detail_tables(row: Mapping[str, Any]) -> list[Table]:
    """Lay out stages, origin, preprocessing and kept checks of a named backbone."""
    tables = []
    if row["stages"]:
        stages = Table("Stage", box=SIMPLE_HEAD, header_style="bold", show_edge=False)
        for title in ("Resolution", "Channels"):
            stages.add_column(title, justify="right")
        for stage in row["stages"]:
            stages.add_row(stage["layer"], f"1/{stage['stride']}", f"{stage['channels']:,}")
        tables.append(stages)
    names = ["license", "source", "sha256", "preprocessing", "framing", "poolings", "engines"]
    names += ["quantized_from"] if "quantized_from" in row else []
    # Settings that mean nothing for this network are empty or 0.
    shown = {
        name: {key: each for key, each in row[name].items() if each or each is False}
        if isinstance(row[name], Mapping)
        else row[name] or "unknown"
        for name in names
    }
    return [*tables, findings_table(shown), _check_table(row["checks"])]


def _check_table(checks: Sequence[Mapping[str, Any]]) -> Table:
    """Lay out the kept results of the network check, the newest first."""
    table = Table("Network check", "Result", box=SIMPLE_HEAD, show_edge=False)
    for check in checks:
        size = " x ".join(map(str, check["size"]))
        settings = (check[name] for name in ("engine", "color", "pooling", "precision"))
        broken = [rule["rule"] for rule in check["rules"] if not rule["passed"]]
        result = f"fails: {', '.join(broken)}" if broken else f"passed {len(check['rules'])} rules"
        table.add_row(f"{size}, {', '.join(settings)}, weights {check['weights'][:8]}", result)
    if not checks:
        table.add_row("not yet in this cache", "checked when features are first extracted")
    return table


def examine(weights_dir: Path | None = None, cache: Path | None = None) -> dict[str, Any]:
    """Collect versions, engines, weights and the cache's state."""
    rows = backbone_rows(weights_dir)
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": environment_versions(),
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
            text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
            text = f"{text:,}" if isinstance(text, int) else text
            text = _joined(text) if isinstance(text, list | tuple) else str(text)
            yield f"{topic}: {name}" if topic != "versions" else name, text
    else:
        yield topic, finding if isinstance(finding, str) else _joined(finding) or "none"


def _joined(values: Sequence[object]) -> str:
    shown = (f"{each:.4g}" if isinstance(each, float) else str(each) for each in values)
    return ", ".join(shown)


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
