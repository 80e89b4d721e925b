"""Tables as they are in files: CSV, Parquet, data frames."""

from __future__ import annotations

import csv
import gzip
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featx.datasets.tables.cells import clean, text_of
from featx.errors import MissingExtraError, UsageError

_TEXT = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")

_SAVE_AS_CSV = "{} is a spreadsheet; save it as 'CSV UTF-8' and give that file"


@dataclass(frozen=True)
class Table:
    """Cells of a table by column; `rows` names each row as a spreadsheet or pandas does."""

    where: str
    columns: dict[str, list[str]]
    rows: list[str]
    folder: Path
    repeated: frozenset[str] = frozenset()
    # Rows with more cells than the header.
    too_long: dict[int, str] = field(default_factory=dict)

    @property
    def header(self) -> list[str]:
        """Names of the columns, without those that spreadsheets and pandas add."""
        added = re.compile(r"(Unnamed: \d+|__index_level_\d+__)?")
        return [name for name in self.columns if not added.fullmatch(name)]


def is_table(name: str) -> bool:
    """Return whether a file is a table or a spreadsheet, by its name."""
    return name.lower().endswith((*_TEXT, ".parquet", *SPREADSHEETS))


def read_table(path: Path) -> Table:
    """Read a Parquet file, or a UTF-8 or UTF-16 CSV file with commas, semicolons or tabs."""
    if not path.exists():
        raise UsageError(f"{path} does not exist; give a table with columns path, label")
    name = path.name.lower()
    if name.endswith(SPREADSHEETS):
        raise UsageError(_SAVE_AS_CSV.format(path))
    return _read_parquet(path) if name.endswith(".parquet") else _read_csv(path)


def read_frame(frame: Any) -> Table:
    """Read a data frame of pandas or polars; its paths are relative to the working directory."""
    names = [clean(str(name)) for name in frame.columns]
    repeated = frozenset(name for name in names if names.count(name) > 1)
    columns = {
        name: [text_of(value) for value in frame[own]]
        for name, own in zip(names, frame.columns, strict=True)
        if name not in repeated
    }
    columns |= {name: [""] * len(frame) for name in repeated}
    rows = [str(label) for label in getattr(frame, "index", range(len(frame)))]
    return Table("the data frame", columns, rows, Path(), repeated)


def _read_csv(path: Path) -> Table:
    text = _decode(path)
    # Excel takes this first line as a setting and does not show it.
    setting = re.match(r'"?sep=(.)"?(\r\n|\r|\n)', text)
    if setting:
        text = text[setting.end() :]
    delimiter = setting[1] if setting else _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        # A spreadsheet numbers records, also empty ones, and not lines.
        records = [(number, record) for number, record in enumerate(reader, 1) if any(record)]
    except csv.Error as error:
        raise UsageError(
            f"{path} is not a CSV file: {error} in the row that ends at line {reader.line_num}; "
            "look there for a quotation mark without its counterpart"
        ) from error
    if not records:
        raise UsageError(f"{path} lists no image: it is empty")
    header = [clean(name) for name in records[0][1]]
    records = [(number, cells) for number, cells in records[1:] if any(map(clean, cells))]
    width = len(header)
    beyond = {i: ", ".join(filter(None, cells[width:])) for i, (_, cells) in enumerate(records)}
    # Of columns without a name there may be several.
    repeated = {name for name in header if name and header.count(name) > 1}
    return Table(
        str(path),
        {
            name: [cells[place] if place < len(cells) else "" for _, cells in records]
            for place, name in enumerate(header)
        },
        [str(number) for number, _ in records],
        path.parent,
        frozenset(repeated),
        {place: text for place, text in beyond.items() if text},
    )


def _decode(path: Path) -> str:
    try:
        content = path.read_bytes()
        if path.name.lower().endswith(".gz"):
            content = gzip.decompress(content)
    except (OSError, EOFError) as error:
        raise UsageError(f"{path} cannot be read ({error})") from error
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UsageError(_SAVE_AS_CSV.format(path))
    encoding = "utf-8-sig"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in content[:4]:
        encoding = "utf-16-be" if content.startswith(b"\0") else "utf-16-le"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        around = content[max(0, error.start - 10) : error.start + 10].decode("ascii", "replace")
        raise UsageError(
            f"{path} is not in UTF-8 (line {line}, at {around!r}), but in an older encoding such "
            "as Windows-1252, which cannot be told for certain; in the spreadsheet save it as "
            f"'CSV UTF-8', or convert it: iconv -f WINDOWS-1252 -t UTF-8 {path.name}"
        ) from error
    if "\0" in text:
        raise UsageError(f"{path} is not a CSV file: it holds zero bytes")
    return text


def _delimiter(text: str) -> str:
    """Return the delimiter that divides the header into most columns."""

    def width(delimiter: str) -> int:
        records = csv.reader(io.StringIO(text[:100_000], newline=""), delimiter=delimiter)
        return len(next(filter(any, records), []))

    # Spreadsheets write semicolons where the comma is the decimal separator.
    return max(",;\t|", key=width)


def _read_parquet(path: Path) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("reading Parquet tables", "featx[parquet]") from error
    try:
        # One file as it is: no partitions are guessed from the names of its folders.
        table = pyarrow.parquet.ParquetFile(path).read()
        names = [clean(name) for name in table.column_names]
        cells = [table.column(place).to_pylist() for place in range(table.num_columns)]
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UsageError(f"{path} is not a Parquet file ({error})") from error
    columns = {
        name: [text_of(value) for value in values]
        for name, values in zip(names, cells, strict=True)
    }
    repeated = frozenset(name for name in names if names.count(name) > 1)
    # pandas numbers rows from 0.
    return Table(str(path), columns, [str(i) for i in range(table.num_rows)], path.parent, repeated)
