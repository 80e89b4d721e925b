"""A set of images with their labels, patients and splits."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from featx.errors import UnreadableImageError, UsageError
from featx.images.listing import Listing, list_csv, list_folder
from featx.images.patients import patients_from_names
from featx.images.reading import Colour, read_bytes, read_image, to_intensities
from featx.progress import say

__all__ = ["SPLITS", "ImageDataset"]

SPLITS = ("train", "val", "test", "")


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
    sources : tuple of Path or ndarray
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
    sources: tuple[Path | npt.NDArray, ...]

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{name} {int((self.labels == index).sum()):,}"
            for index, name in enumerate(self.class_names)
        )
        known = f"{len(np.unique(self.patients)):,}" if self.patients_known else "unknown"
        return f"ImageDataset({len(self):,} images: {counts or 'unlabelled'}; patients: {known})"

    @classmethod
    def open(
        cls,
        path: str | Path,
        patients: str | None = None,
        *,
        labelled: bool = True,
        class_names: Sequence[str] | None = None,
    ) -> ImageDataset:
        """Open a folder or a CSV file, whichever `path` is; see `from_folder`, `from_csv`."""
        path = Path(path)
        if path.is_dir():
            return cls.from_folder(path, patients, labelled=labelled, class_names=class_names)
        if path.suffix.lower() == ".csv":
            return cls.from_csv(path, patients, labelled=labelled, class_names=class_names)
        problem = "is neither a folder nor a CSV file" if path.exists() else "does not exist"
        raise UsageError(
            f"{path} {problem}; give a folder of images or a CSV file with a column `path`"
        )

    @classmethod
    def from_folder(
        cls,
        root: str | Path,
        patients: str | None = None,
        *,
        labelled: bool = True,
        class_names: Sequence[str] | None = None,
    ) -> ImageDataset:
        r"""Take the images of a folder, one sub-folder a class.

        Parameters
        ----------
        root : path-like
            Holds one folder a class, or folders ``train``, ``val``, ``test`` that do.
        patients : str, optional
            ``"kermany"``, or a regular expression with one group that is the patient, such as
            ``r"(person\d+)_"``, searched in each image's path below `root`.
        labelled : bool, default=True
            If false, every image below `root` is taken, whatever the folders' names.
        class_names : sequence of str, optional
            The classes that there can be, for instance those of a model; by default those found,
            of which at least two are needed.

        Returns
        -------
        ImageDataset

        Raises
        ------
        UsageError
            If there are no images, fewer than two classes, a class without images in a split, a
            class that is not in `class_names`, or a name that the patient rule does not fit.
        """
        return cls._from_listing(list_folder(Path(root), labelled), patients, labelled, class_names)

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        patients: str | None = None,
        *,
        labelled: bool = True,
        class_names: Sequence[str] | None = None,
    ) -> ImageDataset:
        """Take the images that a CSV file lists.

        Parameters
        ----------
        path : path-like
            Columns ``path`` (relative to the CSV file's folder, or absolute), ``label``, and
            optionally ``patient`` and ``split``.
        patients : str, optional
            The column that holds the patient, a preset, or a regular expression; by default the
            column ``patient`` where there is one.
        labelled, class_names
            As in `from_folder`.
        """
        listing = list_csv(Path(path), labelled, patients)
        rule = None if listing.patients is not None else patients
        return cls._from_listing(listing, rule, labelled, class_names)

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
        return cls._from_listing(listing, None, labels is not None, class_names)

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
        return cls._from_listing(listing, None, False, None)

    @classmethod
    def _from_listing(
        cls,
        listing: Listing,
        patient_rule: str | None,
        labelled: bool,
        class_names: Sequence[str] | None,
    ) -> ImageDataset:
        if class_names is None:
            class_names = sorted(set(listing.labels) - {""}) if labelled else ()
            if labelled:
                listing.check_classes(class_names)
        strangers = sorted(set(listing.labels) - {"", *class_names}) if labelled else []
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
        patients = listing.patients
        if patients is None and patient_rule is not None:
            patients = patients_from_names(listing.names, patient_rule).tolist()
        if patients is None and labelled:
            say(
                "Patients are not known: images of one patient may stand on both sides of a split, "
                "which flatters every score. Name them with --patients or a column `patient`."
            )
        return cls(
            names=tuple(listing.names),
            labels=np.array([index.get(label, -1) for label in listing.labels], dtype=np.int64),
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
        hashed = [
            hmac.new(secret.encode(), patient.encode(), hashlib.sha256).hexdigest()[:16]
            for patient in self.patients
        ]
        return replace(self, patients=np.array(hashed, dtype=np.str_))

    def with_splits(self, splits: npt.ArrayLike) -> ImageDataset:
        """Return the same images with other splits.

        Parameters
        ----------
        splits : array-like of str, shape (n_images,)
            ``"train"``, ``"val"``, ``"test"`` or ``""``.
        """
        return replace(self, splits=np.asarray(splits, dtype=np.str_))

    def read(self, index: int, colour: Colour = "grey") -> npt.NDArray:
        """Decode one image; see `featx.images.reading.read_image`.

        Parameters
        ----------
        index : int
            Which image.
        colour : {"grey", "rgb"}, default="grey"
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
        source = self.sources[index]
        if isinstance(source, Path):
            return read_image(source, colour)
        return _array_in_colour(source, colour)

    def digest(self, index: int) -> str:
        """Return the SHA-256 of one image's bytes, in hexadecimal: what it is known by.

        Parameters
        ----------
        index : int
            Which image.
        """
        source = self.sources[index]
        if isinstance(source, Path):
            return hashlib.sha256(read_bytes(source)).hexdigest()
        header = f"{source.dtype.str}{source.shape}".encode()
        return hashlib.sha256(header + source.tobytes()).hexdigest()


def _array_in_colour(source: npt.NDArray, colour: Colour) -> npt.NDArray:
    pixels = to_intensities(source[..., 0] if source.ndim == 3 and source.shape[2] == 1 else source)
    if pixels.ndim == 2:
        return pixels if colour == "grey" else np.repeat(pixels[..., np.newaxis], 3, axis=2)
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise UnreadableImageError(
            f"an array of shape {source.shape} is no image; give (height, width) or "
            "(height, width, 3)"
        )
    if colour == "rgb":
        return pixels
    # The weights of ITU-R BT.601, as in Pillow's conversion of files.
    luminance = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return luminance.round().astype(np.uint8) if pixels.dtype == np.uint8 else luminance
