"""Cells of tables as text: cleaned, and empty where missing."""

from __future__ import annotations

import re
import unicodedata

import numpy as np

from featx.metrics.labels import is_missing

# What pandas takes for missing, '?' and '-', and errors of spreadsheets; compared without case.
_MISSING = frozenset(
    ("", "nan", "-nan", "na", "n/a", "#n/a", "#na", "<na>", "null", "none", "nat", "?", "-", "--")
) | {"...", "#ref!", "#value!", "#name?", "#div/0!", "#null!", "#num!"}
# A minus as word processors write it.
_MINUS = re.compile(r"^[\u2010-\u2013\u2212](?=\d)")

# Zero-width characters and marks that no spreadsheet shows.
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad]")


def clean(text: str) -> str:
    r"""Strip a cell and write it in Unicode's NFC, without invisible characters.

    Examples
    --------
    >>> clean("\ufeff No\xa0Finding \u200b")
    'No Finding'
    """
    # Most cells are plain.
    if not text.isascii():
        text = _INVISIBLE.sub("", unicodedata.normalize("NFC", text))
        text = "".join(" " if letter.isspace() else letter for letter in text)
        text = _MINUS.sub("-", text.strip())
    return text.strip()


def value_of(cell: str) -> str:
    """Clean a cell; the result is empty where it says that there is no value.

    Examples
    --------
    >>> [value_of(cell) for cell in ("", " NaN", "N/A", "?", "None", "0 ", "no")]
    ['', '', '', '', '', '0', 'no']
    """
    cleaned = clean(cell)
    return "" if cleaned.lower() in _MISSING else cleaned


def finding_of(cleaned: str) -> int | None:
    """Return 1, 0 or -1 of a finding's cell, also with decimals or as a truth value.

    Examples
    --------
    >>> [finding_of(cell) for cell in ("1", "0.0", "-1,00", "True", "2", "no")]
    [1, 0, -1, 1, None, None]
    """
    if cleaned.lower() in ("true", "false"):
        return int(cleaned.lower() == "true")
    number = re.fullmatch(r"(-?[01])([.,]0+)?", cleaned)
    return None if number is None else int(number[1])


def text_of(value: object) -> str:
    """Return a cell of a data frame as text; missing values are empty, 7.0 is ``"7"``."""
    # An array is compared with itself element by element.
    if not isinstance(value, np.ndarray) and is_missing(value):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
