"""Published figures on Kermany's X-rays: listed separately, never ranked with measured rows."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any, cast

from featx.datasets.dataset import ImageDataset


def is_kermany(images: ImageDataset) -> bool:
    """Return whether images have the class and file names of Kermany et al. 2018.

    Examples
    --------
    >>> import numpy as np
    >>> is_kermany(ImageDataset.from_arrays(np.zeros((2, 4, 4), np.uint8), ["NORMAL", "PNEUMONIA"]))
    False
    """
    if images.class_names != ("NORMAL", "PNEUMONIA"):
        return False
    pattern = re.compile(r"(person\d+_(bacteria|virus)|IM-\d{4})[_-]")
    return 2 * sum(bool(pattern.search(name)) for name in images.names) > len(images)


def published_figures() -> list[dict[str, Any]]:
    """Return the published figures by source, in plain values for ``run.json``."""
    content = files("featx.benchmarking").joinpath("published.json").read_text(encoding="utf-8")
    return cast(list[dict[str, Any]], json.loads(content))


def to_markdown(figures: list[dict[str, Any]]) -> str:
    """Return published figures as a Markdown section."""
    lines = [
        "### Published elsewhere, not measured here",
        "",
        "Figures as their authors give them, on other splits and protocols: not comparable row by "
        "row with the table above. 624 test images leave an accuracy uncertain by 2 to 3 points.",
        "",
        "| System | Source | Population | Protocol | Chosen on | Accuracy | AUC | Note |",
        "|---|---|---|---|---|---:|---:|---|",
    ]
    for figure in figures:
        cells = [figure[name] for name in ("system", "source", "population", "protocol")]
        # Runs of before stored none.
        cells.append(figure.get("chosen_on", "not stated"))
        cells += ["-" if figure[n] is None else f"{figure[n]:.3f}" for n in ("accuracy", "auc")]
        lines.append(f"| {' | '.join([*cells, figure['note'] or '-'])} |")
    return "\n".join(lines)
