"""What an image shows, read from its file name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from featx.datasets.naming import NamePreset, read_names

__all__ = ["LABEL_PRESETS", "labels_from_names"]


def _kermany_subtype(name: str) -> str | None:
    """Tell bacterial from viral pneumonia in the names of Kermany et al. 2018.

    ``person12_bacteria_47.jpeg``, ``person12_virus_48.jpeg`` and ``NORMAL2-IM-0129-0001.jpeg``;
    in the authors' own archive also ``BACTERIA-30629-0001.jpeg`` and ``NORMAL-28501-0001.jpeg``.
    """
    file = name.rpartition("/")[2].lower()
    found = re.match(r"(?:person\d+_)?(bacteria|virus)[_-]", file)
    if found:
        return found[1]
    return "normal" if re.match(r"(?:normal2?-)?(?:im-)?\d+-", file) else None


LABEL_PRESETS: dict[str, NamePreset] = {"kermany-subtype": _kermany_subtype}


def labels_from_names(names: Sequence[str], rule: str) -> list[str]:
    r"""Read each image's class from its name.

    Examples
    --------
    >>> labels_from_names(["x/person1_virus_6.jpeg", "y/IM-0115-0001.jpeg"], "kermany-subtype")
    ['virus', 'normal']
    >>> labels_from_names(["a_sick.png", "b_well.png"], r"_(\w+)\.png")
    ['sick', 'well']
    """
    return read_names("label", names, rule, LABEL_PRESETS)
