"""Images from memory, as found before rules are applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from featx.datasets.listing import Listing
from featx.datasets.tables.cells import text_of
from featx.errors import UsageError
from featx.metrics.labels import check_codes, check_of_rows, is_missing


def list_arrays(
    arrays: Sequence[npt.NDArray] | npt.NDArray,
    labels: Sequence[str | int] | npt.NDArray | None,
    class_names: Sequence[str] | None,
    patients: Sequence[str] | npt.NDArray | None,
    splits: Sequence[str] | npt.NDArray | None,
    columns: Mapping[str, Sequence[Any] | npt.NDArray],
) -> Listing:
    """List the arguments of `ImageDataset.from_arrays`."""
    count = len(arrays)
    given = {"labels": labels, "patients": patients, "splits": splits}
    given |= {f"values of {name}": values for name, values in columns.items()}
    for what, values in given.items():
        if values is not None and len(values) != count:
            raise UsageError(f"there are {count} images but {len(values)} {what}")
    if labels is not None and class_names is not None and np.asarray(labels).dtype.kind in "biuf":
        codes = check_codes(labels, len(class_names), unknown=True)
        labels = np.array([*class_names, ""], dtype=object)[codes]
    if patients is not None:
        patients = check_of_rows("patients", patients, count)
    blank = [""] * count
    return Listing(
        names=[f"array-{number:06d}" for number in range(count)],
        sources=[np.asarray(array) for array in arrays],
        labels=blank
        if labels is None
        else ["" if is_missing(label) else str(label) for label in labels],
        splits=blank if splits is None else [str(split) for split in splits],
        patients=None if patients is None else [str(patient) for patient in patients],
        where="the arrays given",
        labels_from="" if labels is None else "given labels",
        splits_from="" if splits is None else "given splits",
        patients_from="" if patients is None else "given patients",
        columns={name: [*map(text_of, values)] for name, values in columns.items()},
    )
