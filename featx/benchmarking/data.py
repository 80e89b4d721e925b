"""Images of a benchmark: audited, split into training and test, with external validation sets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from featx.audit.leakage import Audit, Inspection, audit_split, find_leaks, inspect_images
from featx.benchmarking.config import BenchmarkConfig
from featx.datasets.dataset import ImageDataset
from featx.datasets.splitting import hold_out
from featx.errors import UsageError
from featx.features.matrix import FeatureMatrix
from featx.reporting.notes import Note
from featx.runtime.serialization import digest_of_values

if TYPE_CHECKING:
    from featx.benchmarking.groups import GroupData

Images = TypeVar("Images", FeatureMatrix, ImageDataset)
Others = TypeVar("Others", FeatureMatrix, ImageDataset)
Mask = npt.NDArray[np.bool_]
Counts = Callable[[ImageDataset], dict[str, int]]


@dataclass(frozen=True)
class TrainTestData(Generic[Images]):
    """Training data, test data and external validation sets: images or features."""

    train: Images
    test: Images
    externals: dict[str, Images] = field(default_factory=dict)
    peak_memory: int = 0
    # Facts of the tuned networks, as `featx.baselines.tuning.tune` states them.
    tuned: tuple[dict[str, Any], ...] = ()

    @property
    def evaluated(self) -> dict[str, Images]:
        """Test data under ``""`` and external validation sets by name."""
        return {"": self.test, **self.externals}

    def map(self, change: Callable[[Images], Others]) -> TrainTestData[Others]:
        """Return what a function makes of each of the data."""
        externals = {name: change(each) for name, each in self.externals.items()}
        return TrainTestData(change(self.train), change(self.test), externals)

    @cached_property
    def identity(self) -> list[Any]:
        """Everything that a row depends on, except features and settings."""
        return [identity(self.train), {n: identity(data) for n, data in self.evaluated.items()}]


Features = TrainTestData[FeatureMatrix]


def identity(images: FeatureMatrix | ImageDataset) -> list[Any]:
    """Return everything about images that a row depends on."""
    if isinstance(images, FeatureMatrix):
        rows = [images.image.tolist(), images.view.tolist()]
        digests = list(images.digests)
    else:
        rows = []
        digests = [images.digest(index) for index in range(len(images))]
    return [digests, images.labels.tolist(), images.patients.tolist(), images.class_names, *rows]


def known_patients(images: FeatureMatrix | ImageDataset) -> npt.NDArray[np.str_] | None:
    """Return the patient of each image; None where patients are unknown."""
    return images.patients if images.patients_known else None


@dataclass(frozen=True, eq=False)
class DataSplits:
    """Training and test images, and how they were split."""

    images: ImageDataset
    in_test: Mask
    in_train: Mask
    # Proportion of the patients of each class held out; None for the data set's own test split.
    test_size: float | None
    random_state: int
    # Column, and the group of it that is the test set.
    left_out: tuple[str, str] | None = None

    @cached_property
    def train(self) -> ImageDataset:
        """Training images."""
        return self.images.select(self.in_train)

    @cached_property
    def test(self) -> ImageDataset:
        """Test images."""
        return self.images.select(self.in_test)


def split_images(
    images: ImageDataset, *, test_size: float = 0.2, random_state: int = 0
) -> DataSplits:
    """Split images into training and test by their own test split, or else by patient.

    Examples
    --------
    >>> images = ImageDataset.from_arrays(np.zeros((8, 4, 4), np.uint8), list("nnnnpppp"),
    ...                                   patients=list("abcdefgh"))
    >>> splits = split_images(images, test_size=0.25)
    >>> len(splits.train), len(splits.test)
    (6, 2)
    """
    check_labeled(images)
    in_test = images.splits == "test"
    if in_test.all():
        raise UsageError("all images are in the split 'test'; add a split 'train' to train on")
    own = bool(in_test.any())
    if not own:
        _, held_out = hold_out(
            images.labels, images.patients, test_size=test_size, random_state=random_state
        )
        in_test[held_out] = True
    return DataSplits(images, in_test, ~in_test, None if own else test_size, random_state)


def check_labeled(images: ImageDataset) -> None:
    """Refuse images without a label."""
    unlabeled = int((images.labels < 0).sum())
    if unlabeled:
        raise UsageError(
            f"{unlabeled:,} of {len(images):,} images have no label; a benchmark needs one for each"
        )


@dataclass(frozen=True, eq=False)
class AuditedData:
    """Images that were inspected, split and audited, ready for training."""

    inspection: Inspection
    splits: DataSplits
    audit: Audit

    @property
    def images(self) -> TrainTestData[ImageDataset]:
        """All images, the unreadable ones included."""
        return TrainTestData(self.splits.train, self.splits.test, self.inspection.externals)

    def readable(self) -> TrainTestData[ImageDataset]:
        """Return the images without the unreadable ones."""
        unreadable = self.inspection.unreadable()

        def kept(images: ImageDataset, prefix: str = "") -> ImageDataset:
            return images.select([prefix + name not in unreadable for name in images.names])

        externals = self.inspection.externals.items()
        return TrainTestData(
            kept(self.splits.train),
            kept(self.splits.test),
            {name: kept(images, f"{name}: ") for name, images in externals},
        )

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Digests of the images with labels, patients and parts of the split, whatever their order.

        They tell two runs apart and name nothing.
        """
        images, externals = self.inspection.images, self.inspection.externals
        sets = [images, *externals.values()]
        masks = [self.splits.in_test, self.splits.in_train]
        parts = [np.select(masks, ["test", "train"], ""), *(np.full(len(e), "") for e in sets[1:])]
        starts = np.cumsum([len(each) for each in sets])[:-1]
        digests = np.split(self.inspection.fingerprints.digests, starts)
        own, *others = (
            digest_of_values(
                sorted(
                    zip(d.tolist(), s.y.tolist(), s.patients.tolist(), p.tolist(), strict=True)
                    if s.patients_known
                    else zip(d.tolist(), s.y.tolist(), p.tolist(), strict=True)
                )
            )
            for s, d, p in zip(sets, digests, parts, strict=True)
        )
        return {"images": own, "externals": dict(zip(externals, others, strict=True))}

    @cached_property
    def counts(self) -> dict[str, Any]:
        """Numbers of readable images and patients in training and test."""
        readable = self.readable()
        return {
            f"{name}_{what}": count(images)
            for name, images in (("train", readable.train), ("test", readable.test))
            for what, count in (("images", len), ("patients", count_patients))
        }

    @cached_property
    def split_note(self) -> Note:
        """Note on the readable images of the split."""
        counts = {**self.counts, "test_size": self.splits.test_size}
        counts["random_state"] = self.splits.random_state
        if self.splits.left_out is not None:
            counts |= dict(zip(("column", "group"), self.splits.left_out, strict=True))
        return Note("split", counts)

    def notes(self) -> list[Note]:
        """Return the notes on the images for the table."""
        leaks = [Note("leak", finding.to_dict()) for finding in self.audit.leaks]
        warnings = [Note("finding", finding.to_dict()) for finding in self.audit.warnings]
        return [self.split_note, Note("confidence", {"level": 0.95}), *leaks, *warnings]

    def flow(self, counts: Counts | None = None) -> list[dict[str, Any]]:
        """Count the images from the folder to the table, as STARD and TRIPOD+AI ask.

        `counts` counts the images of a data set by class, or by something else.
        """
        images, own = self.inspection.images, self.inspection.readable()[""]
        left_out = ~self.splits.in_test & ~self.splits.in_train
        leaking = " or images of test patients" if images.patients_known else ""
        steps = {
            "found in the folder": np.ones_like(own),
            "unreadable, left out": ~own,
            f"duplicates of test images{leaking}, left out": left_out & own,
            "training": self.splits.in_train & own,
            "test": self.splits.in_test & own,
        }
        return [
            *table_steps(images),
            *(
                flow_step(name, images, chosen, counts)
                for name, chosen in steps.items()
                if any(chosen)
            ),
            *external_steps(self.inspection, counts),
        ]


