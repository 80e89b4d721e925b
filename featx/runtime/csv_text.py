"""CSV files whose texts no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

# Spreadsheets compute a cell that begins with one of these, also in its full-width form
# (https://owasp.org/www-community/attacks/CSV_Injection). An apostrophe makes it text.
_FORMULA = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"
_NEEDS_QUOTE = re.compile(f"'*[{_FORMULA}]")
_HAS_QUOTE = re.compile(f"'+[{_FORMULA}]")


def write_csv(rows: Iterable[Sequence[Any]]) -> bytes:
    r"""Return rows as comma-separated UTF-8 whose texts no spreadsheet takes for a formula.

    Examples
    --------
    >>> write_csv([["path", "score"], ["=1+1.png", -0.5]])
    b"path,score\n'=1+1.png,-0.5\n"
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return buffer.getvalue().encode("utf-8", "surrogateescape")


def _safe(cell: Any) -> Any:
    quoted = isinstance(cell, str) and _NEEDS_QUOTE.match(cell)
    return f"'{cell}" if quoted else cell


def read_cell(cell: str) -> str:
    """Return the text that `write_csv` wrote into a cell.

    Examples
    --------
    >>> read_cell("'=1+1.png"), read_cell("'quoted'.png")
    ('=1+1.png', "'quoted'.png")
    """
    return cell[1:] if _HAS_QUOTE.match(cell) else cell
