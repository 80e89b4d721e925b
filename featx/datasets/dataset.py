"""Images with labels, patients and splits."""

from __future__ import annotations

import html
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.datasets.headers import read_header_columns
from featx.datasets.inventory import Inventory, summarize
from featx.datasets.listing import Listing, list_arrays
from featx.datasets.locations import list_images
from featx.datasets.patients import find_patients, from_names
from featx.datasets.rules import OpeningRules
from featx.images.reading import Color
from featx.images.sources import Source, anchored, digest_of, pixels_of

logger = logging.getLogger(__name__)

_NO_INVENTORY = Inventory("the images given", {})


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Hold images with labels, patients and splits; pixels are decoded on demand.

    Make one with `open` (a folder, archive, table or MedMNIST file) or `from_arrays`. Every
    function of featx that takes images also takes a path, a list of paths, a data frame or arrays;
    make an `ImageDataset` to give rules for patients and labels, or to use a part of the images.

    Parameters
    ----------
    names : tuple of str
        Path of each image: below the folder, archive or URL that was opened, as given in a list
        or table, or ``array-000012``.
    labels : ndarray of int64, shape (n_images,)
        Index into `class_names`; -1 where unknown. See `y` for names.
    class_names : tuple of str
        The classes, sorted; of two, the last is the positive one.
    patients : ndarray of str, shape (n_images,)
        Patient of each image, for scikit-learn's ``groups``; the image's name where unknown.
    patients_known : bool
        Whether patients were given.
    splits : ndarray of str, shape (n_images,)
        ``"train"``, ``"val"``, ``"test"`` or ``""``.
    sources : tuple of Path, Member, RemoteFile or ndarray
        Location of the pixels of each image.
    inventory : Inventory
        What was found and passed over when the collection was opened; print its ``text``. It
        stays as it is when images are selected or split.
    columns : mapping of str to ndarray of str, shape (n_images,)
        Further columns that were asked for, such as age and sex; ``""`` where missing.

    Examples
    --------
    >>> images = ImageDataset.from_arrays(np.zeros((3, 8, 8), np.uint8), ["no", "yes", "no"],
    ...                                   patients=["a", "b", "c"])
    >>> images
    ImageDataset(3 images: no 2, yes 1; 3 patients)
    >>> images.y.tolist(), images.labels.tolist()
    (['no', 'yes', 'no'], [0, 1, 0])
    """

    names: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    patients: npt.NDArray[np.str_]
    patients_known: bool
    splits: npt.NDArray[np.str_]
    sources: tuple[Source, ...]
    inventory: Inventory = _NO_INVENTORY
    columns: Mapping[str, npt.NDArray[np.str_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int]:
        """``(n_images,)``, so that scikit-learn can index it as an array."""
        return (len(self),)

    @property
    def y(self) -> npt.NDArray[np.str_]:
        """Class name of each image, ``""`` where unknown; an ndarray of str."""
        return np.array([*self.class_names, ""], dtype=np.str_)[self.labels]

    def __getitem__(self, indices: Any) -> ImageDataset:
        """Select images by a slice, or as `select` does."""
        return self.select(np.arange(len(self))[indices])

    def __repr__(self) -> str:
        return f"ImageDataset({self.summary()})"

    def _repr_html_(self) -> str:
        rows = "".join(f"<li>{html.escape(item)}</li>" for item in self.summary().split("; "))
        return f"<div>ImageDataset<ul>{rows}</ul></div>"

    def summary(self) -> str:
        """Describe classes, patients and splits in one line.

        Returns
        -------
        str

        Examples
        --------
        >>> ImageDataset.from_arrays(np.zeros((4, 8, 8), np.uint8), list("abab"),
        ...                          patients=list("pqrs")).summary()
        '4 images: a 2, b 2; 4 patients'
        """
        return summarize(self)

    @classmethod
    def open(
        cls,
        path: str | Path,
        patients: str | None = None,
        *,
        labels: str | None = None,
        labeled: bool | None = True,
        class_names: Sequence[str] | None = None,
        columns: Mapping[str, str] | str | None = None,
        keep_columns: Sequence[str] | str | None = None,
        root: str | Path | None = None,
        positive: str | None = None,
        uncertain: str | None = None,
        skip_problems: bool = False,
        rename_labels: Mapping[str, str] | str | None = None,
        hash_patients: str | None = None,
        findings: Sequence[str] | str | None = None,
    ) -> ImageDataset:
        r"""Open a folder, an archive, a table or a MedMNIST file.

        Parameters
        ----------
        path : path-like or str
            One of these, or the URL of one of the first three (``s3://bucket/chest_xray``; see
            `featx.images.remote`):

            - a folder with one subfolder per class, or with folders ``train``, ``val``, ``test``
              that have them;
            - a zip or plain tar archive of such a folder, which stays packed;
            - a CSV or Parquet file with columns ``path`` (absolute, or relative to the file's
              folder), ``label``, and optionally ``patient`` and ``split``, or with those of
              `columns`; the tables of some public data sets are recognized;
            - a MedMNIST ``.npz`` file.
        patients : str, optional
            Rule for patients: ``"kermany"``; ``"dicom"``, the PatientID of DICOM headers, of which
            only a keyed hash is kept; a regular expression with one group for the patient, such as
            ``r"(person\d+)_"``, searched in each image's path below the folders around all of
            them; or a table's column.
        labels : str, optional
            Rule for labels, in place of folders or a column: ``"kermany-subtype"`` (normal,
            bacteria, virus) or a regular expression with one group for the label.
        labeled : bool or None, default=True
            If False, all images are taken, without labels and splits of folders. If None, labels
            are optional: a folder without class folders is taken as if it were False.
        class_names : sequence of str, optional
            The possible classes, for instance those of a model; by default those found, of which
            at least two are needed.
        columns : mapping of str to str, or str, optional
            Columns of a table by role, such as ``{"path": "Filename", "label": "Finding",
            "patient": "PatientID", "split": "Set"}``; an empty name ignores a column.
        keep_columns : sequence of str, or str, optional
            Further columns to keep as `columns` of the result, such as ``["age", "sex"]``. They are
            roles of `columns`, too: ``{"age": "Age at exam"}``; ``{"age": "dicom:PatientAge"}``, or
            ``keep_columns="dicom:PatientAge"``, reads a field of DICOM headers, unless it
            identifies patients.
        root : path-like, optional
            Folder to which a table's paths are relative. A file that is not there is searched by
            its name in all folders below.
        positive : str, optional
            Finding that makes an image positive, where a table lists several per image or has one
            column per finding.
        uncertain : {"positive", "negative", "skip"}, optional
            Meaning of the label -1 of CheXpert and MIMIC-CXR.
        skip_problems : bool, default=False
            Whether a table's rows with problems are left out, instead of an error.
        rename_labels : mapping of str to str, or str, optional
            New names of labels, such as ``{"No_finding": "NORMAL"}``; ``""`` leaves the images
            of a label out.
        hash_patients : str, optional
            Secret key; patients are replaced by hashes keyed with it.
        findings : sequence of str, or str, optional
            Findings of a table with several per image, or ``"all"``. Each becomes one of `columns`:
            ``"1"`` present, ``"0"`` absent, ``"-1"`` uncertain, ``""`` unknown. Images then have no
            labels.

        Returns
        -------
        ImageDataset

        Raises
        ------
        UsageError
            If there are no images, fewer than two classes, a class without images in a split, a
            class that is not in `class_names`, or a name that does not match a rule.
        MissingExtraError
            If reading needs a package that is not installed.
        """
        rules = OpeningRules.of(
            patients=patients,
            labels=labels,
            labeled=labeled,
            class_names=class_names,
            columns=columns,
            keep_columns=keep_columns,
            root=root,
            positive=positive,
            uncertain=uncertain,
            skip_problems=skip_problems,
            rename_labels=rename_labels,
            hash_patients=hash_patients,
            findings=findings,
        )
        return cls.from_listing(list_images(path, rules), rules)

    @classmethod
    def from_arrays(
        cls,
        arrays: Sequence[npt.NDArray] | npt.NDArray,
        labels: Sequence[str | int] | npt.NDArray | None = None,
        *,
        class_names: Sequence[str] | None = None,
        patients: Sequence[str] | npt.NDArray | None = None,
        splits: Sequence[str] | npt.NDArray | None = None,
        columns: Mapping[str, Sequence[Any] | npt.NDArray] | None = None,
    ) -> ImageDataset:
        """Take images from memory.

        Parameters
        ----------
        arrays : sequence of ndarray, or one ndarray of shape (n_images, height, width[, 3])
            Pixels; integers of more than 8 bits and floats are scaled as by `to_intensities`.
        labels : sequence of length n_images, optional
            Class names, or indices into `class_names`; None, NaN, ``""`` or -1 where unknown.
        class_names : sequence of str, optional
            The possible classes; by default the sorted distinct labels.
        patients : sequence of str, length n_images, optional
            Patient of each image.
        splits : sequence of str, length n_images, optional
            ``"train"``, ``"val"``, ``"test"`` or ``""``.
        columns : mapping of str to sequence of length n_images, optional
            Further columns, such as age and sex; None, NaN or ``""`` where missing.

        Returns
        -------
        ImageDataset

        Raises
        ------
        UsageError
            If lengths differ, a label is no class, a patient is missing, or as in `open`.
        """
        listing = list_arrays(arrays, labels, class_names, patients, splits, columns or {})
        rules = OpeningRules(labeled=labels is not None, class_names=class_names)
        return cls.from_listing(listing, rules)

    @classmethod
    def from_listing(cls, listing: Listing, rules: OpeningRules) -> ImageDataset:
        """Apply the rules of `open` to listed images."""
        if rules.complete and rules.labels is not None:
            listing.labels = from_names("label", listing.searched, rules.labels)
            listing.labels_from = f"rule '{rules.labels}'"
        if rules.complete and rules.rename_labels:
            listing = listing.rename_labels(rules.rename_labels)
        labeled = any(listing.labels) if rules.labeled is None else rules.labeled
        if rules.findings:
            labeled = False
        class_names = rules.class_names
        if class_names is None:
            class_names = sorted(set(listing.labels) - {""}) if labeled else ()
            if labeled:
                listing.check_classes(class_names)
        if labeled:
            listing.check_known(class_names, rules.option("labels", ""))
        listing.check_splits()
        code = {name: number for number, name in enumerate(class_names)}
        found = find_patients(listing.searched, listing.sources, listing.patients, rules)
        kept = listing.columns | read_header_columns(listing, rules)
        inventory = listing.take_inventory(found, rules)
        inventory.log()
        if found is None and (labeled or (rules.findings and rules.complete)):
            logger.warning(
                "Patients are unknown: images of one patient may be on both sides of a split, "
                "which inflates every score. Give --patients, or a table with a column `patient`."
            )
        return cls(
            names=tuple(listing.names),
            labels=np.array([code.get(label, -1) for label in listing.labels], dtype=np.int64),
            class_names=tuple(class_names),
            patients=np.array(listing.names if found is None else found, dtype=np.str_),
            patients_known=found is not None,
            splits=np.array(listing.splits, dtype=np.str_),
            sources=tuple(map(anchored, listing.sources)),
            inventory=inventory,
            columns={name: np.array(cells, dtype=np.str_) for name, cells in kept.items()},
        )

    def select(self, indices: npt.ArrayLike) -> ImageDataset:
        """Select images by a mask or by indices, in the order given.

        Parameters
        ----------
        indices : array-like of int or bool
            Indices of the images to keep, or a mask of shape (n_images,).

        Returns
        -------
        ImageDataset
        """
        places = np.asarray(indices)
        chosen = np.arange(len(self))[places if places.size else places.astype(np.int64)]
        if chosen.ndim != 1:
            raise TypeError("give a slice, a mask or a list of indices; `read` decodes one image")
        return replace(
            self,
            names=tuple(self.names[i] for i in chosen),
            labels=self.labels[chosen],
            patients=self.patients[chosen],
            splits=self.splits[chosen],
            sources=tuple(self.sources[i] for i in chosen),
            columns={name: cells[chosen] for name, cells in self.columns.items()},
        )

    def columns_of(self, names: Sequence[str]) -> dict[str, npt.NDArray[np.str_]]:
        """Return `columns` of some images, named in any order, such as those of a matrix."""
        places = {name: place for place, name in enumerate(self.names)}
        rows = [places[name] for name in names]
        return {name: cells[rows] for name, cells in self.columns.items()}

    def with_splits(self, splits: npt.ArrayLike) -> ImageDataset:
        """Replace the splits.

        Parameters
        ----------
        splits : array-like of str, shape (n_images,)
            ``"train"``, ``"val"``, ``"test"`` or ``""``.

        Returns
        -------
        ImageDataset
        """
        return replace(self, splits=np.asarray(splits, dtype=np.str_))

    def read(self, index: int, color: Color = "gray") -> npt.NDArray:
        """Decode one image.

        Parameters
        ----------
        index : int
            Index of the image.
        color : {"gray", "rgb"}, default="gray"
            Color space of the result.

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
        """Return the SHA-256 of one image's bytes, its identity in caches.

        Parameters
        ----------
        index : int
            Index of the image.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        return digest_of(self.sources[index])
