"""Class probabilities of images, and their CSV format."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.audit.findings import Finding
from featx.errors import FeatxError, UsageError
from featx.metrics.labels import check_codes, check_of_rows
from featx.metrics.operating_point import Threshold, decide
from featx.metrics.scores import Scores, Subgroup, evaluate
from featx.metrics.subgroups import subgroup_scores
from featx.runtime.csv_text import read_cell, write_csv
from featx.runtime.files import put_bytes

_PROBABILITY = "probability_"


@dataclass(frozen=True, eq=False, repr=False)
class Predictions:
    """Hold class probabilities of images, with labels and patients where known.

    `featx.predict` returns it; ``featx predict --out`` and the files ``scores/*.csv`` of a
    benchmark hold one each. Use `from_csv` to analyze results without images or models.

    Parameters
    ----------
    names : sequence of str
        Path or name of each image.
    class_names : sequence of str
        Name of each class, in the order of the columns of `probabilities`; of two, the last is
        the positive class.
    probabilities : array-like of float64, shape (n_images, n_classes)
        Calibrated probabilities; rows sum to 1.
    labels : array-like of int64, shape (n_images,), optional
        Index of the true class of each image, -1 where unknown; by default all are unknown.
    patients : array-like of str, shape (n_images,), optional
        Patient of each image; None where unknown.
    predicted : array-like of int64, shape (n_images,), optional
        Index of the predicted class of each image; None before a threshold is applied.
    threshold : float or tuple of float, optional
        Probability from which the positive class is predicted; None if unknown, and for more than
        two classes.
    unreadable : sequence of (str, str), default=()
        Name of each image that could not be read, with the reason.
    findings : sequence of Finding, default=()
        Images and patients that the model was trained on, and images unlike those; not in the CSV
        file.
    typicality : array-like of float64, shape (n_images,), optional
        Proportion of training patients at least as far away in feature space; at most 0.01 where
        an image is unlike the training images, None where unknown.
    sets : array-like of bool, shape (n_images, n_classes), optional
        Which classes an image may be of at the coverage asked for; None if none was.

    Examples
    --------
    >>> predictions = Predictions(["a.png", "b.png"], ["NORMAL", "PNEUMONIA"],
    ...                           [[0.9, 0.1], [0.4, 0.6]]).decide(0.5)
    >>> predictions
    Predictions(2 images: NORMAL 1, PNEUMONIA 1)
    >>> predictions.predicted_names.tolist()
    ['NORMAL', 'PNEUMONIA']
    """

    names: Sequence[str]
    class_names: Sequence[str]
    probabilities: npt.NDArray[np.float64]
    labels: Any = None
    patients: Any = None
    predicted: Any = None
    threshold: Threshold = None
    unreadable: Sequence[tuple[str, str]] = ()
    findings: Sequence[Finding] = ()
    typicality: Any = None
    sets: Any = None

    def __post_init__(self) -> None:
        n, k = len(self.names), len(self.class_names)
        unknown = np.full(n, -1)
        fields = {
            "names": tuple(self.names),
            "class_names": tuple(str(name) for name in self.class_names),
            "unreadable": tuple(self.unreadable),
            "findings": tuple(self.findings),
            "probabilities": np.asarray(self.probabilities, dtype=np.float64).reshape(n, k),
            "labels": check_codes(unknown if self.labels is None else self.labels, k, unknown=True),
        }
        if self.patients is not None:
            fields["patients"] = check_of_rows("patients", self.patients, n).astype(np.str_)
        if self.predicted is not None:
            fields["predicted"] = check_codes(self.predicted, k, what="predicted classes")
        if self.typicality is not None:
            fields["typicality"] = np.asarray(self.typicality, dtype=np.float64).reshape(n)
        if self.sets is not None:
            fields["sets"] = np.asarray(self.sets, dtype=bool).reshape(n, k)
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in self.counts().items())
        return f"Predictions({len(self):,} images{': ' + counts if counts else ''})"

    @property
    def labeled(self) -> bool:
        """Whether the true class of every image is known."""
        return bool(len(self)) and bool((self.labels >= 0).all())

    @property
    def predicted_names(self) -> npt.NDArray[np.str_]:
        """Predicted class name of each image."""
        if self.predicted is None:
            raise UsageError("no threshold was applied to these predictions; call decide() first")
        return np.array(self.class_names, dtype=np.str_)[self.predicted]

    @property
    def undecided(self) -> npt.NDArray[np.bool_]:
        """Whether an image's set is not of one class."""
        if self.sets is None:
            raise UsageError("these predictions have no sets; give predict() a coverage")
        return np.asarray(self.sets.sum(axis=1) != 1)

    def counts(self) -> dict[str, int]:
        """Return the number of images predicted as each class; empty before `decide`."""
        if self.predicted is None:
            return {}
        counted = np.bincount(self.predicted, minlength=len(self.class_names))
        return dict(zip(self.class_names, counted.tolist(), strict=True))

    def decide(self, threshold: Threshold) -> Predictions:
        """Return these predictions with the classes predicted at a threshold.

        Parameters
        ----------
        threshold : float, tuple of float or None
            As in `featx.metrics.operating_point.decide`.
        """
        predicted = decide(self.probabilities, threshold)
        kept = threshold if len(self.class_names) == 2 or isinstance(threshold, tuple) else None
        return replace(self, predicted=predicted, threshold=kept)

    def select(self, places: npt.ArrayLike) -> Predictions:
        """Return the predictions of some images, by position, in the given order."""
        chosen = np.asarray(places, dtype=np.int64)
        fields: dict[str, Any] = {
            name: None if values is None else values[chosen]
            for name, values in vars(self).items()
            if name in ("probabilities", "labels", "patients", "predicted", "typicality", "sets")
        }
        return replace(self, names=tuple(self.names[place] for place in chosen), **fields)

    def paired_with(self, other: Predictions) -> tuple[Predictions, Predictions]:
        """Return both predictions on their common images, in this order.

        Raises
        ------
        UsageError
            If classes differ, an image occurs twice, or has another label or patient in both.
        """
        difference = self._contradiction(other)
        if difference:
            raise UsageError(f"these predictions cannot be compared: {difference}")
        return self._on_common_images(other)

    def difference_from(self, other: Predictions) -> str:
        """Describe the first difference in classes, images, labels or patients; "" if none.

        The order of images does not matter.
        """
        only = sorted(set(self.names) ^ set(other.names))
        if only and self.class_names == other.class_names:
            twice = [each for each in (self, other) if len(set(each.names)) < len(each)]
            if not twice:
                return (
                    f"there are {len(self):,} and {len(other):,} test images, and {only[0]} is in "
                    "one run alone"
                )
        return self._contradiction(other)

    def _on_common_images(self, other: Predictions) -> tuple[Predictions, Predictions]:
        place = {name: index for index, name in enumerate(other.names)}
        common = [index for index, name in enumerate(self.names) if name in place]
        counterparts = [place[self.names[index]] for index in common]
        return self.select(common), other.select(counterparts)

    def _contradiction(self, other: Predictions) -> str:
        """Describe what both say otherwise of classes and common images; "" if nothing."""
        if self.class_names != other.class_names:
            both = (", ".join(each.class_names) for each in (self, other))
            return f"the classes are {' and '.join(both)}"
        if any(len(set(each.names)) < len(each) for each in (self, other)):
            return "an image occurs twice"
        mine, theirs = self._on_common_images(other)
        classes = np.array([*self.class_names, "unknown"], dtype=np.str_)
        for what, values, others in (
            ("label", classes[mine.labels], classes[theirs.labels]),
            ("patient", mine.patients, theirs.patients),
        ):
            if values is None or others is None or np.array_equal(values, others):
                continue
            place = int(np.flatnonzero(values != others)[0])
            return f"the {what} of {mine.names[place]} is {values[place]} and {others[place]}"
        return ""

    def score(self, random_state: int = 0) -> Scores:
        """Evaluate predictions of labeled images, with 95 % intervals by patient.

        Raises
        ------
        UsageError
            If the true class of an image is unknown.
        """
        if not self.labeled:
            unknown = int((self.labels < 0).sum())
            raise UsageError(
                f"the true class of {unknown:,} of {len(self):,} images is unknown; give labeled "
                "images"
            )
        return evaluate(self.labels, self.probabilities, **self._for_scores(random_state))

    def score_subgroups(
        self, groups: Mapping[str, Mapping[str, npt.ArrayLike]], random_state: int = 0
    ) -> tuple[Subgroup, ...]:
        """Evaluate groups of labeled images, and test their differences.

        Parameters
        ----------
        groups : mapping of str to mapping of str to array-like of bool, shape (n_images,)
            By column and by group: which images are in it.
        random_state : int, default=0
            Random seed of the resamples.

        Returns
        -------
        tuple of Subgroup
            As of `featx.metrics.subgroups.subgroup_scores`.
        """
        settings = self._for_scores(random_state)
        return subgroup_scores(self.labels, self.probabilities, groups, **settings)

    def _for_scores(self, random_state: int) -> dict[str, Any]:
        names = tuple(self.class_names)
        settings = {"threshold": self.threshold, "class_names": names, "patients": self.patients}
        return {**settings, "random_state": random_state}

    def to_csv(self, path: str | Path) -> None:
        """Write one line per image, as `from_csv` reads it.

        Labeled images have the columns ``path``, ``label``, ``patient``, one
        ``probability_CLASS`` per class, ``typicality`` and ``set`` (such as ``NORMAL|PNEUMONIA``)
        where known and, after `decide`,
        ``predicted`` and ``problem``. Others have ``path``, the probabilities, ``typicality``, the
        predicted class as ``label``, and ``problem``: why an image could not be read.

        Parameters
        ----------
        path : path-like
            File to write, whole or not at all.
        """
        columns: dict[str, Any] = {"path": self.names}
        if self.labeled:
            columns["label"] = np.array(self.class_names)[self.labels]
            if self.patients is not None:
                columns["patient"] = self.patients
        for name, values in zip(self.class_names, self.probabilities.T.tolist(), strict=True):
            columns[_PROBABILITY + name] = values
        if self.typicality is not None:
            columns["typicality"] = self.typicality.tolist()
        if self.sets is not None:
            names = np.array(self.class_names)
            columns["set"] = ["|".join(names[chosen]) for chosen in self.sets]
        if not self.labeled or self.predicted is not None:
            columns["predicted" if self.labeled else "label"] = self.predicted_names
            columns["problem"] = [""] * len(self)
        rows = [list(columns), *zip(*columns.values(), strict=True)]
        if "problem" in columns:
            empty = [""] * (len(columns) - 2)
            rows += [(name, *empty, reason) for name, reason in self.unreadable]
        put_bytes(Path(path), write_csv(rows))

    @classmethod
    def from_csv(cls, path: str | Path) -> Predictions:
        """Read predictions that any version of featx wrote.

        Parameters
        ----------
        path : path-like
            Output of ``featx predict --out``, or a file in ``scores/`` of a benchmark.

        Raises
        ------
        UsageError
            If there is no such file.
        FeatxError
            If the file does not hold predictions.
        """
        path = Path(path)
        if not path.is_file():
            raise UsageError(f"there is no file {path}; give a CSV file of predictions")
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        try:
            return cls._parse(text)
        except (ValueError, KeyError, IndexError) as error:
            raise FeatxError(
                f"{path} does not hold predictions ({type(error).__name__}: {error}); make it "
                "again with `featx predict` or `featx benchmark`"
            ) from error

    @classmethod
    def _parse(cls, text: str) -> Predictions:
        table = csv.reader(io.StringIO(text, newline=""))
        header, *lines = ([read_cell(cell) for cell in line] for line in table)
        columns = [name for name in header if name.startswith(_PROBABILITY)]
        classes = [name.removeprefix(_PROBABILITY) for name in columns]
        if not classes:
            raise ValueError("no column begins with probability_")
        rows = [dict(zip(header, line, strict=False)) for line in lines]
        broken = [row for row in rows if row.get("problem")]
        rows = [row for row in rows if not row.get("problem")]

        def column(name: str, read: Callable[[str], Any] = str) -> list[Any] | None:
            return [read(row[name]) for row in rows] if name in header else None

        # Without a column of its own, the predicted class of unlabeled images is their label.
        unlabeled = "problem" in header and "predicted" not in header
        return cls(
            names=[row["path"] for row in rows],
            class_names=classes,
            probabilities=np.array([[float(row[name]) for name in columns] for row in rows]),
            labels=None if unlabeled else column("label", classes.index),
            patients=column("patient"),
            predicted=column("label" if unlabeled else "predicted", classes.index),
            typicality=column("typicality", float),
            sets=column("set", lambda cell: [name in cell.split("|") for name in classes]),
            unreadable=[(row["path"], row["problem"]) for row in broken],
        )
