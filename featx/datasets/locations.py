"""Images of a location: a folder, an archive, a table, a MedMNIST file, or a URL of these."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path, PurePosixPath

from featx.datasets.folders import list_files
from featx.datasets.listing import Listing
from featx.datasets.medmnist import list_medmnist
from featx.datasets.rules import OpeningRules
from featx.datasets.tables.rows import list_rows
from featx.datasets.tables.table import is_table, read_table
from featx.errors import UsageError
from featx.images.archives import is_archive, list_members
from featx.images.remote import RemoteFile, find_files, is_url
from featx.runtime.kinds import expect, remedy


def list_images(location: str | os.PathLike[str], rules: OpeningRules) -> Listing:
    """List the images of a folder, an archive, a table, a MedMNIST file, or a URL of these."""
    text = os.fspath(location)
    if is_url(text) and not text.startswith("file://"):
        if is_table(text):
            return _list_remote_table(text, rules)
        rules.check_no_table(text)
        return list_files(text, find_files(text), rules)
    path = expect(text.removeprefix("file://"), "images")
    if is_table(path.name) and not path.is_dir():
        return list_rows(read_table(path), rules)
    rules.check_no_table(text)
    if path.is_dir():
        return list_files(str(path), path, rules)
    if path.suffix.lower() == ".npz":
        return list_medmnist(path, rules.by_class)
    if is_archive(path):
        return list_files(text, list_members(path), rules)
    raise UsageError(f"{path} is no file of images; {remedy('images')}")


def _list_remote_table(url: str, rules: OpeningRules) -> Listing:
    with tempfile.TemporaryDirectory(prefix="featx-") as scratch:
        table = Path(scratch, PurePosixPath(url).name)
        table.write_bytes(RemoteFile(url).read())
        listing = list_rows(read_table(table), rules, base=url.rpartition("/")[0])
    listing.where = url
    return listing
