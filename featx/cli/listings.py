"""Backbones and their weights, as records and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from featx.backbones.registry import list_backbones
from featx.backbones.weights import find_local_weights

__all__ = ["backbone_rows", "backbone_table"]


def backbone_rows(weights_dir: Path | None = None) -> list[dict[str, Any]]:
    """Describe every backbone, and whether its weights are on this machine."""
    rows = []
    for backbone in list_backbones():
        weights = find_local_weights(backbone, weights_dir)
        rows.append(
            {
                "name": backbone.name,
                "size": list(backbone.size),
                "features": backbone.features,
                "parameters": backbone.parameters,
                "has_weights": weights is not None,
                "weights": "to be downloaded" if weights is None else weights.description,
                "license": backbone.license,
            }
        )
    return rows


def backbone_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Lay out rows of `backbone_rows` within 80 columns, those with weights first."""
    table = Table(box=SIMPLE_HEAD, header_style="bold", show_edge=False)
    table.add_column("Backbone", no_wrap=True)
    for title in ("Input", "Features", "Parameters"):
        table.add_column(title, justify="right")
    table.add_column("Weights", no_wrap=True)
    table.add_column("License", no_wrap=True)
    for row in sorted(rows, key=lambda row: not row["has_weights"]):
        table.add_row(
            row["name"],
            str(row["size"][0]),
            f"{row['features']:,}",
            f"{row['parameters'] / 1e6:.1f} M",
            "yes" if row["has_weights"] else "download",
            # Who released and ported the weights is in the JSON.
            row["license"].partition(" (")[0],
            style=None if row["has_weights"] else "dim",
        )
    return table
