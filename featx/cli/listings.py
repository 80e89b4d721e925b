"""What can be chosen from, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from featx.backbones.registry import list_backbones
from featx.backbones.weights import find_local_weights

__all__ = ["backbone_rows", "rows_to_terminal"]


def backbone_rows(weights_dir: Path | None = None) -> list[dict[str, Any]]:
    """Describe every backbone, and whether its weights need a download."""
    rows = []
    for backbone in list_backbones():
        weights = find_local_weights(backbone, weights_dir)
        rows.append(
            {
                "name": backbone.name,
                "size": list(backbone.size),
                "features": backbone.features,
                "parameters": backbone.parameters,
                "weights_at_hand": weights is not None,
                "weights": "to be downloaded" if weights is None else weights.description,
                "license": backbone.license,
            }
        )
    return rows


def rows_to_terminal(rows: Sequence[dict[str, Any]]) -> Table:
    """Lay out what `backbone_rows` says for a terminal."""
    table = Table(header_style="bold")
    for name in rows[0]:
        if name != "weights_at_hand":
            numeric = isinstance(rows[0][name], int)
            table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_text(row[name]) for name in row if name != "weights_at_hand"))
    return table


def _text(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return " x ".join(map(str, value)) if isinstance(value, list) else str(value)
