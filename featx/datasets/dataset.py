"""A set of images with their labels, patients and splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.datasets.folders import Listing, list_folder
from featx.datasets.formats import list_images
from featx.datasets.labels import labels_from_names
from featx.datasets.patients import hash_patient, patients_from_headers, patients_from_names
from featx.datasets.tables import list_manifest
from featx.errors import UsageError
from featx.images.reading import Color
from featx.images.sources import Source, digest_of, pixels_of
from featx.runtime.progress import say

__all__ = ["SPLITS", "ImageDataset"]

SPLITS = ("train", "val", "test", "")


@dataclass(frozen=True)
class _Rules:
    """How patients and labels are told."""

    patients: str | None = None
    labels: str | None = None
    labeled: bool = True
    class_names: Sequence[str] | None = None
    secret: str | None = None

    def find_patients(self, listing: Listing) -> list[str] | None:
        """Return each image's patient, hashed where that is asked for, or None if unknown."""
        if self.patients == "dicom" and listing.patients is None:
            return patients_from_headers(listing.names, listing.sources, self.secret)
        patients = listing.patients
        if patients is None and self.patients is not None:
            patients = patients_from_names(listing.names, self.patients).tolist()
        if patients is None or self.secret is None:
            return patients
        return [hash_patient(patient, self.secret) for patient in patients]


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images, and for each its label, patient and split. Nothing is decoded before it is asked for.

    Make one with `open`, `from_folder`, `from_csv` or `from_arrays`.

    Parameters
    ----------
    names : tuple of str
        Path of each image relative to the root, or ``array-000012``.
    labels : ndarray of int64, shape (n_images,)
        Index into `class_names`; -1 where unknown.
    class_names : tuple of str
        The classes, sorted; of two, the last is the positive one.
    patients : ndarray of str, shape (n_images,)
        Whose image it is; every image its own patient where that is not known.
    patients_known : bool
        Whether `patients` was given.
    splits : ndarray of str, shape (n_images,)
        ``"train"``, ``"val"``, ``"test"`` or ``""``.
    sources : tuple of Path, Member, RemoteFile or ndarray
        Where the pixels are.

    Examples
    --------
    >>> images = ImageDataset.from_arrays(np.zeros((3, 8, 8), np.uint8), ["no", "yes", "no"],
    ...                                   patients=["a", "b", "c"])
    >>> len(images), images.class_names, images.labels.tolist()
    (3, ('no', 'yes'), [0, 1, 0])
    """

    names: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    patients: npt.NDArray[np.str_]
    patients_known: bool
    splits: npt.NDArray[np.str_]
    sources: tuple[Source, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int]:
        """``(n_images,)``: with it scikit-learn indexes a data set as it does an array."""
        return (len(self),)

    def __getitem__(self, indices: Any) -> ImageDataset:
        """Keep some images, by a slice or as in `select`."""
        return self.select(np.arange(len(self))[indices])

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{name} {int((self.labels == index).sum()):,}"
            for index, name in enumerate(self.class_names)
        )
        known = f"{len(np.unique(self.patients)):,}" if self.patients_known else "unknown"
        return f"ImageDataset({len(self):,} images: {counts or 'unlabeled'}; patients: {known})"

    @classmethod
    def open(
        cls,
        path: str | Path,
        patients: str | None = None,
        *,
        labels: str | None = None,
        labeled: bool = True,
        class_names: Sequence[str] | None = None,
        hash_patients: str | None = None,
    ) -> ImageDataset:
        r"""Open a folder, an archive, a table or a MedMNIST file, whichever `path` is.

        Parameters
        ----------
        path : path-like or str
            One of these, or the URL of one of the first three (``s3://bucket/chest_xray``; see
            `featx.images.remote`):

            - a folder, see `from_folder`;
            - a zip or plain tar archive of such a folder, which stays packed;
            - a CSV or Parquet file, see `from_csv`;
            - a MedMNIST ``.npz`` file, see `list_medmnist`.
        patients : str, optional
            Whose image it is: ``"kermany"``; ``"dicom"``, which takes PatientID from DICOM headers
            and keeps a keyed hash of it only; a regular expression with one group that is the
            patient, such as ``r"(person\d+)_"``, searched in each image's path below `path`; or a
            table's column.
        labels : str, optional
            What an image shows, from its path in place of its folder or column:
            ``"kermany-subtype"`` (normal, bacteria, virus) or a regular expression with one group.
        labeled : bool, default=True
            If false, every image is taken, and whatever tells labels or splits means nothing.
        class_names : sequence of str, optional
            The classes that there can be, for instance those of a model; by default those found,
            of which at least two are needed.
        hash_patients : str, optional
            Secret to key hashes of patients with, whatever tells them.

        Returns
        -------
        ImageDataset

        Raises
        ------
        UsageError
            If there are no images, fewer than two classes, a class without images in a split, a
            class that is not in `class_names`, or a name that a rule does not fit.
        MissingExtraError
            If reading needs a package that is not installed.
        """
        rules = _Rules(patients, labels if labeled else None, labeled, class_names, hash_patients)
        listing = list_images(path, labeled and labels is None, labeled, patients)
        return cls._from_listing(listing, rules)

    @classmethod
    def from_folder(
        cls,
        root: str | Path,
        patients: str | None = None,
        *,
        labels: str | None = None,
        labeled: bool = True,
        class_names: Sequence[str] | None = None,
        hash_patients: str | None = None,
    ) -> ImageDataset:
        """Take the images of a folder, one sub-folder a class.

        Parameters
        ----------
        root : path-like
            Holds one folder a class, or folders ``train``, ``val``, ``test`` that do.
        patients, labels, labeled, class_names, hash_patients
            As in `open`.
        """
        rules = _Rules(patients, labels if labeled else None, labeled, class_names, hash_patients)
        listing = list_folder(Path(root), labeled and labels is None, labeled)
        return cls._from_listing(listing, rules)

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        patients: str | None = None,
        *,
        labels: str | None = None,
        labeled: bool = True,
        class_names: Sequence[str] | None = None,
        hash_patients: str | None = None,
    ) -> ImageDataset:
        """Take the images that a CSV or Parquet file lists.

        Parameters
        ----------
        path : path-like
            Columns ``path`` (relative to the file's folder, or absolute), ``label``, and
            optionally ``patient`` and ``split``.
        patients : str, optional
            The column that holds the patient, or as in `open`; by default the column ``patient``
            where there is one.
        labels, labeled, class_names, hash_patients
            As in `open`.
        """
        rules = _Rules(patients, labels if labeled else None, labeled, class_names, hash_patients)
        listing = list_manifest(Path(path), labeled and labels is None, patients)
        return cls._from_listing(listing, rules)

    @classmethod
    def from_arrays(
        cls,
        arrays: Sequence[npt.NDArray] | npt.NDArray,
        labels: Sequence[str | int] | npt.NDArray | None = None,
        *,
        class_names: Sequence[str] | None = None,
        patients: Sequence[str] | npt.NDArray | None = None,
        splits: Sequence[str] | npt.NDArray | None = None,
    ) -> ImageDataset:
        """Take images from memory.

        Parameters
        ----------
        arrays : sequence of ndarray, or one ndarray of shape (n_images, height, width[, 3])
            Pixels; integers of more than 8 bits and floats are scaled as `to_intensities` says.
        labels : sequence of length n_images, optional
            Class names, or indices into `class_names`.
        class_names : sequence of str, optional
            By default the sorted distinct labels.
        patients, splits : sequence of str, length n_images, optional
            Whose image it is; ``"train"``, ``"val"``, ``"test"`` or ``""``.
        """
        sources = tuple(np.asarray(array) for array in arrays)
        names = [f"array-{number:06d}" for number in range(len(sources))]
        for what, values in (("labels", labels), ("patients", patients), ("splits", splits)):
            if values is not None and len(values) != len(sources):
                raise UsageError(f"there are {len(sources)} images but {len(values)} {what}")
        if labels is not None and class_names is not None and np.asarray(labels).dtype.kind in "iu":
            texts = [class_names[int(index)] if int(index) >= 0 else "" for index in labels]
        else:
            texts = ["" for _ in sources] if labels is None else [str(label) for label in labels]
        listing = Listing(
            names=names,
            sources=list(sources),
            labels=texts,
            splits=["" for _ in sources] if splits is None else [str(split) for split in splits],
            patients=None if patients is None else [str(patient) for patient in patients],
            where="the arrays given",
        )
        rules = _Rules(labeled=labels is not None, class_names=class_names)
        return cls._from_listing(listing, rules)

    @classmethod
    def from_files(cls, paths: Sequence[Path]) -> ImageDataset:
        """Take single files, without labels.

        Parameters
        ----------
        paths : sequence of Path
            The same one may stand there twice.
        """
        listing = Listing(
            names=[path.name for path in paths],
            sources=list(paths),
            labels=["" for _ in paths],
            splits=["" for _ in paths],
            patients=None,
            where="the files given",
        )
        return cls._from_listing(listing, _Rules(labeled=False))

    @classmethod
    def _from_listing(cls, listing: Listing, rules: _Rules) -> ImageDataset:
        labels = listing.labels
        if rules.labels is not None:
            labels = listing.labels = labels_from_names(listing.names, rules.labels)
        class_names = rules.class_names
        if class_names is None:
            class_names = sorted(set(labels) - {""}) if rules.labeled else ()
            if rules.labeled:
                listing.check_classes(class_names)
        strangers = sorted(set(labels) - {"", *class_names}) if rules.labeled else []
        if strangers:
            raise UsageError(
                f"{listing.where} has images of class {strangers[0]!r}; the classes here are "
                f"{', '.join(class_names)}"
            )
        unknown_splits = sorted(set(listing.splits) - set(SPLITS))
        if unknown_splits:
            raise UsageError(
                f"{listing.where} has a split {unknown_splits[0]!r}; use train, val, test or none"
            )
        index = {name: number for number, name in enumerate(class_names)}
        patients = rules.find_patients(listing)
        if patients is None and rules.labeled:
            say(
                "Patients are not known: images of one patient may stand on both sides of a split, "
                "which flatters every score. Name them with --patients or a column `patient`."
            )
        return cls(
            names=tuple(listing.names),
            labels=np.array([index.get(label, -1) for label in labels], dtype=np.int64),
            class_names=tuple(class_names),
            patients=np.array(listing.names if patients is None else patients, dtype=np.str_),
            patients_known=patients is not None,
            splits=np.array(listing.splits, dtype=np.str_),
            sources=tuple(listing.sources),
        )

    def select(self, indices: npt.ArrayLike) -> ImageDataset:
        """Keep some images, in the order given.

        Parameters
        ----------
        indices : array-like of int or bool
            Which.
        """
        chosen = np.arange(len(self))[np.asarray(indices)]
        if chosen.ndim != 1:
            raise TypeError("give a slice, a mask or a list of indices; `read` decodes one image")
        return replace(
            self,
            names=tuple(self.names[i] for i in chosen),
            labels=self.labels[chosen],
            patients=self.patients[chosen],
            splits=self.splits[chosen],
            sources=tuple(self.sources[i] for i in chosen),
        )

    def with_hashed_patients(self, secret: str) -> ImageDataset:
        """Return the same images with patients as keyed hashes, which tell nobody who they are.

        Parameters
        ----------
        secret : str
            The same secret gives the same hashes; without it they cannot be found by trying names.
        """
        hashed = [hash_patient(patient, secret) for patient in self.patients]
        return replace(self, patients=np.array(hashed, dtype=np.str_))

    def with_splits(self, splits: npt.ArrayLike) -> ImageDataset:
        """Return the same images with other splits.

        Parameters
        ----------
        splits : array-like of str, shape (n_images,)
            ``"train"``, ``"val"``, ``"test"`` or ``""``.
        """
        return replace(self, splits=np.asarray(splits, dtype=np.str_))

    def read(self, index: int, color: Color = "gray") -> npt.NDArray:
        """Decode one image; see `featx.images.reading.read_image`.

        Parameters
        ----------
        index : int
            Which image.
        color : {"gray", "rgb"}, default="gray"
            What to return.

        Returns
        -------
        ndarray of uint8 or float32, shape (height, width) or (height, width, 3)
            Intensities from 0 to 255.

        Raises
        ------
        UnreadableImageError
            If it cannot be decoded.
        """
        return pixels_of(self.sources[index], color)

    def digest(self, index: int) -> str:
        """Return the SHA-256 of one image's bytes, in hexadecimal: what it is known by.

        Parameters
        ----------
        index : int
            Which image.
        """
        return digest_of(self.sources[index])
