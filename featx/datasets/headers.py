"""Facts of images in DICOM headers, without those that identify patients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np

from featx.datasets.listing import Listing
from featx.datasets.rules import IN_HEADER, OpeningRules
from featx.errors import MissingExtraError, UnreadableImageError, UsageError
from featx.images.dicom.reader import is_dicom, read_fields
from featx.images.sources import Source, content_of, read_beginning

# Header fields are near a file's beginning; the pixels need not be read.
HEADER_BYTES = 1 << 20

# Codes and numbers; of texts, only those that describe devices and examinations.
_SAFE_TYPES = frozenset(("AS", "CS", "DS", "IS", "FD", "FL", "SL", "SS", "UL", "US"))
_SAFE_TEXTS = frozenset(
    (
        *("Manufacturer", "ManufacturerModelName", "InstitutionName", "StationName"),
        *("InstitutionalDepartmentName", "ProtocolName", "SoftwareVersions", "EthnicGroup"),
    )
)

Found = TypeVar("Found")


def find_in_header(source: Source, find: Callable[[bytes], Found | None]) -> Found | None:
    """Search a DICOM file's beginning, and then the whole; None where it is no DICOM file."""
    if isinstance(source, np.ndarray):
        return None
    beginning = read_beginning(source, HEADER_BYTES)
    if not beginning:
        raise UnreadableImageError("empty file")
    if not is_dicom(beginning):
        return None
    return find(beginning) or find(content_of(source))


def read_header_columns(listing: Listing, rules: OpeningRules) -> dict[str, list[str]]:
    """Return the columns to keep that are in DICOM headers and not in a table."""
    wanted = {n: each for n, each in rules.header_fields.items() if n not in listing.columns}
    if not wanted:
        return {}
    keywords = {name: _keyword(each) for name, each in wanted.items()}
    find = partial(read_fields, keywords=[*keywords.values()])
    rows = []
    for source in listing.sources:
        try:
            rows.append(find_in_header(source, find) or {})
        # It is reported when its pixels are read.
        except UnreadableImageError:
            rows.append({})
    columns = {n: [row.get(each, "") for row in rows] for n, each in keywords.items()}
    empty = next((name for name, cells in columns.items() if not any(cells)), None)
    if empty is not None and not rules.external:
        raise UsageError(
            f"{listing.where}: no image has the DICOM header field {keywords[empty]}; leave out "
            f"the column {empty!r}, or take it from a table"
        )
    return {name: cells for name, cells in columns.items() if any(cells)}


def _keyword(field: str) -> str:
    """Return the keyword of a field that is given by keyword or by eight hexadecimal digits."""
    try:
        from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
    except ImportError as error:
        raise MissingExtraError("reading DICOM files", "featx[dicom]") from error
    try:
        tag = tag_for_keyword(field) or int(field, 16)
        keyword, kind = keyword_for_tag(tag), dictionary_VR(tag)
    except (ValueError, KeyError):
        raise UsageError(
            f"{IN_HEADER}{field}: {field!r} is no field of the DICOM dictionary; write its "
            f"keyword or eight digits, such as {IN_HEADER}ViewPosition or {IN_HEADER}00185101"
        ) from None
    if kind not in _SAFE_TYPES and keyword not in _SAFE_TEXTS:
        raise UsageError(
            f"{IN_HEADER}{field}: {keyword} may identify patients, and is not read; only codes, "
            f"numbers, ages and {', '.join(sorted(_SAFE_TEXTS))} are"
        )
    return keyword