RunData: TypeAlias = "AuditedData | GroupData"
"""Images of a run, as its metadata records them."""


def split_and_audit(
    images: ImageDataset,
    externals: Mapping[str, ImageDataset] | None = None,
    config: BenchmarkConfig | None = None,
) -> AuditedData:
    """Inspect all images, split them, and refuse leakage unless it is dropped or allowed."""
    config = config or BenchmarkConfig()
    inspection = inspect_images(images, externals or {})
    splits = split_images(
        inspection.images, test_size=config.test_size, random_state=config.random_state
    )
    if config.leaks == "drop":
        splits = without_leaks(inspection, splits)
        gone = classes_missing(inspection.images, splits.in_train)
        if gone:
            raise UsageError(
                f"without the training images that leak, none of class {', '.join(gone)} is left: "
                "patients and duplicates connect all of them with test images. Leave out the split "
                "'test', so that featx draws one by patient, or use --leaks allow"
            )
    allowed = config.leaks == "allow"
    audit = audit_split(inspection, splits.in_test, splits.in_train, allow_leaks=allowed)
    audit.check()
    return AuditedData(inspection, splits, audit)


def without_leaks(inspection: Inspection, splits: DataSplits) -> DataSplits:
    """Leave out the training images that leak test images or external sets."""
    return replace(splits, in_train=splits.in_train & ~find_leaks(inspection, splits.in_test))


