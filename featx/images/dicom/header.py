"""Header fields that decide gray values: found, checked, and empty ones removed.

Runs in the worker process, as `featx.images.dicom.pixels` does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from featx.errors import UnreadableImageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_MACROS = {
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction"),
}
_RESCALE = _MACROS["PixelValueTransformationSequence"]
_WINDOW = _MACROS["FrameVOILUTSequence"]

FIELDS = (*_GROUPS, *_RESCALE, *_WINDOW, "HighBit", "PresentationLUTShape")


def settle_header(dataset: Dataset) -> None:
    """Bring slope and window to the top level; absent, empty and invalid ones are all absent."""
    for group in _GROUPS:
        for item in (dataset.get(group) or [])[:1]:
            for macro, names in _MACROS.items():
                for values in (item.get(macro) or [])[:1]:
                    for name in names:
                        if name in values:
                            dataset[name] = values[name]
    numbers = {name: _number(dataset, name) for name in (*_RESCALE, *_WINDOW[:2])}
    # A window is in units that an invalid slope leaves unknown.
    unknown_units = any(numbers[n] is None and _is_filled(dataset, n) for n in _RESCALE)
    slope, intercept, center, width = numbers.values()
    function = dataset.get("VOILUTFunction")
    for name in (*_RESCALE, *_WINDOW):
        dataset.pop(name, None)
    if (slope, intercept) != (None, None):
        # Zero would make every pixel one gray.
        dataset.RescaleSlope = slope if slope else 1.0
        dataset.RescaleIntercept = intercept or 0.0
    if center is not None and width is not None and not unknown_units:
        dataset.WindowCenter, dataset.WindowWidth = center, width
        if function:
            dataset.VOILUTFunction = function


def _is_filled(dataset: Dataset, name: str) -> bool:
    return name in dataset and bool(str(_value(dataset, name) or "").strip())


def _value(dataset: Dataset, name: str) -> object:
    try:
        return dataset.get(name)
    # pydicom raises exceptions of many types on ill-formed numbers.
    except Exception:
        return "ill-formed"


def _number(dataset: Dataset, name: str) -> float | None:
    """Return the first value, or None where it is absent, empty or no finite number."""
    values = _listed(_value(dataset, name))
    try:
        number = float(str(values[0] if values else None))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def field_text(dataset: Dataset, keyword: str) -> str:
    """Return a field as text; an age is in years."""
    if not _is_filled(dataset, keyword):
        return ""
    value = _value(dataset, keyword)
    text = "/".join(map(str, _listed(value))).strip()
    if dataset[keyword].VR != "AS":
        return text
    years = {"D": 365.25, "W": 365.25 / 7, "M": 12, "Y": 1}.get(text[-1:].upper())
    known = years is not None and text[:-1].isdecimal()
    return f"{int(text[:-1]) / years:.4g}" if known and years else ""


def _listed(value: object) -> list[object]:
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return list(value)
    return [value]


def is_inverted(dataset: Dataset) -> bool:
    """Whether white is low, by the photometric interpretation or by the presentation shape.

    PS3.3 C.8.11.3 has both say the same; either alone is shown as dcmtk shows it, inverted.
    """
    shape = str(dataset.get("PresentationLUTShape") or "").strip().upper()
    return dataset.PhotometricInterpretation == "MONOCHROME1" or shape == "INVERSE"


def unused_low_bits(dataset: Dataset) -> int:
    """Return the number of bits below the values, as old scanners left them."""
    stored, allocated = int(dataset.BitsStored), int(dataset.BitsAllocated)
    high = dataset.get("HighBit")
    shift = 0 if high is None else int(high) + 1 - stored
    if shift < 0 or shift + stored > allocated:
        raise UnreadableImageError(
            f"its header contradicts itself: {stored} of {allocated} bits stored, HighBit {high}"
        )
    return shift
