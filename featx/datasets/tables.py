"""Which images a table names: a CSV or Parquet file."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from featx.datasets.folders import Listing, split_word
from featx.errors import MissingExtraError, UsageError
from featx.images.remote import RemoteFile, is_url, name_urls
from featx.images.sources import Source

__all__ = ["MANIFEST_SUFFIXES", "list_manifest"]

MANIFEST_SUFFIXES = (".csv", ".parquet")


def list_manifest(
    path: Path, labeled: bool, patients: str | None = None, base: str | None = None
) -> Listing:
    """List the images that a CSV or Parquet file names.

    A CSV file is in UTF-8; its columns are parted by commas, semicolons or tabs.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist; give a table with columns path, label")
    read = _read_parquet if path.suffix.lower() == ".parquet" else _read_csv
    rows, columns = read(path)
    if not rows:
        raise UsageError(f"{path} lists no image")
    for column in ("path", "label") if labeled else ("path",):
        if column not in columns:
            raise UsageError(
                f"{path} has no column {column!r} (it has: {', '.join(columns) or 'none'}); the "
                "columns are path, label, and optionally patient, split"
            )
    paths = [row["path"] for row in rows]
    remote = base is not None or any(map(is_url, paths))
    names, sources = _remote_files(path, paths, base) if remote else _local_files(path, paths)
    patient_column = patients if patients in columns else "patient"
    owners = [row.get(patient_column, "") for row in rows]
    column_decides = patients is None or patients in columns
    if labeled and column_decides and any(owners) and not all(owners):
        raise UsageError(
            f"{path} names no patient of {owners.count(''):,} of its {len(rows):,} images, "
            f"{paths[owners.index('')]} for one; fill in the column {patient_column!r} (whose "
            "patient is unknown may get one of its own), or leave it out"
        )
    return Listing(
        names=names,
        sources=sources,
        labels=[row["label"] if labeled else "" for row in rows],
        splits=[split_word(row.get("split") or "") for row in rows],
        patients=owners if any(owners) else None,
        where=str(path),
    )


def _local_files(table: Path, paths: list[str]) -> tuple[list[str], list[Source]]:
    files = [table.parent / path for path in paths]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise UsageError(
            f"{table} names {len(missing):,} files that do not exist, {missing[0]} for one; paths "
            "are relative to the table's folder"
        )
    # Absolute paths would carry the names of this machine's folders into matrices.
    root = os.path.commonpath([file.parent.absolute() for file in files])
    return [Path(os.path.relpath(file, root)).as_posix() for file in files], list(files)


def _remote_files(
    table: Path, paths: list[str], base: str | None
) -> tuple[list[str], list[Source]]:
    urls = [path if base is None or is_url(path) else f"{base}/{path}" for path in paths]
    local = [url for url in urls if not is_url(url)]
    if local:
        raise UsageError(
            f"{table} mixes URLs with paths, {local[0]} for one; give all of them as URLs "
            "(file:///… for files of this machine)"
        )
    # Whether each is there shows when it is read: a million questions would take hours.
    return name_urls(urls), [RemoteFile(url) for url in urls]


def _read_csv(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    try:
        # A byte-order mark, which spreadsheets write, is not part of the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            # Where the comma is for decimals, spreadsheets write semicolons.
            delimiter = max(",;\t", key=header.count)
            reader = csv.DictReader(file, restval="", delimiter=delimiter)
            return list(reader), list(reader.fieldnames or [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{path} is not a CSV file in UTF-8 ({error}); spreadsheets save it as 'CSV UTF-8'"
        ) from error


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