def classes_missing(images: ImageDataset, chosen: Mask) -> list[str]:
    """Return the classes that none of the chosen images has."""
    found = {*images.labels[chosen].tolist()}
    return [name for label, name in enumerate(images.class_names) if label not in found]


def check_external_name(name: str) -> None:
    """Refuse a name of an external set that cannot be part of file names."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UsageError(
            f"the name {name!r} of an external set becomes part of file names; use letters, "
            "digits, '.', '_' and '-' only"
        )


def check_external(images: ImageDataset, name: str, external: ImageDataset) -> None:
    """Refuse an external validation set that models of these images cannot be scored on.

    Examples
    --------
    >>> images = ImageDataset.from_arrays(np.zeros((2, 4, 4), np.uint8), ["a", "b"])
    >>> check_external(images, "x/y", images)
    Traceback (most recent call last):
        ...
    featx.errors.UsageError: the name 'x/y' of an external set becomes part of file names; use ...
    """
    check_external_name(name)
    unlabeled = int((external.labels < 0).sum())
    if unlabeled or not len(external):
        raise UsageError(
            f"{unlabeled:,} of {len(external):,} images of the external set {name} have no "
            "label; models can be scored on labeled images only"
        )
    present = [external.class_names[index] for index in np.unique(external.labels)]
    if external.class_names != images.class_names or present != list(images.class_names):
        raise UsageError(
            f"the external set {name} has images of class {', '.join(present)}, but the models "
            f"are trained on {', '.join(images.class_names)}; give it the same classes under "
            "the same names"
        )


def table_steps(images: ImageDataset) -> list[dict[str, Any]]:
    """Count the rows of a table that are left out, whose class and patient may be unknown."""
    counts = {
        f"rows {each.reason}, left out": each.count
        for each in images.inventory.passed_over
        if each.unit == "rows"
    }
    if not counts:
        return []
    counts = {"listed in the table": len(images) + sum(counts.values()), **counts}
    return [
        {"step": name, "images": n, "patients": None, "classes": {}} for name, n in counts.items()
    ]


def count_patients(images: ImageDataset) -> int | None:
    """Return the number of patients, None where they are unknown."""
    return len(np.unique(images.patients)) if images.patients_known else None


def external_steps(inspection: Inspection, counts: Counts | None = None) -> list[dict[str, Any]]:
    """Count the readable images of external sets."""
    readable = inspection.readable()
    return [
        flow_step(f"external: {name}", external, readable[name], counts)
        for name, external in inspection.externals.items()
    ]


def flow_step(
    name: str, images: ImageDataset, chosen: Mask, counts: Counts | None = None
) -> dict[str, Any]:
    """Count the chosen images, their patients and classes."""
    found = images.select(chosen)
    return {
        "step": name,
        "images": len(found),
        "patients": count_patients(found),
        "classes": (counts or count_classes)(found),
    }


def count_classes(images: ImageDataset) -> dict[str, int]:
    """Return the number of images of each class."""
    counts = np.bincount(images.labels, minlength=len(images.class_names)).tolist()
    return dict(zip(images.class_names, counts, strict=True))
