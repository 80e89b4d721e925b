"""The feature matrix: one row per (image, view), with labels, patients and splits."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import h5py
import numpy as np
import numpy.typing as npt

from featx.backbones.registry import check_precision
from featx.datasets.rules import OpeningRules
from featx.errors import FeatxError, MissingExtraError, UsageError
from featx.features.joining import check_joinable, join_columns
from featx.features.lazy_rows import LazyRows, take
from featx.features.matrix_checksums import MARK, append_checksums, verify_checksums
from featx.features.matrix_file import (
    check_format,
    check_tables,
    checked,
    read_features,
    read_tuned_on,
    unreadable_matrix,
    write_texts,
    write_tuned_on,
)
from featx.features.recipe import feature_names
from featx.runtime.files import write_hdf5
from featx.runtime.kinds import expect
from featx.runtime.versions import decisive_versions

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1

ROWS_AT_ONCE = 4096

# Tables of a matrix file, and the attributes that they hold.
_NUMBERS = {"rows/image": "image", "rows/view": "view", "images/label": "labels"}
_TEXTS = {
    "images/path": "names",
    "images/sha256": "digests",
    "images/patient": "patients",
    "images/split": "splits",
}
_UNREADABLE = ("unreadable/path", "unreadable/reason")


@dataclass(frozen=True, eq=False)
class FeatureMatrix:
    """Hold features of images, one row per image and view.

    `featx.extract` returns one; `load` reads one from a file without reading its features.

    Parameters
    ----------
    X : ndarray of float32, shape (n_rows, n_features)
        Features, one row per (image, view).
    image : ndarray of int64, shape (n_rows,)
        Image of each row: an index into `names`, `digests`, `labels`, `patients` and `splits`.
    view : ndarray of int64, shape (n_rows,)
        View of each row: 0 for the image itself, 1, 2, ... for augmented views.
    names : tuple of str, length n_images
        Path of each image, as in `ImageDataset`.
    digests : tuple of str, length n_images
        SHA-256 of each image's bytes, in hexadecimal.
    labels : ndarray of int64, shape (n_images,)
        Index into `class_names`; -1 where unknown.
    patients : ndarray of str, shape (n_images,)
        Patient of each image.
    splits : ndarray of str, shape (n_images,)
        ``"train"``, ``"val"``, ``"test"`` or ``""``.
    class_names : tuple of str
        Classes; of two, the last is the positive one.
    recipes : tuple of dict
        Recipe of each block of columns; see `featx.features.recipe.Recipe`.
    unreadable : tuple of (str, str)
        Name and reason of each image that was left out.
    seconds : float
        Time that the rows took to compute; not saved, so that equal features give equal files.
    patients_known : bool, optional
        Whether patients were given; by default unless each image's patient is its own name.
    versions : dict of str to str
        Versions of the libraries that computed the features; empty where unknown.
    tuned_on : tuple of dict
        Hashes of the images that tuned its networks (`featx.audit.membership`), if any did.

    Examples
    --------
    >>> matrix = FeatureMatrix(
    ...     X=np.eye(4, 3, dtype=np.float32), image=np.array([0, 0, 1, 1]),
    ...     view=np.array([0, 1, 0, 1]), names=("a.png", "b.png"), digests=("aa", "bb"),
    ...     labels=np.array([0, 1]), patients=np.array(["p1", "p2"]), splits=np.array(["", ""]),
    ...     class_names=("NORMAL", "PNEUMONIA"),
    ... )
    >>> matrix.y.tolist()
    ['NORMAL', 'NORMAL', 'PNEUMONIA', 'PNEUMONIA']
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
    patients_known: bool | None = None
    versions: dict[str, str] = field(default_factory=dict)
    tuned_on: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if self.patients_known is None:
            known = self.patients.tolist() != list(self.names)
            object.__setattr__(self, "patients_known", known)

    def __repr__(self) -> str:
        return (
            f"FeatureMatrix({self._backbones()}: {self.n_images:,} images, {len(self.X):,} rows, "
            f"{self.X.shape[1]:,} features)"
        )

    def _repr_html_(self) -> str:
        counts = {name: (self.labels == code).sum() for code, name in enumerate(self.class_names)}
        rows = {
            "features": f"{self.X.shape[1]:,} of {self._backbones()}",
            "images": f"{self.n_images:,}",
            "rows": f"{len(self):,}",
            "patients": f"{len(np.unique(self.patients)):,}" if self.patients_known else "unknown",
            **{f"class {name}": f"{count:,}" for name, count in counts.items()},
        }
        cells = (f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows.items())
        return f"<table><caption>FeatureMatrix</caption>{''.join(cells)}</table>"

    def _backbones(self) -> str:
        return "+".join(recipe["backbone"] for recipe in self.recipes) or "features"

    def __len__(self) -> int:
        return len(self.X)

    @property
    def n_images(self) -> int:
        """Number of images."""
        return len(self.names)

    @property
    def y(self) -> npt.NDArray[np.str_]:
        """Class name of each row, shape (n_rows,); ``""`` where unknown."""
        return np.array([*self.class_names, ""], dtype=np.str_)[self.row_labels]

    @cached_property
    def row_labels(self) -> npt.NDArray[np.int64]:
        """Index of each row's class, shape (n_rows,)."""
        return self.labels[self.image]

    @cached_property
    def row_patients(self) -> npt.NDArray[np.str_]:
        """Patient of each row, shape (n_rows,)."""
        return self.patients[self.image]

    @property
    def feature_names(self) -> list[str]:
        """Name of each column, which identifies backbone and recipe, length n_features."""
        return feature_names(self.recipes, self.X.shape[1])

    def to_numpy(self) -> npt.NDArray[np.float32]:
        """Return the features as one array in memory, shape (n_rows, n_features)."""
        return np.array(self.X[:], dtype=np.float32)

    def to_frame(self) -> pd.DataFrame:
        """Return a data frame with image, view, label, patient and split before the features.

        Labels are class names, ``""`` where unknown. Features are named by backbone, digest of the
        recipe and number, so that scikit-learn refuses those of another network.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtraError("FeatureMatrix.to_frame", "pandas") from error
        images = {
            # pandas' texts hold no undecodable bytes.
            "image": pd.Series([self.names[i] for i in self.image], dtype=object),
            "view": self.view,
            "label": self.y,
            "patient": pd.Series(self.row_patients.tolist(), dtype=object),
            "split": self.splits[self.image],
        }
        features = pd.DataFrame(self.to_numpy(), columns=self.feature_names)
        return pd.concat([pd.DataFrame(images), features], axis=1)

    def select_images(self, indices: npt.ArrayLike) -> FeatureMatrix:
        """Return some images, in the given order, with all their views.

        Parameters
        ----------
        indices : array-like of int
            Numbers of the images, each at most once.
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
            X=take(self.X, rows),
            image=new_image[rows],
            view=self.view[rows],
            names=tuple(self.names[i] for i in indices),
            digests=tuple(self.digests[i] for i in indices),
            labels=self.labels[indices],
            patients=self.patients[indices],
            splits=self.splits[indices],
        )

    def select_views(self, views: int) -> FeatureMatrix:
        """Return the first views of each image.

        Parameters
        ----------
        views : int
            Number of views, at least 1; view 0 is the image itself.
        """
        if views < 1:
            raise UsageError(f"views={views} selects no row; give at least 1")
        rows = np.flatnonzero(self.view < views)
        return replace(self, X=take(self.X, rows), image=self.image[rows], view=self.view[rows])

    def labels_from(self, table: Any, **rules: Any) -> FeatureMatrix:
        """Return the matrix with labels from a table, and its patients and splits if it has any.

        Rows are matched to images by a column ``path``, exactly or by the end of the path, or by a
        column ``sha256`` of the files. Images without a row are unlabeled; these and rows without
        an image are counted in a warning.

        Parameters
        ----------
        table : path-like or data frame
            Table as `ImageDataset.open` takes it; the image files are not needed.
        **rules
            Rules such as ``columns``, ``patients``, ``positive`` and ``skip_problems``
            (`featx.datasets.rules.OpeningRules`).

        Raises
        ------
        UsageError
            If rows have problems, or none matches an image.
        """
        from featx.features.table_labels import labels_from_table

        return labels_from_table(self, table, OpeningRules.of(**rules))

    def lazily(self) -> FeatureMatrix:
        """Return the matrix with rows that are read only where `X` is indexed.

        Its selections read nothing either. `X` then takes slices and arrays of row numbers only.
        """
        lazy = self.X if isinstance(self.X, LazyRows) else LazyRows([self.X])
        return replace(self, X=cast("npt.NDArray[np.float32]", lazy))

    @classmethod
    def join(cls, matrices: Sequence[FeatureMatrix]) -> FeatureMatrix:
        """Concatenate the features of matrices of the same images.

        Parameters
        ----------
        matrices : sequence of FeatureMatrix
            Matrices of the same images and views, with the same color, normalization and policy.

        Raises
        ------
        UsageError
            If they differ in anything but their networks and pooling, with both values; if the
            same features are given twice; or if OpenCV has another major version. Other versions
            of libraries that decide pixels or features are a warning of the logger ``featx``.
        """
        if not matrices:
            raise UsageError("there is no matrix to join")
        for other in matrices[1:]:
            check_joinable(matrices[0], other)
        return join_columns(matrices)

    def save(self, path: str | Path) -> None:
        """Write the matrix as one plain HDF5 file, whole or not at all.

        Parameters
        ----------
        path : path-like
            File to write; missing folders are made.
        """

        def fill(rows: h5py.Dataset) -> None:
            for start in range(0, len(self.X), ROWS_AT_ONCE):
                rows[start : start + ROWS_AT_ONCE] = self.X[start : start + ROWS_AT_ONCE]

        self.save_rows(path, self.X.shape, fill)

    def save_rows(
        self, path: str | Path, shape: tuple[int, ...], fill: Callable[[h5py.Dataset], None]
    ) -> None:
        """Write a matrix of the given shape, whose rows `fill` writes into the HDF5 data set."""

        def write(file: h5py.File) -> None:
            self._write_tables(file)
            fill(file.create_dataset("features", shape=shape, dtype=np.float32))

        write_hdf5(Path(path), write, append_checksums, needed=4 * math.prod(shape))

    def _write_tables(self, file: h5py.File) -> None:
        file.attrs[MARK] = 1
        file.attrs["featx_format"] = FORMAT
        file.attrs["recipe"] = json.dumps(list(self.recipes), sort_keys=True)
        file.attrs["class_names"] = list(self.class_names)
        file.attrs["patients_known"] = bool(self.patients_known)
        versions = self.versions or decisive_versions()
        file.attrs["versions"] = json.dumps(versions, sort_keys=True)
        for name, attribute in _NUMBERS.items():
            file.create_dataset(name, data=getattr(self, attribute))
        texts = {name: getattr(self, attribute) for name, attribute in _TEXTS.items()}
        texts |= {name: [x[n] for x in self.unreadable] for n, name in enumerate(_UNREADABLE)}
        write_texts(file, texts)
        write_tuned_on(file, self.tuned_on)

    @classmethod
    def load(cls, path: str | Path) -> FeatureMatrix:
        """Read a matrix file; features are checked, and stay on disk until they are needed.

        Parameters
        ----------
        path : path-like
            File that `save` or ``featx extract`` wrote.

        Raises
        ------
        UsageError
            If the file is missing, or something else.
        FeatxError
            If it is damaged, or no feature matrix of a known format.
        """
        path = expect(path, "matrix")
        try:
            verify_checksums(path)
            with h5py.File(path, "r") as file:
                return cls._read(file, path)
        except FeatxError:
            raise
        # HDF5 and what reads its contents can raise anything where a file has no checksums.
        except Exception as error:
            raise unreadable_matrix(path, error) from error

    @classmethod
    def _read(cls, file: h5py.File, path: Path) -> FeatureMatrix:
        check_format(file, path, FORMAT)

        def texts(name: str) -> tuple[str, ...]:
            values = checked(file, name)[:]
            return tuple(value.decode("utf-8", "surrogateescape") for value in values)

        tables: dict[str, Any] = {own: checked(file, name)[:] for name, own in _NUMBERS.items()}
        tables |= {attribute: texts(name) for name, attribute in _TEXTS.items()}
        for attribute in ("patients", "splits"):
            tables[attribute] = np.array(tables[attribute], dtype=np.str_)
        known = file.attrs.get("patients_known")
        recipes = tuple(json.loads(file.attrs["recipe"]))
        for recipe in recipes:
            check_precision(recipe.get("precision", "float32"))
        matrix = cls(
            X=read_features(file, path),
            class_names=tuple(str(name) for name in file.attrs["class_names"]),
            recipes=recipes,
            versions=json.loads(file.attrs.get("versions", "{}")),
            patients_known=None if known is None else bool(known),
            tuned_on=read_tuned_on(file),
            unreadable=tuple(zip(*map(texts, _UNREADABLE), strict=True)),
            **tables,
        )
        check_tables(matrix)
        return matrix
