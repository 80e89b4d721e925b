"""Images named by the rows of a table: a CSV or Parquet file, or a data frame."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featx.datasets.folders import Listing, split_word
from featx.errors import MissingExtraError, UsageError
from featx.images.remote import RemoteFile, is_url, name_urls
from featx.images.sources import Source

__all__ = ["TABLE_SUFFIXES", "list_frame", "list_table", "locate_files"]

TABLE_SUFFIXES = (".csv", ".parquet")

Columns = dict[str, list[str]]


def list_table(
    path: Path, labeled: bool | None, patient_column: str | None = None, base: str | None = None
) -> Listing:
    """List the images of a Parquet file, or of a UTF-8 CSV file with commas, semicolons or tabs."""
    if not path.exists():
        raise UsageError(f"{path} does not exist; give a table with columns path, label")
    read = _read_parquet if path.suffix.lower() == ".parquet" else _read_csv
    return _arrange(read(path), str(path), path.parent, labeled, patient_column, base)


def list_frame(frame: Any, labeled: bool | None, patient_column: str | None = None) -> Listing:
    """List the images of a data frame; its paths are relative to the working directory."""
    columns = {str(name): [_text(value) for value in frame[name]] for name in frame.columns}
    return _arrange(columns, "the data frame", Path(), labeled, patient_column, None)


def _arrange(
    columns: Columns,
    where: str,
    root: Path,
    labeled: bool | None,
    patient_column: str | None,
    base: str | None,
) -> Listing:
    count = max(map(len, columns.values()), default=0)
    if not count:
        raise UsageError(f"{where} lists no image")
    if labeled is None:
        labeled = "label" in columns
    for column in ("path", "label") if labeled else ("path",):
        if column not in columns:
            raise UsageError(
                f"{where} has no column {column!r} (it has: {', '.join(columns) or 'none'}); the "
                "columns are path, label, and optionally patient, split"
            )
    paths = columns["path"]
    names, sources = locate_files(paths, where, root, base)
    blank = [""] * count
    by_column = patient_column is None or patient_column in columns
    column = patient_column if patient_column in columns else "patient"
    patients = columns.get(column, blank)
    if labeled and by_column and any(patients) and not all(patients):
        raise UsageError(
            f"{where} names no patient of {patients.count(''):,} of its {count:,} images, "
            f"{paths[patients.index('')]} for one; fill in the column {column!r} (an image of an "
            "unknown patient may get one of its own), or leave it out"
        )
    return Listing(
        names=names,
        sources=sources,
        labels=columns["label"] if labeled else blank,
        splits=[split_word(split) for split in columns.get("split", blank)],
        patients=patients if any(patients) else None,
        where=where,
    )


def locate_files(
    paths: Sequence[str], where: str, root: Path, base: str | None = None
) -> tuple[list[str], list[Source]]:
    """Return names and sources of files given by path, or of URLs below an optional base URL."""
    if base is None and not any(map(is_url, paths)):
        return _local_files(paths, where, root)
    urls = [path if base is None or is_url(path) else f"{base}/{path}" for path in paths]
    local = [url for url in urls if not is_url(url)]
    if local:
        raise UsageError(
            f"{where} mixes URLs with paths, {local[0]} for one; give all of them as URLs "
            "(file:///… for files of this machine)"
        )
    # Missing ones are found when they are read: a million requests would take hours.
    return name_urls(urls), [RemoteFile(url) for url in urls]


def _local_files(paths: Sequence[str], where: str, root: Path) -> tuple[list[str], list[Source]]:
    files = [root / path for path in paths]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise UsageError(
            f"{where} names {len(missing):,} files that do not exist, {missing[0]} for one; paths "
            f"are absolute or relative to {root.absolute() if root == Path() else root}"
        )
    # Absolute paths would carry the names of this machine's folders into matrices.
    shared = os.path.commonpath([file.parent.absolute() for file in files])
    return [Path(os.path.relpath(file, shared)).as_posix() for file in files], list(files)


def _read_csv(path: Path) -> Columns:
    try:
        # Spreadsheets write a byte-order mark, which must not join the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            # Spreadsheets write semicolons where the comma is the decimal separator.
            delimiter = max(",;\t", key=header.count)
            reader = csv.DictReader(file, restval="", delimiter=delimiter)
            rows = list(reader)
            return {name: [row[name] for row in rows] for name in reader.fieldnames or []}
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{path} is not a CSV file in UTF-8 ({error}); spreadsheets save it as 'CSV UTF-8'"
        ) from error


def _read_parquet(path: Path) -> Columns:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("reading Parquet tables", "featx[parquet]") from error
    try:
        # One file as it is: no partitions are guessed from the names of its folders.
        table = pyarrow.parquet.ParquetFile(path).read()
        columns = table.to_pydict()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UsageError(f"{path} is not a Parquet file ({error})") from error
    return {name: [_text(value) for value in values] for name, values in columns.items()}


def _text(value: object) -> str:
    """Return a cell as text; missing values (None, NaN, pandas' NA) are empty."""
    missing = (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in ("NAType", "NaTType")
    )
    return "" if missing else str(value)
