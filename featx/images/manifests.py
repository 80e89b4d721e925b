"""Which images a table names: a CSV or Parquet file."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from featx.errors import MissingExtraError, UsageError
from featx.images.listing import Listing, split_word

__all__ = ["MANIFEST_SUFFIXES", "list_manifest"]

MANIFEST_SUFFIXES = (".csv", ".parquet")


def list_manifest(path: Path, labelled: bool, patients: str | None = None) -> Listing:
    """List the images that a CSV or Parquet file names.

    Parameters
    ----------
    path : Path
        With columns ``path``, ``label`` and optionally ``patient``, ``split``.
    labelled : bool
        Whether the column ``label`` is needed.
    patients : str, optional
        A column to take patients from, if there is one of this name.

    Raises
    ------
    UsageError
        If the file, a column, or an image that it names is missing.
    MissingExtraError
        If it is a Parquet file and pyarrow is not installed.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist; give a table with columns path, label")
    read = _read_parquet if path.suffix.lower() == ".parquet" else _read_csv
    rows, columns = read(path)
    if not rows:
        raise UsageError(f"{path} lists no image")
    for column in ("path", "label") if labelled else ("path",):
        if column not in columns:
            raise UsageError(
                f"{path} has no column {column!r} (it has: {', '.join(columns) or 'none'}); the "
                "columns are path, label, and optionally patient, split"
            )
    files = [path.parent / row["path"] for row in rows]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise UsageError(
            f"{path} names {len(missing):,} files that do not exist, {missing[0]} for one; paths "
            "are relative to the table's folder"
        )
    patient_column = patients if patients in columns else "patient"
    # Absolute paths would carry the names of this machine's folders into matrices.
    root = os.path.commonpath([file.parent.absolute() for file in files])
    return Listing(
        names=[Path(os.path.relpath(file, root)).as_posix() for file in files],
        sources=list(files),
        labels=[row["label"] if labelled else "" for row in rows],
        splits=[split_word(row.get("split") or "") for row in rows],
        patients=[row[patient_column] for row in rows] if patient_column in columns else None,
        where=str(path),
    )


def _read_csv(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    try:
        # A byte-order mark, which spreadsheets write, is not part of the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            return list(reader), list(reader.fieldnames or [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a CSV file in UTF-8 ({error})") from error


def _read_parquet(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("reading Parquet tables", "featx[parquet]") from error
    try:
        # One file as it is: no partitions are guessed from the names of its folders.
        table = pyarrow.parquet.ParquetFile(path).read()
        rows = [
            {name: "" if value is None else str(value) for name, value in row.items()}
            for row in table.to_pylist()
        ]
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UsageError(f"{path} is not a Parquet file ({error})") from error
    return rows, list(table.column_names)
