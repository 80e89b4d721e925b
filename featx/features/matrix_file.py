"""Reading of matrix files: features are mapped, and only from inside the file."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

from featx.errors import FeatxError, UsageError
from featx.features.lazy_rows import open_rows
from featx.runtime.posix import is_locked

if TYPE_CHECKING:
    from featx.features.matrix import FeatureMatrix


def unreadable_matrix(path: Path, error: Exception) -> FeatxError:
    """Return the error of a matrix file that cannot be read, by its cause."""
    if path.is_dir():
        return UsageError(
            f"{path} is a folder, not a matrix file. Make a matrix of its images with "
            f"`featx extract {path} --out matrix.h5`"
        )
    if isinstance(error, PermissionError):
        return UsageError(f"{path} may not be read by this user. Ask its owner for permission")
    # A file that is being written matches no checksum.
    if isinstance(error, BlockingIOError) or is_locked(path):
        return FeatxError(
            f"another program has {path} open for writing, perhaps a notebook, a viewer or a run "
            "that is not finished. The file itself may be whole: close it there, and try again"
        )
    if isinstance(error, OSError) and f"errno = {errno.ENOLCK}" in str(error):
        return FeatxError(
            f"{path} is on a file system without locks. Set the variable "
            "HDF5_USE_FILE_LOCKING=FALSE, or copy the file to a local disk"
        )
    return FeatxError(
        f"{path} cannot be read as a feature matrix ({error}). Make it again with "
        "`featx extract`, which reuses the cache"
    )


def check_format(file: h5py.File, path: Path, known: int) -> None:
    """Refuse a file of another format."""
    if file.attrs.get("featx_format") != known:
        raise FeatxError(
            f"{path} has featx_format {file.attrs.get('featx_format')}; this version of featx "
            f"reads format {known}"
        )


def checked(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a data set that is wholly inside the file.

    HDF5 can refer to other files by external links, external storage and virtual data sets; a file
    from elsewhere must not make featx read files that its sender cannot.
    """
    *folders, leaf = name.split("/")
    group: h5py.Group = file
    for step in folders:
        _check_link(group, step)
        group = group[step]
    _check_link(group, leaf)
    dataset = group[leaf]
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{name} is not a data set")
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"{name} is stored in another file")
    size = Path(file.filename).stat().st_size
    if dataset.chunks is not None or dataset.size * dataset.dtype.itemsize > size:
        raise ValueError(f"{name} claims {dataset.shape}, more than the file holds")
    return dataset


def _check_link(group: h5py.Group, name: str) -> None:
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is a link, perhaps to another file")


def write_texts(file: h5py.File, texts: Mapping[str, Iterable[Any]]) -> None:
    """Write tables of texts."""
    for name, entries in texts.items():
        # Python keeps undecodable bytes of file names as surrogates.
        encoded = [str(entry).encode("utf-8", "surrogateescape") for entry in entries]
        data = np.array(encoded, dtype=object)
        file.create_dataset(name, data=data, dtype=h5py.string_dtype())


def write_tuned_on(file: h5py.File, records: Iterable[Mapping[str, Any]]) -> None:
    """Write the hashes of images that tuned networks."""
    for number, record in enumerate(records):
        for name, value in record.items():
            file.create_dataset(f"tuned/{number}/{name}", data=value)


def read_tuned_on(file: h5py.File) -> tuple[dict[str, Any], ...]:
    """Read what `write_tuned_on` wrote, if anything."""
    found: list[dict[str, Any]] = []
    while f"tuned/{len(found)}" in file:
        group = f"tuned/{len(found)}"
        record = {name: checked(file, f"{group}/{name}")[()] for name in file[group]}
        found.append({n: v.decode() if isinstance(v, bytes) else v for n, v in record.items()})
    return tuple(found)


def map_features(path: Path) -> npt.NDArray[np.float32]:
    """Open the features of a matrix file, which stay on disk until they are needed."""
    with h5py.File(path, "r") as file:
        return read_features(file, path)


def read_features(file: h5py.File, path: Path) -> npt.NDArray[np.float32]:
    """Map the features of an open matrix file."""
    dataset = checked(file, "features")
    if dataset.dtype != np.float32:
        raise ValueError(f"its features are {dataset.dtype}, not float32")
    offset = dataset.id.get_offset()
    if offset is None:
        # No rows, or so few that HDF5 keeps them in the header.
        return dataset[:]
    return open_rows(path, offset, dataset.shape)


def check_tables(matrix: FeatureMatrix) -> None:
    """Refuse tables that contradict each other."""
    rows, images = len(matrix.X), len(matrix.names)
    per_image = (matrix.digests, matrix.labels, matrix.patients, matrix.splits)
    if matrix.X.ndim != 2 or {len(matrix.image), len(matrix.view)} != {rows}:
        raise ValueError("its tables of rows differ in length")
    if {len(table) for table in per_image} != {images}:
        raise ValueError("its tables of images differ in length")
    if rows and not (matrix.image.min() >= 0 and matrix.image.max() < images):
        raise ValueError("a row names an image that does not exist")
    if images and not (matrix.labels.min() >= -1 and matrix.labels.max() < len(matrix.class_names)):
        raise ValueError("a label names a class that does not exist")
    if len(set(matrix.class_names)) < len(matrix.class_names):
        raise ValueError(f"its classes repeat: {', '.join(matrix.class_names)}")
    if rows and matrix.view.min() < 0:
        raise ValueError(f"a row has the view {matrix.view.min()}")
    if len(np.unique(np.column_stack([matrix.image, matrix.view]), axis=0)) < rows:
        raise ValueError("it has a view of an image twice")
    if len(np.unique(matrix.image)) < images:
        raise ValueError("it has images without rows")
    if len(set(matrix.names)) < images:
        raise ValueError("it has an image twice under one path")
