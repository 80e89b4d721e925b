"""The feature matrix: one row an (image, view), and who each row belongs to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
import numpy.typing as npt

from featx.errors import FeatxError, UsageError
from featx.features.lazy_rows import LazyRows
from featx.features.matrix_file import checked, read_features
from featx.runtime.files import library_versions, write_hdf5
from featx.runtime.memory import available_memory

__all__ = ["FORMAT", "FeatureMatrix"]

FORMAT = 1

ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class FeatureMatrix:
    """Features of images, with everything that a fit without leaks needs to know of each row.

    Parameters
    ----------
    X : ndarray of float32, shape (n_rows, n_features)
        One row an (image, view).
    image : ndarray of int64, shape (n_rows,)
        Which image a row shows: an index into `names`, `labels`, `patients`, `splits`.
    view : ndarray of int64, shape (n_rows,)
        0 for the image itself, 1, 2, ... for augmented views.
    names : tuple of str
        Path of each image relative to its data set's root.
    digests : tuple of str
        SHA-256 of each image's bytes, in hexadecimal.
    labels : ndarray of int64, shape (n_images,)
        Index into `class_names`; -1 where unknown.
    patients : ndarray of str, shape (n_images,)
        Whose image it is.
    splits : ndarray of str, shape (n_images,)
        ``"train"``, ``"val"``, ``"test"`` or ``""``.
    class_names : tuple of str
        The classes; of two, the last is the positive one.
    recipes : tuple of dict
        What decided the feature values, one recipe for each block of columns.
    unreadable : tuple of (str, str)
        Name and reason of each image that was left out.
    seconds : float
        What the rows cost to compute, whenever that was. Not saved: the same features give the
        same file.

    Examples
    --------
    >>> matrix = FeatureMatrix(
    ...     X=np.eye(4, 3, dtype=np.float32), image=np.array([0, 0, 1, 1]),
    ...     view=np.array([0, 1, 0, 1]), names=("a.png", "b.png"), digests=("aa", "bb"),
    ...     labels=np.array([0, 1]), patients=np.array(["p1", "p2"]), splits=np.array(["", ""]),
    ...     class_names=("NORMAL", "PNEUMONIA"),
    ... )
    >>> matrix.select_images([1]).X.shape, matrix.row_labels.tolist()
    ((2, 3), [0, 0, 1, 1])
    """

    X: npt.NDArray[np.float32]
    image: npt.NDArray[np.int64]
    view: npt.NDArray[np.int64]
    names: tuple[str, ...]
    digests: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    patients: npt.NDArray[np.str_]
    splits: npt.NDArray[np.str_]
    class_names: tuple[str, ...]
    recipes: tuple[dict[str, Any], ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    seconds: float = field(default=0.0, compare=False)

    def __repr__(self) -> str:
        backbones = "+".join(recipe["backbone"] for recipe in self.recipes) or "features"
        return (
            f"FeatureMatrix({backbones}: {self.n_images:,} images, {len(self.X):,} rows, "
            f"{self.X.shape[1]:,} features)"
        )

    def __len__(self) -> int:
        return len(self.X)

    @property
    def n_images(self) -> int:
        """Number of images, whatever their number of views."""
        return len(self.names)

    @cached_property
    def row_labels(self) -> npt.NDArray[np.int64]:
        """Label of each row, shape (n_rows,)."""
        return self.labels[self.image]

    @cached_property
    def row_patients(self) -> npt.NDArray[np.str_]:
        """Patient of each row, shape (n_rows,)."""
        return self.patients[self.image]

    def select_images(self, indices: npt.ArrayLike) -> FeatureMatrix:
        """Keep some images, in the order given, with all their views.

        Parameters
        ----------
        indices : array-like of int
            Which images; each at most once.

        Returns
        -------
        FeatureMatrix
            With images renumbered from 0.
        """
        indices = np.asarray(indices, dtype=np.int64)
        if len(np.unique(indices)) != len(indices):
            raise UsageError("an image can be selected only once; the indices repeat")
        position = np.full(self.n_images, -1, dtype=np.int64)
        position[indices] = np.arange(len(indices))
        new_image = position[self.image]
        rows = np.flatnonzero(new_image >= 0)
        rows = rows[np.lexsort((self.view[rows], new_image[rows]))]
        return replace(
            self,
            X=_take(self.X, rows),
            image=new_image[rows],
            view=self.view[rows],
            names=tuple(self.names[i] for i in indices),
            digests=tuple(self.digests[i] for i in indices),
            labels=self.labels[indices],
            patients=self.patients[indices],
            splits=self.splits[indices],
        )

    def select_views(self, views: int) -> FeatureMatrix:
        """Keep only the first `views` views of each image.

        Parameters
        ----------
        views : int
            How many, at least 1; view 0 is the image itself.
        """
        if views < 1:
            raise UsageError(f"{views} views leave nothing; ask for at least 1")
        rows = np.flatnonzero(self.view < views)
        return replace(self, X=_take(self.X, rows), image=self.image[rows], view=self.view[rows])

    def lazily(self) -> FeatureMatrix:
        """Return the matrix with rows that are read only where they are indexed.

        Selections of it read nothing either. Slices and row numbers are all that its `X` takes.
        """
        lazy = self.X if isinstance(self.X, LazyRows) else LazyRows([self.X])
        return replace(self, X=cast("npt.NDArray[np.float32]", lazy))

    @classmethod
    def join(cls, matrices: Sequence[FeatureMatrix]) -> FeatureMatrix:
        """Set matrices of the same images side by side.

        Parameters
        ----------
        matrices : sequence of FeatureMatrix
            With the same images, and the same views of each.

        Raises
        ------
        UsageError
            If their images, views or classes differ.
        """
        if not matrices:
            raise UsageError("there is no matrix to join")
        first = matrices[0]
        for other in matrices[1:]:
            same = (
                first.digests == other.digests
                and np.array_equal(first.image, other.image)
                and np.array_equal(first.view, other.view)
                and np.array_equal(first.labels, other.labels)
                and first.class_names == other.class_names
            )
            if not same:
                raise UsageError(
                    f"{first!r} and {other!r} are not of the same images, views and labels; "
                    "extract both from the same images with the same --views"
                )
        return replace(
            first,
            X=_side_by_side([matrix.X for matrix in matrices]),
            recipes=tuple(recipe for matrix in matrices for recipe in matrix.recipes),
            seconds=sum(matrix.seconds for matrix in matrices),
        )

    def save(self, path: str | Path) -> None:
        """Write the matrix as one plain HDF5 file, whole or not at all.

        Parameters
        ----------
        path : path-like
            Where to; the folder is made if it is missing.
        """

        def fill(rows: h5py.Dataset) -> None:
            for start in range(0, len(self.X), ROWS_AT_ONCE):
                rows[start : start + ROWS_AT_ONCE] = self.X[start : start + ROWS_AT_ONCE]

        self.save_rows(path, self.X.shape, fill)

    def save_rows(
        self, path: str | Path, shape: tuple[int, ...], fill: Callable[[h5py.Dataset], None]
    ) -> None:
        """Write a matrix whose rows are not in memory; see `save`.

        Parameters
        ----------
        path : path-like
            Where to.
        shape : (int, int)
            Rows and features.
        fill : callable
            Given the data set of that shape, writes the rows.
        """

        def write(file: h5py.File) -> None:
            self._write_tables(file)
            fill(file.create_dataset("features", shape=shape, dtype=np.float32))

        write_hdf5(Path(path), write)

    def _write_tables(self, file: h5py.File) -> None:
        file.attrs["featx_format"] = FORMAT
        file.attrs["recipe"] = json.dumps(list(self.recipes), sort_keys=True)
        file.attrs["class_names"] = list(self.class_names)
        file.attrs["versions"] = json.dumps(library_versions(), sort_keys=True)
        numbers = {"rows/image": self.image, "rows/view": self.view, "images/label": self.labels}
        for name, values in numbers.items():
            file.create_dataset(name, data=values)
        texts = {
            "images/path": self.names,
            "images/sha256": self.digests,
            "images/patient": self.patients,
            "images/split": self.splits,
            "unreadable/path": [name for name, _ in self.unreadable],
            "unreadable/reason": [reason for _, reason in self.unreadable],
        }
        for name, entries in texts.items():
            # Undecodable bytes of a file name travel as surrogates, as everywhere in Python.
            encoded = [str(entry).encode("utf-8", "surrogateescape") for entry in entries]
            data = np.array(encoded, dtype=object)
            file.create_dataset(name, data=data, dtype=h5py.string_dtype())

    @classmethod
    def load(cls, path: str | Path) -> FeatureMatrix:
        """Read a matrix file. Features stay on disk until they are needed.

        Parameters
        ----------
        path : path-like
            A file that `save` or ``featx extract`` wrote.

        Raises
        ------
        FeatxError
            If the file is missing, damaged, or not a feature matrix of a known format.
        """
        path = Path(path)
        if not path.exists():
            raise UsageError(f"{path} does not exist; make it with `featx extract`")
        try:
            with h5py.File(path, "r") as file:
                return cls._read(file, path)
        except (OSError, KeyError, ValueError) as error:
            raise FeatxError(
                f"{path} cannot be read as a feature matrix ({error}); make it again with "
                "`featx extract`, which takes from the cache what is there"
            ) from error

    @classmethod
    def _read(cls, file: h5py.File, path: Path) -> FeatureMatrix:
        if file.attrs.get("featx_format") != FORMAT:
            raise FeatxError(
                f"{path} has featx_format {file.attrs.get('featx_format')}; this version of featx "
                f"reads format {FORMAT}"
            )

        def table(name: str) -> npt.NDArray:
            return checked(file, name)[:]

        def texts(name: str) -> list[str]:
            return [value.decode("utf-8", "surrogateescape") for value in table(name)]

        matrix = cls(
            X=read_features(file, path),
            image=table("rows/image"),
            view=table("rows/view"),
            names=tuple(texts("images/path")),
            digests=tuple(texts("images/sha256")),
            labels=table("images/label"),
            patients=np.array(texts("images/patient"), dtype=np.str_),
            splits=np.array(texts("images/split"), dtype=np.str_),
            class_names=tuple(str(name) for name in file.attrs["class_names"]),
            recipes=tuple(json.loads(file.attrs["recipe"])),
            unreadable=tuple(
                zip(texts("unreadable/path"), texts("unreadable/reason"), strict=True)
            ),
        )
        matrix._check()
        return matrix

    def _check(self) -> None:
        """Refuse tables that do not fit together."""
        rows, images = len(self.X), len(self.names)
        per_image = (self.digests, self.labels, self.patients, self.splits)
        if self.X.ndim != 2 or {len(self.image), len(self.view)} != {rows}:
            raise ValueError("its tables of rows differ in length")
        if {len(table) for table in per_image} != {images}:
            raise ValueError("its tables of images differ in length")
        if rows and not (self.image.min() >= 0 and self.image.max() < images):
            raise ValueError("a row names an image that is not there")
        if images and not (self.labels.min() >= -1 and self.labels.max() < len(self.class_names)):
            raise ValueError("a label names a class that is not there")


def _take(X: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    if isinstance(X, LazyRows):
        return cast("npt.NDArray[np.float32]", X.select(rows))
    return X[rows]


def _side_by_side(blocks: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Join blocks of columns; those that would take much of the memory stay where they are."""
    if len(blocks) == 1:
        return blocks[0]
    if sum(block.nbytes for block in blocks) > available_memory() / 4:
        return cast("npt.NDArray[np.float32]", LazyRows(blocks))
    return np.concatenate(blocks, axis=1)
